import { existsSync } from "node:fs";
import {
  BENCH_OPTIONS,
  UsageError,
  expandGlob,
  numberOf,
  refuseOtherWorkload,
  repeatable,
  runBench,
  text,
  type Session,
} from "@voxquant/cli-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import type { Workload } from "../bench/measurement.js";
import { judgeTexts, readReferences } from "../bench/quality.js";
import { ASR_REPORT } from "../bench/report.js";
import { subjectsOf } from "../bench/subjects.js";
import { LEAST_BATCHED_SECONDS } from "../bench/synthetic-clip.js";

const options = {
  ...BENCH_OPTIONS,
  audio: repeatable("an audio file or pattern; may be given several times"),
  reference: text("what is said: text, one line per audio file, or JSON lines with file and text"),
  language: text("the language spoken, by name or code (default: recognised)"),
  "max-tokens": text("most tokens per piece (default: by its length)"),
  synthetic: text("qwen3-asr-0.6b or qwen3-asr-1.7b: random weights of that size instead of a model"),
  "audio-seconds": text("length of the synthetic clip", { default: "30" }),
  "prefill-tokens": text("tokens of the synthetic prompt (default: what the clip takes)"),
  "decode-tokens": text("tokens to generate for the synthetic clip", { default: "100" }),
  context: text("tokens in the cache where decoding is measured (default: the prompt's)"),
  batch: text("synthetic clips recognised together", { default: "1" }),
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
  const workload = await workloadOf(given);
  const references =
    given.reference === undefined || workload.kind === "synthetic"
      ? null
      : readReferences(given.reference, workload.audio);
  await runBench(
    given,
    {
      child: new URL("../bench/child.js", import.meta.url),
      report: ASR_REPORT,
      judge: judgeTexts(references),
      subjects: subjectsOf(workload),
    },
    session,
  );
}

/** Flags that belong to one kind of workload, to be refused with the other. */
const FOR_FILES = ["model", "weights", "audio", "reference", "language", "max-tokens"] as const;
const FOR_SYNTHETIC = ["qtype", "prefill-tokens", "context"] as const;

async function workloadOf(given: BenchArguments): Promise<Workload> {
  refuseOtherWorkload(given, FOR_FILES, FOR_SYNTHETIC);
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
