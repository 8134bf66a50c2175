import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InferredOptionTypes } from "yargs";
import { CommandFailure, UsageError } from "../exit.js";
import { flag, numberOf, repeatable, text } from "../options.js";
import { checkWritable, writeOutput } from "../output.js";
import type { Session } from "../session.js";
import { compareRuns } from "./compare.js";
import { formatHtml } from "./html.js";
import { describeMachine } from "./machine.js";
import { formatMarkdown } from "./markdown.js";
import type { BenchTypes } from "./measurement.js";
import { canCountEvents } from "./perf-counters.js";
import type { Report } from "./report.js";
import { formatResults, readResults, type BenchRun } from "./results-file.js";
import { runRounds } from "./rounds.js";
import { scenariosOf, type BenchSubjects } from "./scenarios.js";
import { summarize, type Judge } from "./summary.js";

const MANY = "may be given several times or as a list with commas";

/** The flags of every `bench`; a program adds those of its workload. */
export const BENCH_OPTIONS = {
  model: repeatable(`model folder, .gguf file, or the name of a downloaded model; ${MANY}`),
  weights: repeatable(
    `safetensors, a .gguf file, or a type such as q8_0 that the model is quantized to first; ${MANY}`,
  ),
  backend: repeatable(`auto, native, wasm, cpu or tensorflow; ${MANY}`),
  threads: repeatable(`threads (default: all cores; on wasm at most 8); ${MANY}`),
  precision: text("fast, or exact (float32 activations)", { default: "fast" }),
  qtype: repeatable(`type of the random weights of --synthetic (default: q8_0); ${MANY}`),
  runs: text("measured runs of each scenario", { default: "5" }),
  cold: flag("drop the weights from the system's file cache before each run"),
  "run-label": text("name of this run and its result files (default: the time)"),
  compare: text("label or .jsonl file of an earlier run to compare with"),
  results: text("folder for the result files", { default: "bench-results" }),
  cache: text("folder for quantized and random weights", { default: join(tmpdir(), "voxquant-bench") }),
  force: flag("overwrite the results of a run with the same label"),
  json: flag("print one JSON object per scenario instead of the tables"),
  quiet: flag("no progress or warnings"),
} as const;

export type BenchArguments = InferredOptionTypes<typeof BENCH_OPTIONS>;

/** A program's bench. */
export interface Bench<T extends BenchTypes, Size extends string> {
  /** Module of the measuring process, which calls `answerJob`. */
  readonly child: URL;
  readonly report: Report<T>;
  readonly judge: Judge<T>;
  readonly subjects: BenchSubjects<T, Size>;
}

/**
 * Measures every scenario in processes of their own, writes JSON lines, a Markdown table and an HTML page, and prints the
 * table or JSON.
 * @throws UsageError, ResourceError for results that exist already, CommandFailure if a scenario failed
 */
export async function runBench<T extends BenchTypes, Size extends string>(
  given: BenchArguments & { readonly synthetic?: string | undefined },
  bench: Bench<T, Size>,
  session: Session,
): Promise<void> {
  const { terminal } = session;
  const started = new Date().toISOString();
  const label = given["run-label"] ?? started.slice(0, 19).replaceAll(":", "-");
  if (!/^[\w.+-]+$/.test(label))
    throw new UsageError(`--run-label "${label}" names files: use letters, digits, ".", "-", "_" and "+"`);
  const runs = numberOf(given.runs, "runs", { min: 1, max: 1000, integer: true })!;
  const outputs = (["jsonl", "md", "html"] as const).map((type) => join(given.results, `${label}.${type}`));
  for (const path of outputs) await checkWritable(path, given.force);
  const before = given.compare === undefined ? null : readResults<T>(given.compare, given.results);

  const machine = describeMachine();
  if (machine.noisy)
    terminal.warn(`the machine is busy (load ${machine.load_average.toFixed(2)}): the figures will be noisy`);
  // Takes long where weights must be written first: all else of the command line is known to be right by now.
  const scenarios = await scenariosOf(given, bench.subjects, session);
  const plan = { child: bench.child, runs, cold: given.cold, countEvents: canCountEvents() };
  const { measured, failures } = await runRounds(scenarios, plan, session);

  const { report } = bench;
  const summaries = summarize(measured, given.cold ? "cold" : "warm", bench.judge);
  const run: BenchRun<T> = { label, started, machine, summaries };
  const comparison = before === null ? null : compareRuns(summaries, before.summaries, report);
  const markdown = formatMarkdown(run, comparison, report);
  const contents = [formatResults(run, measured), markdown, formatHtml(run, comparison, report)];
  for (const [i, path] of outputs.entries()) await writeOutput(path, contents[i]!);
  terminal.result(
    given.json ? summaries.map((summary) => `${JSON.stringify(summary)}\n`).join("") : markdown,
  );
  terminal.info(`written: ${outputs.join(", ")}`);
  if (failures > 0) throw new CommandFailure(`${failures} of ${scenarios.length} scenarios failed`);
}
