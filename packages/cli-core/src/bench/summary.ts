import type { BenchTypes, Measured, MetricName, Metrics, RunResult, Scenario } from "./measurement.js";
import { spreadOf } from "./statistics.js";

export interface SummaryFacts {
  readonly model: string;
  readonly weights: string;
  /** As the files have them, e.g. "Q8_0 with F16". */
  readonly weight_types: string;
  readonly backend: string;
  readonly isa: string;
  readonly threads: number;
  readonly precision: string;
  readonly audio_s: number;
  readonly file_bytes: number;
  /** Hexadecimal SHA-256 of the weights' file; of several, that of their lines in `sha256sum` style; null for a URL. */
  readonly file_sha256: string | null;
  readonly runs: number;
  readonly file_cache: "warm" | "cold";
  /** 0 to 5, by the program's rule: what the weights' type costs in quality; null if that was not measured. */
  readonly stars: number | null;
  readonly note: string | null;
}

export type SomeMetrics<T extends BenchTypes> = Partial<Record<MetricName<T>, number>>;

interface Spreads<T extends BenchTypes> {
  readonly min: SomeMetrics<T>;
  readonly max: SomeMetrics<T>;
  readonly p95: SomeMetrics<T>;
  readonly cv: SomeMetrics<T>;
}

/** Medians of a scenario's runs; `min`, `max`, `p95` and `cv` hold the same metrics. Milliseconds, bytes, seconds. */
export type Summary<T extends BenchTypes> = SummaryFacts & Metrics<T> & T["quality"] & Spreads<T>;

/**
 * How good a scenario's result is.
 * @param baseline the unquantized run of the same model, null if there is none
 */
export type Judge<T extends BenchTypes> = (
  entry: Measured<T>,
  baseline: Measured<T> | null,
) => T["quality"] & Pick<SummaryFacts, "stars">;

/** One summary per scenario that has results. */
export function summarize<T extends BenchTypes>(
  measured: readonly Measured<T>[],
  fileCache: SummaryFacts["file_cache"],
  judge: Judge<T>,
): Summary<T>[] {
  const done = measured.filter(({ results }) => results.length > 0);
  return done.map((entry) => {
    const { scenario, results, fileSha256 } = entry;
    const first = results[0]!;
    const facts: Omit<SummaryFacts, "stars"> = {
      model: scenario.model,
      weights: scenario.weights,
      weight_types: first.weightTypes,
      backend: first.backend,
      isa: first.isa,
      threads: first.threads,
      precision: scenario.job.precision,
      audio_s: first.audioSeconds,
      file_bytes: scenario.fileBytes,
      file_sha256: fileSha256,
      runs: results.length,
      file_cache: fileCache,
      note: noteOf(results),
    };
    return { ...facts, ...spread(results), ...judge(entry, floatRun(done, scenario)) };
  });
}

function spread<T extends BenchTypes>(results: readonly RunResult<T>[]): Metrics<T> & Spreads<T> {
  const medians: Record<string, number | null> = {};
  const kinds: Record<"min" | "max" | "p95" | "cv", Record<string, number>> = {
    min: {},
    max: {},
    p95: {},
    cv: {},
  };
  for (const name of Object.keys(results[0]!.metrics)) {
    const found = spreadOf(results.map(({ metrics }) => (metrics as Record<string, number | null>)[name]!));
    medians[name] = found?.median ?? null;
    if (found === null) continue;
    for (const kind of ["min", "max", "p95", "cv"] as const) kinds[kind][name] = found[kind];
  }
  return { ...(medians as Metrics<T>), ...(kinds as Spreads<T>) };
}

/** The unquantized run of the same model, on the same backend if there is one. */
function floatRun<T extends BenchTypes>(
  measured: readonly Measured<T>[],
  { model, job }: Scenario<T>,
): Measured<T> | null {
  const floats = measured.filter(
    ({ scenario, results }) => scenario.model === model && /^(BF16|F16|F32)\b/.test(results[0]!.weightTypes),
  );
  return floats.find(({ scenario }) => scenario.job.backend === job.backend) ?? floats[0] ?? null;
}

function noteOf<T extends BenchTypes>(results: readonly RunResult<T>[]): string | null {
  const notes = new Set(results.flatMap(({ note }) => (note === null ? [] : [note])));
  if (new Set(results.map(({ detail }) => JSON.stringify(detail))).size > 1)
    notes.add("the runs gave different results");
  return notes.size === 0 ? null : [...notes].join("; ");
}
