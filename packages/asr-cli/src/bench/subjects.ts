import { crossScenarios, type BenchSubjects } from "@voxquant/cli-core";
import { CATALOGUE } from "../catalogue.js";
import { quantizeProfileOf } from "../family.js";
import type { AsrBench, Workload } from "./measurement.js";
import { SYNTHETIC_SIZES, type SyntheticName } from "./shapes.js";
import { syntheticModel } from "./synthetic-model.js";

/** What bench measures with a workload. */
export function subjectsOf(workload: Workload): BenchSubjects<AsrBench, SyntheticName> {
  return {
    catalogue: CATALOGUE,
    profileOf: quantizeProfileOf,
    sizes: Object.keys(SYNTHETIC_SIZES) as SyntheticName[],
    synthesize: syntheticModel,
    cross: (model, weights, axes) =>
      crossScenarios<AsrBench>(model, weights, axes, ({ source, choice, gguf }, { backend, threads }) => ({
        source,
        decoderWeights: choice,
        decoderGguf: gguf,
        backend,
        threads,
        precision: axes.precision,
        workload,
      })),
  };
}
