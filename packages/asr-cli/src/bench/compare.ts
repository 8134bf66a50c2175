import type { MetricName } from "./measurement.js";
import type { Summary } from "./summary.js";

/** What two runs are compared by: medians, smaller is better. */
export const COMPARED = [
  "load_ms",
  "encoder_ms",
  "prefill_ms",
  "decode_ms_per_token",
  "total_ms",
  "peak_rss_bytes",
] as const satisfies readonly MetricName[];

export interface Comparison {
  readonly now: Summary;
  /** Null for a scenario that the other run did not have. */
  readonly before: Summary | null;
  /** Now by before; null where one is missing or zero. */
  readonly ratios: Readonly<Record<(typeof COMPARED)[number], number | null>>;
  /** What got worse beyond its tolerance, empty if nothing did. */
  readonly worse: readonly string[];
}

/** Changes that count: time 5 %, memory 2 %, word error rate 0.2 points. */
const TIME_TOLERANCE = 1.05;
const MEMORY_TOLERANCE = 1.02;
const WER_TOLERANCE = 0.002;

/** Scenarios are the same if model, weights, backend, threads and audio are. */
export function compareRuns(now: readonly Summary[], before: readonly Summary[]): Comparison[] {
  const byKey = new Map(before.map((summary) => [keyOf(summary), summary]));
  return now.map((summary) => compare(summary, byKey.get(keyOf(summary)) ?? null));
}

function keyOf({ model, weights, backend, threads, precision, audio_s }: Summary): string {
  return JSON.stringify([model, weights, backend, threads, precision, Math.round(audio_s * 10)]);
}

function compare(now: Summary, before: Summary | null): Comparison {
  const ratio = (name: (typeof COMPARED)[number]): number | null =>
    before === null || !(before[name] > 0) ? null : now[name] / before[name];
  const ratios = Object.fromEntries(COMPARED.map((name) => [name, ratio(name)])) as Comparison["ratios"];
  const worse: string[] = [];
  if ((ratios.total_ms ?? 0) > TIME_TOLERANCE) worse.push("time");
  if ((ratios.peak_rss_bytes ?? 0) > MEMORY_TOLERANCE) worse.push("memory");
  if (before?.wer != null && now.wer !== null && now.wer > before.wer + WER_TOLERANCE) worse.push("errors");
  return { now, before, ratios, worse };
}
