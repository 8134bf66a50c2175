import type { MetricName, Metrics } from "./measurement.js";
import { scoreTexts, starsOf } from "./quality.js";
import type { RunResult } from "./run-child.js";
import type { Scenario } from "./scenario.js";
import { spreadOf } from "./statistics.js";

/** Medians of a scenario's runs; `min`, `max`, `p95` and `cv` hold the same metrics. Milliseconds, bytes, seconds. */
export interface Summary extends Metrics {
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
  readonly runs: number;
  readonly file_cache: "warm" | "cold";
  /** Fractions; against what they are counted tells `wer_against`. */
  readonly wer: number | null;
  readonly cer: number | null;
  readonly wer_against: "reference" | "float run" | null;
  readonly stars: number | null;
  readonly note: string | null;
  readonly min: SomeMetrics;
  readonly max: SomeMetrics;
  readonly p95: SomeMetrics;
  readonly cv: SomeMetrics;
}

export type SomeMetrics = Partial<Record<MetricName, number>>;

/** A scenario with what its runs gave. */
export interface Measured {
  readonly scenario: Scenario;
  readonly results: readonly RunResult[];
}

/** One summary per scenario that has results. @param references texts per audio file, null without */
export function summarize(
  measured: readonly Measured[],
  references: readonly string[] | null,
  fileCache: Summary["file_cache"],
): Summary[] {
  const done = measured.filter(({ results }) => results.length > 0);
  return done.map((entry) => {
    const { scenario, results } = entry;
    const first = results[0]!;
    const baseline = floatRun(done, scenario);
    return {
      model: scenario.model,
      weights: scenario.weights,
      weight_types: first.weightTypes,
      backend: first.backend,
      isa: first.isa,
      threads: first.threads,
      precision: scenario.job.precision,
      audio_s: first.audioSeconds,
      file_bytes: scenario.fileBytes,
      runs: results.length,
      file_cache: fileCache,
      ...spread(results),
      ...quality(entry, baseline, references),
      note: noteOf(results),
    };
  });
}

function spread(results: readonly RunResult[]): Metrics & Pick<Summary, "min" | "max" | "p95" | "cv"> {
  const medians: Partial<Record<MetricName, number | null>> = {};
  const kinds = {
    min: {} as SomeMetrics,
    max: {} as SomeMetrics,
    p95: {} as SomeMetrics,
    cv: {} as SomeMetrics,
  };
  for (const name of Object.keys(results[0]!.metrics) as MetricName[]) {
    const found = spreadOf(results.map(({ metrics }) => metrics[name]));
    medians[name] = found?.median ?? null;
    if (found === null) continue;
    for (const kind of ["min", "max", "p95", "cv"] as const) kinds[kind][name] = found[kind];
  }
  return { ...(medians as Metrics), ...kinds };
}

/** The unquantized run of the same model, on the same backend if there is one. */
function floatRun(measured: readonly Measured[], { model, job }: Scenario): Measured | null {
  const floats = measured.filter(
    ({ scenario, results }) => scenario.model === model && /^(BF16|F16|F32)\b/.test(results[0]!.weightTypes),
  );
  return floats.find(({ scenario }) => scenario.job.backend === job.backend) ?? floats[0] ?? null;
}

function quality(
  { scenario, results }: Measured,
  baseline: Measured | null,
  references: readonly string[] | null,
): Pick<Summary, "wer" | "cer" | "wer_against" | "stars"> {
  const nothing = { wer: null, cer: null, wer_against: null, stars: null };
  if (scenario.job.workload.kind === "synthetic") return nothing;
  const against = references ?? baseline?.results[0]!.texts ?? null;
  if (against === null) return nothing;
  const { languages } = (baseline ?? { results }).results[0]!;
  const { wer, cer } = scoreTexts(against, results[0]!.texts, languages);
  const floatWer = baseline === null ? null : scoreTexts(against, baseline.results[0]!.texts, languages).wer;
  return {
    wer,
    cer,
    wer_against: references === null ? "float run" : "reference",
    stars: wer === null || floatWer === null ? null : starsOf(wer, floatWer),
  };
}

function noteOf(results: readonly RunResult[]): string | null {
  const notes = new Set(results.flatMap(({ note }) => (note === null ? [] : [note])));
  if (new Set(results.map(({ texts }) => texts.join("\n"))).size > 1)
    notes.add("the runs gave different texts");
  return notes.size === 0 ? null : [...notes].join("; ");
}
