import { monitorEventLoopDelay, type IntervalHistogram } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { BenchTypes, ClockMetrics, Message, Outcome } from "./measurement.js";

/**
 * The whole program of a measuring process: takes a job from its parent, reports, ends.
 * @param measure loads the model, calls `onReady` when that is done, and measures
 */
export function answerJob<T extends BenchTypes>(
  measure: (job: T["job"], onReady: () => void) => Promise<Outcome<T>>,
): void {
  const send = (message: Message<T>): Promise<void> =>
    new Promise((resolve) => process.send!(message, () => resolve()));
  process.once("message", (job: T["job"]) => {
    void send({ kind: "started", pid: process.pid });
    measure(job, () => void send({ kind: "ready", at: performance.timeOrigin + performance.now() }))
      .then((outcome) => send({ kind: "done", outcome }))
      .catch(({ name, message }: Error) => send({ kind: "failed", name, message }))
      .finally(() => process.exit()); // an idle thread pool must not keep it alive
  });
}

const DELAY_RESOLUTION_MS = 1;

/** Runs the work that is measured under the process's clocks and counters. */
export async function underClocks<R>(work: () => Promise<R>): Promise<{ result: R; metrics: ClockMetrics }> {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  await nextTick(delay);
  const before = process.resourceUsage();
  const result = await work();
  const after = process.resourceUsage();
  await nextTick(delay);
  delay.disable();
  return {
    result,
    metrics: {
      event_loop_delay_max_ms: delay.max / 1e6,
      user_ms: (after.userCPUTime - before.userCPUTime) / 1000,
      sys_ms: (after.systemCPUTime - before.systemCPUTime) / 1000,
      peak_rss_bytes: after.maxRSS * 1024,
      minor_faults: after.minorPageFault,
      major_faults: after.majorPageFault,
    },
  };
}

/** The monitor counts from one of its own ticks to the next: it needs one before the work and one after it. */
async function nextTick(delay: IntervalHistogram): Promise<void> {
  const seen = delay.count;
  while (delay.count === seen) await sleep(DELAY_RESOLUTION_MS);
}

/** Milliseconds that work takes. */
export async function timed<R>(work: () => Promise<R>): Promise<{ result: R; ms: number }> {
  const start = performance.now();
  const result = await work();
  return { result, ms: performance.now() - start };
}
