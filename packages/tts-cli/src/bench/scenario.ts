import {
  UsageError,
  crossScenarios,
  modelName,
  requireType,
  startProgress,
  weightsOfModel,
  wholeModel,
  type ModelWeights,
  type Scenario,
  type ScenarioAxes,
  type Session,
} from "@voxquant/cli-core";
import { quantizeProfileOf } from "../family.js";
import type { TtsBench, TtsJob } from "./measurement.js";
import { SYNTHETIC_SIZES, type SyntheticName } from "./shapes.js";
import { syntheticModel } from "./synthetic-model.js";

export type TtsScenario = Scenario<TtsBench>;

/** What every scenario of a run does. */
export type Work = Pick<TtsJob, "workload" | "seed"> & { readonly batches: readonly number[] };

/** All weights × backends × thread counts × batch sizes of a model on disk. Types are quantized into `cache` first. */
export async function scenariosOfModel(
  source: string,
  weights: readonly string[],
  cache: string,
  axes: ScenarioAxes,
  work: Work,
  session: Session,
): Promise<TtsScenario[]> {
  const prepared = await weightsOfModel(source, weights, cache, quantizeProfileOf, session);
  return cross(modelName(source), prepared, axes, work);
}

/** The same for models of random weights, one for each type. */
export async function syntheticScenarios(
  name: SyntheticName,
  qtypes: readonly string[],
  cache: string,
  axes: ScenarioAxes,
  work: Work,
  { terminal, signal }: Session,
): Promise<TtsScenario[]> {
  const prepared: ModelWeights[] = [];
  for (const qtype of qtypes) {
    requireType(qtype, "qtype");
    const progress = startProgress(terminal, `Writing random ${qtype} weights`, "bytes");
    try {
      const path = await syntheticModel(name, qtype, cache, {
        signal,
        onProgress: (done, total, tensor) => progress.update(done, total, tensor),
      });
      prepared.push(wholeModel(qtype.toLowerCase(), path));
    } finally {
      progress.stop();
    }
  }
  return cross(`synthetic ${name}`, prepared, axes, work);
}

export function syntheticName(given: string): SyntheticName {
  if (Object.hasOwn(SYNTHETIC_SIZES, given)) return given as SyntheticName;
  const names = Object.keys(SYNTHETIC_SIZES).join(", ");
  throw new UsageError(`--synthetic "${given}" is not known. Choose one of: ${names}`);
}

function cross(
  model: string,
  weights: readonly ModelWeights[],
  axes: ScenarioAxes,
  { batches, workload, seed }: Work,
): TtsScenario[] {
  return batches.flatMap((batch) =>
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
  );
}
