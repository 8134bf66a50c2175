import {
  BENCH_OPTIONS,
  UsageError,
  choiceOf,
  listOf,
  numberOf,
  refuseOtherWorkload,
  repeatable,
  runBench,
  text,
  type Session,
} from "@voxquant/cli-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import type { Workload } from "../bench/measurement.js";
import { judgeSpeech } from "../bench/quality.js";
import { TTS_REPORT } from "../bench/report.js";
import { subjectsOf, type Work } from "../bench/subjects.js";
import { linesOf } from "../text-lines.js";

const options = {
  ...BENCH_OPTIONS,
  text: repeatable("a text to speak; may be given several times"),
  "text-file": text("file with texts to speak, one per line"),
  speaker: text("a voice of the checkpoint (default: its first)"),
  language: text("the language of the texts (default: auto)"),
  instruct: text("how to speak, or the voice to speak with (for models that take it)"),
  voice: text("a cloned voice, as synthesize --save-voice wrote it (for models that can clone)"),
  temperature: text("0 takes the most likely code always (default: the checkpoint's)"),
  normalize: text("on or off: write out numbers, dates, units and abbreviations", { default: "on" }),
  seed: text("of the random draws", { default: "1" }),
  recognizer: text("speech recognition model that tells what is heard, for word error rates"),
  synthetic: text("qwen3-tts-0.6b or qwen3-tts-1.7b: random weights of that size instead of a model"),
  "text-tokens": text("tokens of the synthetic text (default: 30)"),
  frames: text("codec frames to make of it (default: 125, 10 s)"),
  batch: repeatable(
    "texts spoken together (default: 1, streamed); may be given several times or as a list with commas",
  ),
} as const;

export type BenchArguments = InferredOptionTypes<typeof options>;

export function benchCommand(session: Session): CommandModule<object, BenchArguments> {
  return {
    command: "bench",
    describe: "Measure speed, memory and quality of models, weights and backends",
    builder: (yargs: Argv) => yargs.options(options) as unknown as Argv<BenchArguments>,
    handler: (given) => bench(given, session),
  };
}

async function bench(given: BenchArguments, session: Session): Promise<void> {
  const work: Work = {
    workload: workloadOf(given),
    seed: numberOf(given.seed, "seed", { min: 0, max: 2 ** 32 - 1, integer: true })!,
    batches: listOf(given.batch ?? ["1"]).map((count) =>
      numberOf(count, "batch", { min: 1, max: 64, integer: true })!,
    ),
  };
  await runBench(
    given,
    {
      child: new URL("../bench/child.js", import.meta.url),
      report: TTS_REPORT,
      judge: judgeSpeech,
      subjects: subjectsOf(work),
    },
    session,
  );
}

/** Flags that belong to one kind of workload, to be refused with the other. */
const FOR_TEXTS = [
  ...["model", "weights", "text", "text-file", "speaker", "language", "instruct", "voice"],
  ...["temperature", "recognizer"],
] as const;
const FOR_SYNTHETIC = ["qtype", "text-tokens", "frames"] as const;

/** The longest text that is not cut into sentences. */
const MAX_TEXT_TOKENS = 300;

function workloadOf(given: BenchArguments): Workload {
  refuseOtherWorkload(given, FOR_TEXTS, FOR_SYNTHETIC);
  if (given.synthetic !== undefined) {
    const count = (name: "text-tokens" | "frames", usual: number, max: number): number =>
      numberOf(given[name], name, { min: 1, max, integer: true }) ?? usual;
    return {
      kind: "synthetic",
      textTokens: count("text-tokens", 30, MAX_TEXT_TOKENS),
      frames: count("frames", 125, 8000),
    };
  }
  const texts = [
    ...(given.text ?? []),
    ...(given["text-file"] === undefined ? [] : linesOf(given["text-file"], "text-file")),
  ];
  if (texts.length === 0)
    throw new UsageError("no text: give --text TEXT, --text-file FILE, or --synthetic SIZE");
  return {
    kind: "texts",
    texts,
    speaker: given.speaker ?? null,
    language: given.language ?? null,
    instruct: given.instruct ?? null,
    voice: given.voice ?? null,
    temperature: numberOf(given.temperature, "temperature", { min: 0, max: 100 }) ?? null,
    normalize: choiceOf(given.normalize, "normalize", ["on", "off"] as const) === "on",
    recognizer: given.recognizer ?? null,
  };
}
