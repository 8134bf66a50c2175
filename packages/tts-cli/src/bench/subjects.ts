import { crossScenarios, type BenchSubjects } from "@voxquant/cli-core";
import { CATALOGUE } from "../catalogue.js";
import { quantizeProfileOf } from "../family.js";
import type { TtsBench, TtsJob } from "./measurement.js";
import { SYNTHETIC_SIZES, type SyntheticName } from "./shapes.js";
import { syntheticModel } from "./synthetic-model.js";

/** What every scenario of a run does. */
export type Work = Pick<TtsJob, "workload" | "seed"> & { readonly batches: readonly number[] };

/** What bench measures with some work, once for each batch size. */
export function subjectsOf({ batches, workload, seed }: Work): BenchSubjects<TtsBench, SyntheticName> {
  return {
    catalogue: CATALOGUE,
    profileOf: quantizeProfileOf,
    sizes: Object.keys(SYNTHETIC_SIZES) as SyntheticName[],
    synthesize: syntheticModel,
    cross: (model, weights, axes) =>
      batches.flatMap((batch) =>
        crossScenarios<TtsBench>(
          batch === 1 ? model : `${model}, batch ${batch}`,
          weights,
          axes,
          ({ source, choice, gguf }, { backend, threads }) => ({
            source,
            talkerWeights: choice,
            talkerGguf: gguf,
            backend,
            threads,
            precision: axes.precision,
            seed,
            batch,
            workload,
          }),
        ),
      ),
  };
}
