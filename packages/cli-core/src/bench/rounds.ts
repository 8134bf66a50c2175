import { CommandFailure, describeError, isAbort } from "../exit.js";
import type { Session } from "../session.js";
import { digestOf, dropFromCache, readDigests } from "./file-cache.js";
import { threadsText } from "./markdown.js";
import type { BenchTypes, Measured, RunResult, Scenario } from "./measurement.js";
import { runInChild } from "./run-child.js";

export interface RoundOptions {
  /** Module of the measuring process, which calls `answerJob`. */
  readonly child: URL;
  readonly runs: number;
  /** Drop the weights from the file cache before each run; else they are read once before the first. */
  readonly cold: boolean;
  readonly countEvents: boolean;
}

/**
 * Runs every scenario once per round, in alternating order, so that slow changes of the machine meet all alike. A
 * scenario that fails is reported and left out of the further rounds.
 * @throws CommandFailure if none works
 */
export async function runRounds<T extends BenchTypes>(
  scenarios: readonly Scenario<T>[],
  { child, runs, cold, countEvents }: RoundOptions,
  { terminal, signal }: Session,
): Promise<{ measured: Measured<T>[]; failures: number }> {
  const digests = await readDigests(new Set(scenarios.flatMap(({ files }) => files)), signal);
  const states = scenarios.map((scenario) => ({
    scenario,
    fileSha256: digestOf(scenario.files, digests),
    results: [] as RunResult<T>[],
    failed: false,
  }));
  for (let round = 0; round < runs; round++) {
    const order = round % 2 === 0 ? states : [...states].reverse();
    for (const state of order) {
      if (state.failed) continue;
      const { scenario } = state;
      if (cold) dropFromCache(scenario.files);
      try {
        const result = await runInChild<T>(child, scenario.job, { signal, countEvents });
        state.results.push(result);
        const total = (result.metrics.total_ms / 1000).toFixed(2);
        terminal.info(`run ${round + 1} of ${runs}, ${titleOf(scenario)}: ${total} s`);
      } catch (error) {
        if (isAbort(error)) throw error;
        state.failed = true;
        terminal.error(`${titleOf(scenario)}: ${describeError(error)}`);
      }
    }
  }
  const failures = states.filter(({ failed }) => failed).length;
  if (failures === states.length) throw new CommandFailure("no scenario could be measured");
  return { measured: states.filter(({ failed }) => !failed), failures };
}

function titleOf<T extends BenchTypes>({ model, weights, job }: Scenario<T>): string {
  return `${model} ${weights} ${job.backend}${job.threads === null ? "" : ` ${threadsText(job.threads)}`}`;
}
