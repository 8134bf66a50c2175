import type { BenchTypes, MetricName } from "./measurement.js";
import type { Report } from "./report.js";
import type { Summary } from "./summary.js";

export interface Comparison<T extends BenchTypes> {
  readonly now: Summary<T>;
  /** Null for a scenario that the other run did not have. */
  readonly before: Summary<T> | null;
  /** Now by before, for what the report compares; null where one is missing or zero. */
  readonly ratios: Readonly<Partial<Record<MetricName<T>, number | null>>>;
  /** What got worse beyond its tolerance, empty if nothing did. */
  readonly worse: readonly string[];
}

/** Changes that count: time 5 %, memory 2 %. */
const TIME_TOLERANCE = 1.05;
const MEMORY_TOLERANCE = 1.02;

/** Scenarios are the same if model, weights, backend, threads and the audio's length are. */
export function compareRuns<T extends BenchTypes>(
  now: readonly Summary<T>[],
  before: readonly Summary<T>[],
  report: Report<T>,
): Comparison<T>[] {
  const byKey = new Map(before.map((summary) => [keyOf(summary), summary]));
  return now.map((summary) => compare(summary, byKey.get(keyOf(summary)) ?? null, report));
}

function keyOf<T extends BenchTypes>(summary: Summary<T>): string {
  const { model, weights, backend, threads, precision, audio_s } = summary;
  return JSON.stringify([model, weights, backend, threads, precision, Math.round(audio_s * 10)]);
}

function compare<T extends BenchTypes>(
  now: Summary<T>,
  before: Summary<T> | null,
  report: Report<T>,
): Comparison<T> {
  const ratio = (name: MetricName<T>): number | null => {
    const [a, b] = [now, before].map((summary) => summary?.[name] as number | null | undefined);
    return a != null && b != null && b > 0 ? a / b : null;
  };
  const ratios = Object.fromEntries(report.compared.map((name) => [name, ratio(name)]));
  const worse: string[] = [];
  if ((ratio("total_ms") ?? 0) > TIME_TOLERANCE) worse.push("time");
  if ((ratio("peak_rss_bytes") ?? 0) > MEMORY_TOLERANCE) worse.push("memory");
  if (before !== null) worse.push(...report.worse(now, before));
  return { now, before, ratios: ratios as Comparison<T>["ratios"], worse };
}
