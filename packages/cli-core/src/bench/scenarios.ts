import { existsSync } from "node:fs";
import type { QuantizeProfile } from "@voxquant/quant-core";
import { UsageError } from "../exit.js";
import { resolveModel, type ModelCatalogue } from "../model-path.js";
import { BACKENDS, choiceOf, numberOf } from "../options.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";
import type { BenchTypes, Scenario } from "./measurement.js";
import {
  modelName,
  requireType,
  weightsOfModel,
  wholeModel,
  type ModelWeights,
  type ScenarioAxes,
} from "./model-weights.js";
import type { RandomModelOptions } from "./random-model.js";
import type { BenchArguments } from "./run-bench.js";

/** What a program's bench measures: its models, and those of random weights. */
export interface BenchSubjects<T extends BenchTypes, Size extends string> {
  readonly catalogue: ModelCatalogue;
  /** How a model is quantized to the types that are asked for. */
  profileOf(source: string): Promise<QuantizeProfile>;
  /** Published models whose sizes --synthetic takes. */
  readonly sizes: readonly Size[];
  /** Writes a model of random weights into the folder, or finds that of before. @returns its path */
  synthesize(size: Size, qtype: string, folder: string, options: RandomModelOptions): Promise<string>;
  /** What is done with each of a model's weights. */
  cross(model: string, weights: readonly ModelWeights[], axes: ScenarioAxes): Scenario<T>[];
}

/** Parts of the command line that say what is measured. */
type SubjectArguments = BenchArguments & { readonly synthetic?: string | undefined };

/** All that the command line asks for: models × weights × backends × thread counts. @throws UsageError, ResourceError */
export async function scenariosOf<T extends BenchTypes, Size extends string>(
  given: SubjectArguments,
  subjects: BenchSubjects<T, Size>,
  session: Session,
): Promise<Scenario<T>[]> {
  const axes = axesOf(given);
  if (given.synthetic !== undefined) {
    const size = choiceOf(given.synthetic, "synthetic", subjects.sizes);
    const weights = await syntheticWeights(size, given, subjects, session);
    return subjects.cross(`synthetic ${size}`, weights, axes);
  }
  const wanted = listOf(given.weights ?? []);
  const scenarios: Scenario<T>[] = [];
  for (const model of given.model === undefined ? [undefined] : listOf(given.model)) {
    const source = resolveModel(model, subjects.catalogue, session.env);
    const weights = await weightsOfModel(source, wanted, given.cache, subjects.profileOf, session);
    scenarios.push(...subjects.cross(modelName(source), weights, axes));
  }
  return scenarios;
}

/**
 * Refuses flags that belong to the other kind of workload.
 * @param forModels flags that --synthetic has no use for
 * @param forSynthetic flags that nothing else has a use for
 * @throws UsageError
 */
export function refuseOtherWorkload(
  given: Readonly<Record<string, unknown>>,
  forModels: readonly string[],
  forSynthetic: readonly string[],
): void {
  const isSynthetic = given["synthetic"] !== undefined;
  const refused = (isSynthetic ? forModels : forSynthetic).find((name) => given[name] !== undefined);
  if (refused === undefined) return;
  throw new UsageError(
    `--${refused} ${isSynthetic ? "cannot be used with --synthetic" : "is for --synthetic"}`,
  );
}

async function syntheticWeights<T extends BenchTypes, Size extends string>(
  size: Size,
  given: SubjectArguments,
  subjects: BenchSubjects<T, Size>,
  { terminal, signal }: Session,
): Promise<ModelWeights[]> {
  const prepared: ModelWeights[] = [];
  for (const qtype of listOf(given.qtype ?? ["q8_0"])) {
    requireType(qtype, "qtype");
    const progress = startProgress(terminal, `Writing random ${qtype} weights`, "bytes");
    try {
      const path = await subjects.synthesize(size, qtype, given.cache, {
        signal,
        onProgress: (done, total, tensor) => progress.update(done, total, tensor),
      });
      prepared.push(wholeModel(qtype.toLowerCase(), path));
    } finally {
      progress.stop();
    }
  }
  return prepared;
}

/** The axes that the command line asks for. @throws UsageError */
function axesOf(given: BenchArguments): ScenarioAxes {
  return {
    backends: listOf(given.backend ?? ["auto"]).map((name) => choiceOf(name, "backend", BACKENDS)),
    threads: (given.threads === undefined ? [undefined] : listOf(given.threads)).map(
      (count) => numberOf(count, "threads", { min: 1, max: 256, integer: true }) ?? null,
    ),
    precision: choiceOf(given.precision, "precision", ["fast", "exact"] as const),
  };
}

/** Values of a flag that may be lists with commas; a path that has one and exists stays whole. */
export function listOf(values: readonly string[]): string[] {
  return values
    .flatMap((value) => (existsSync(value) ? [value] : value.split(",")))
    .filter((value) => value !== "");
}
