import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { compareRuns } from "../bench/compare.js";
import { formatHtml } from "../bench/html.js";
import { describeMachine } from "../bench/machine.js";
import { formatMarkdown } from "../bench/markdown.js";
import type { Workload } from "../bench/measurement.js";
import { canCountEvents } from "../bench/perf-counters.js";
import { readReferences } from "../bench/quality.js";
import { formatResults, readResults, type BenchRun } from "../bench/results-file.js";
import { runRounds } from "../bench/rounds.js";
import {
  scenariosOfModel,
  syntheticName,
  syntheticScenarios,
  type Scenario,
  type ScenarioAxes,
} from "../bench/scenario.js";
import { summarize } from "../bench/summary.js";
import { LEAST_BATCHED_SECONDS } from "../bench/synthetic-clip.js";
import { CommandFailure, UsageError } from "../exit.js";
import { expandGlob } from "../glob.js";
import { resolveModel } from "../model-path.js";
import { BACKENDS, choiceOf, flag, numberOf, repeatable, text } from "../options.js";
import { checkWritable, writeOutput } from "../output.js";
import type { Session } from "../session.js";

const MANY = "may be given several times or as a list with commas";

const options = {
  model: repeatable(`model folder, .gguf file, or the name of a downloaded model; ${MANY}`),
  weights: repeatable(
    `safetensors, a .gguf file, or a type such as q8_0 that the model is quantized to first; ${MANY}`,
  ),
  backend: repeatable(`auto, native, wasm, cpu or tensorflow; ${MANY}`),
  threads: repeatable(`threads of the native backend (default: all cores); ${MANY}`),
  precision: text("fast, or exact (float32 activations)", { default: "fast" }),
  audio: repeatable("an audio file or pattern; may be given several times"),
  reference: text("what is said: text, one line per audio file, or JSON lines with file and text"),
  language: text("the language spoken, by name or code (default: recognised)"),
  "max-tokens": text("most tokens per piece (default: by its length)"),
  synthetic: text("qwen3-asr-0.6b or qwen3-asr-1.7b: random weights of that size instead of a model"),
  qtype: repeatable(`type of the random weights (default: q8_0); ${MANY}`),
  "audio-seconds": text("length of the synthetic clip", { default: "30" }),
  "prefill-tokens": text("tokens of the synthetic prompt (default: what the clip takes)"),
  "decode-tokens": text("tokens to generate for the synthetic clip", { default: "100" }),
  context: text("tokens in the cache where decoding is measured (default: the prompt's)"),
  batch: text("synthetic clips recognised together", { default: "1" }),
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

export type BenchArguments = InferredOptionTypes<typeof options>;

export function benchCommand(session: Session): CommandModule<object, BenchArguments> {
  return {
    command: "bench",
    describe: "Measure speed, memory and errors of models, weights and backends",
    builder: (yargs: Argv) => yargs.options(options) as unknown as Argv<BenchArguments>,
    handler: (given) => bench(given, session),
  };
}

async function bench(given: BenchArguments, session: Session): Promise<void> {
  const { terminal } = session;
  const started = new Date().toISOString();
  const label = given["run-label"] ?? started.slice(0, 19).replaceAll(":", "-");
  if (!/^[\w.+-]+$/.test(label))
    throw new UsageError(`--run-label "${label}" names files: use letters, digits, ".", "-", "_" and "+"`);
  const runs = numberOf(given.runs, "runs", { min: 1, max: 1000, integer: true })!;
  const workload = await workloadOf(given);
  const references =
    given.reference === undefined || workload.kind === "synthetic"
      ? null
      : readReferences(given.reference, workload.audio);
  const outputs = (["jsonl", "md", "html"] as const).map((type) => join(given.results, `${label}.${type}`));
  for (const path of outputs) await checkWritable(path, given.force);
  const before = given.compare === undefined ? null : readResults(given.compare, given.results);

  const machine = describeMachine();
  if (machine.noisy)
    terminal.warn(`the machine is busy (load ${machine.load_average.toFixed(2)}): the figures will be noisy`);
  const scenarios = await scenariosOf(given, workload, session);
  const plan = { runs, cold: given.cold, countEvents: canCountEvents() };
  const { measured, failures } = await runRounds(scenarios, plan, session);

  const summaries = summarize(measured, references, given.cold ? "cold" : "warm");
  const run: BenchRun = { label, started, machine, summaries };
  const comparison = before === null ? null : compareRuns(summaries, before.summaries);
  const markdown = formatMarkdown(run, comparison);
  const contents = [formatResults(run, measured), markdown, formatHtml(run, comparison)];
  for (const [i, path] of outputs.entries()) await writeOutput(path, contents[i]!);
  terminal.result(
    given.json ? summaries.map((summary) => `${JSON.stringify(summary)}\n`).join("") : markdown,
  );
  terminal.info(`written: ${outputs.join(", ")}`);
  if (failures > 0) throw new CommandFailure(`${failures} of ${scenarios.length} scenarios failed`);
}

/** Flags that belong to one kind of workload, to be refused with the other. */
const FOR_FILES = ["model", "weights", "audio", "reference", "language", "max-tokens"] as const;
const FOR_SYNTHETIC = ["qtype", "prefill-tokens", "context"] as const;

async function workloadOf(given: BenchArguments): Promise<Workload> {
  const refused = given.synthetic === undefined ? FOR_SYNTHETIC : FOR_FILES;
  for (const name of refused) {
    if (given[name] === undefined) continue;
    throw new UsageError(
      `--${name} ${given.synthetic === undefined ? "is for --synthetic" : "cannot be used with --synthetic"}`,
    );
  }
  const count = (
    name: "prefill-tokens" | "decode-tokens" | "context" | "batch" | "max-tokens",
  ): number | null => numberOf(given[name], name, { min: 1, max: 65536, integer: true }) ?? null;
  if (given.synthetic === undefined) {
    const audio: string[] = [];
    for (const pattern of given.audio ?? []) audio.push(...(await expandGlob(pattern)));
    if (audio.length === 0) throw new UsageError("no audio: give --audio FILE, or --synthetic SIZE");
    const missing = audio.find((path) => !existsSync(path));
    if (missing !== undefined) throw new UsageError(`--audio ${missing}: no such file`);
    return { kind: "files", audio, language: given.language ?? null, maxTokens: count("max-tokens") };
  }
  const audioSeconds = numberOf(given["audio-seconds"], "audio-seconds", { min: 0.1, max: 1200 })!;
  const batch = count("batch")!;
  if (batch > 1 && audioSeconds < LEAST_BATCHED_SECONDS)
    throw new UsageError(`--batch ${batch} needs --audio-seconds of at least ${LEAST_BATCHED_SECONDS}`);
  return {
    kind: "synthetic",
    audioSeconds,
    batch,
    prefillTokens: count("prefill-tokens"),
    decodeTokens: count("decode-tokens")!,
    context: count("context"),
  };
}

async function scenariosOf(given: BenchArguments, workload: Workload, session: Session): Promise<Scenario[]> {
  const axes: ScenarioAxes = {
    backends: listOf(given.backend ?? ["auto"]).map((name) => choiceOf(name, "backend", BACKENDS)),
    threads: (given.threads === undefined ? [undefined] : listOf(given.threads)).map(
      (count) => numberOf(count, "threads", { min: 1, max: 256, integer: true }) ?? null,
    ),
    precision: choiceOf(given.precision, "precision", ["fast", "exact"] as const),
    workload,
  };
  if (given.synthetic !== undefined) {
    const qtypes = listOf(given.qtype ?? ["q8_0"]);
    return syntheticScenarios(syntheticName(given.synthetic), qtypes, given.cache, axes, session);
  }
  const scenarios: Scenario[] = [];
  for (const model of given.model === undefined ? [undefined] : listOf(given.model)) {
    const source = resolveModel(model, session.env);
    scenarios.push(
      ...(await scenariosOfModel(source, listOf(given.weights ?? []), given.cache, axes, session)),
    );
  }
  return scenarios;
}

/** Values of a flag that may be lists with commas; a path that has one and exists stays whole. */
function listOf(values: readonly string[]): string[] {
  return values
    .flatMap((value) => (existsSync(value) ? [value] : value.split(",")))
    .filter((value) => value !== "");
}
