import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VoxquantError } from "@voxquant/quant-core";
import type {
  BenchTypes,
  CommonMetrics,
  Message,
  Outcome,
  OutsideMetricName,
  RunResult,
} from "./measurement.js";
import { parsePerf, perfCommand } from "./perf-counters.js";
import { ResidentSampler } from "./process-status.js";

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Count instructions and cycles with `perf stat`. */
  readonly countEvents: boolean;
}

/** A measuring process could not do its job. */
export class MeasurementError extends VoxquantError {}

/**
 * Measures one run in a process of its own, so that its memory is its own.
 * @param child module of that process, which calls `answerJob`
 * @throws MeasurementError with the process's message, the signal's reason when aborted
 */
export async function runInChild<T extends BenchTypes>(
  child: URL,
  job: T["job"],
  options: RunOptions,
): Promise<RunResult<T>> {
  const folder = options.countEvents ? mkdtempSync(join(tmpdir(), "voxquant-perf-")) : null;
  try {
    const counts = folder === null ? null : join(folder, "counts.csv");
    const { outcome, spawned, readyAt, ended, resident } = await watch<T>(child, job, counts, options.signal);
    const events =
      counts === null ? { instructions: null, cycles: null } : parsePerf(readFileSync(counts, "utf8"));
    const outside: Pick<CommonMetrics, OutsideMetricName> = {
      cold_start_ms: readyAt - spawned,
      private_bytes: resident?.privateBytes ?? null,
      mapped_bytes: resident?.mappedBytes ?? null,
      ...events,
      wall_ms: ended - spawned,
    };
    return { ...outcome, metrics: { ...outcome.metrics, ...outside } as RunResult<T>["metrics"] };
  } finally {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  }
}

interface Watched<T extends BenchTypes> {
  readonly outcome: Outcome<T>;
  readonly spawned: number;
  readonly readyAt: number;
  readonly ended: number;
  readonly resident: ResidentSampler["peak"];
}

function watch<T extends BenchTypes>(
  module: URL,
  job: T["job"],
  countsPath: string | null,
  signal: AbortSignal,
): Promise<Watched<T>> {
  signal.throwIfAborted();
  const now = (): number => performance.timeOrigin + performance.now();
  const command = [process.execPath, fileURLToPath(module)];
  const [file, ...args] = countsPath === null ? command : perfCommand(countsPath, command);
  const spawned = now();
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
  let pid = child.pid;
  const onAbort = (): void => {
    try {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    } catch {
      // it has just ended by itself
    }
    child.kill("SIGKILL");
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return new Promise<Watched<T>>((resolve, reject) => {
    let sampler: ResidentSampler | null = null;
    let readyAt = spawned;
    let outcome: Outcome<T> | null = null;
    let problem: Error | null = null;
    let stderr = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-4000)));
    child.on(
      "error",
      (error) => (problem = new MeasurementError(`${file} does not start: ${error.message}`)),
    );
    child.on("message", (message: Message<T>) => {
      if (message.kind === "started") {
        ({ pid } = message); // under perf it is another one than the child's
        sampler = new ResidentSampler(pid);
      } else if (message.kind === "ready") {
        readyAt = message.at;
      } else if (message.kind === "done") {
        sampler?.sample();
        outcome = message.outcome;
      } else {
        problem = new MeasurementError(message.message);
      }
    });
    child.on("close", (code, killedBy) => {
      signal.removeEventListener("abort", onAbort);
      sampler?.stop();
      if (signal.aborted) reject(signal.reason as Error);
      else if (problem !== null) reject(problem);
      else if (outcome === null) {
        const how = killedBy === null ? `code ${code}` : `signal ${killedBy}`;
        const said = stderr.trim() === "" ? "" : `: ${stderr.trim()}`;
        reject(new MeasurementError(`the measuring process ended with ${how} before it was done${said}`));
      } else {
        resolve({ outcome, spawned, readyAt, ended: now(), resident: sampler?.peak ?? null });
      }
    });
    child.send(job);
  });
}
