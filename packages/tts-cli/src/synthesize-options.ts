import { randomInt } from "node:crypto";
import type { SynthesizeOptions } from "@voxquant/acoustic-model";
import { UsageError, choiceOf, flag, numberOf, text } from "@voxquant/cli-core";
import type { InferredOptionTypes } from "yargs";
import { audioFormatOf, type AudioFormat } from "./audio-format.js";
import { MODEL_OPTIONS, modelSettings } from "./model-options.js";

export const SYNTHESIZE_OPTIONS = {
  ...MODEL_OPTIONS,
  "text-file": text("file with the text, UTF-8 ('-': stdin)"),
  output: text("audio file to write, '-' for stdout", { alias: "o", default: "out.wav" }),
  format: text("wav (16 bits), wav-float (32 bits) or pcm (bare 16-bit samples; default for stdout)"),
  force: flag("overwrite existing output"),
  speaker: text("a voice of the checkpoint (default: its first; the command voices lists them)"),
  language: text("the language of the text (default: auto)"),
  instruct: text("how to speak, or the voice to speak with, in plain words (for models that take it)"),
  "reference-audio": text("recording of the voice to speak with (for models that can clone)"),
  "reference-text": text("what is said in it: its manner of speaking is continued too"),
  voice: text("a cloned voice, as --save-voice wrote it"),
  "save-voice": text("write the voice of --reference-audio, to be used again with --voice"),
  seed: text("a whole number; the same one gives the same speech (default: any)"),
  temperature: text("0 takes the most likely code always (default: the checkpoint's)"),
  "top-k": text("draw from this many codes, 0 for all (default: the checkpoint's)"),
  "top-p": text("draw from this share of the probability (default: the checkpoint's)"),
  "repetition-penalty": text("1 is none (default: the checkpoint's)"),
  "max-seconds": text("longest speech of one sentence (default: what its text can take)"),
  normalize: text("on or off: write out numbers, dates, units and abbreviations", { default: "on" }),
  "streaming-text": flag("give the model the text along with the audio, not before it"),
  "from-sentence": text("begin at this sentence, 1 being the first", { default: "1" }),
  resume: flag("keep the complete sentences when interrupted, and continue such an output"),
  trace: text("write the stage tensors to this .safetensors file"),
  json: flag("print what was made as JSON: sentences, codes, times, warnings"),
  quiet: flag("no progress, warnings or notes"),
} as const;

export type SynthesizeArguments = InferredOptionTypes<typeof SYNTHESIZE_OPTIONS> & { text?: string[] };

/** What the flags say, checked. */
export interface SynthesizeSettings {
  readonly model: ReturnType<typeof modelSettings>;
  readonly format: AudioFormat;
  /** Null: not given. */
  readonly seed: number | null;
  /** From 0. */
  readonly fromSentence: number;
  /** All that the speech depends on but text, voice and seed. */
  readonly speech: SynthesizeOptions;
}

/** Seeds are 32-bit numbers. */
const SEED_LIMIT = 2 ** 32;

export function randomSeed(): number {
  return randomInt(SEED_LIMIT);
}

/** Checks all flags before anything is read or loaded. @throws UsageError */
export function readSettings(given: SynthesizeArguments): SynthesizeSettings {
  refuseContradictions(given);
  const number = (name: keyof typeof LIMITS): number | undefined => numberOf(given[name], name, LIMITS[name]);
  const [temperature, topK, topP] = [number("temperature"), number("top-k"), number("top-p")];
  const [repetitionPenalty, maxSeconds] = [number("repetition-penalty"), number("max-seconds")];
  return {
    model: modelSettings(given),
    format: audioFormatOf(given.output, given.format),
    seed: number("seed") ?? null,
    fromSentence: number("from-sentence")! - 1,
    speech: {
      normalize: choiceOf(given.normalize, "normalize", ["on", "off"] as const) === "on",
      ...(given.speaker === undefined ? {} : { speaker: given.speaker }),
      ...(given.language === undefined ? {} : { language: given.language }),
      ...(given.instruct === undefined ? {} : { instruct: given.instruct }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
      ...(repetitionPenalty === undefined ? {} : { repetitionPenalty }),
      ...(maxSeconds === undefined ? {} : { maxSeconds }),
      // Not given: the layout that the checkpoint's variant is used with.
      ...(given["streaming-text"] ? { streamingText: true } : {}),
    },
  };
}

const LIMITS = {
  seed: { min: 0, max: SEED_LIMIT - 1, integer: true },
  temperature: { min: 0, max: 100 },
  "top-k": { min: 0, max: 1_000_000, integer: true },
  "top-p": { min: 0, max: 1 },
  "repetition-penalty": { min: 0.01, max: 100 },
  "max-seconds": { min: 0.08, max: 3600 },
  "from-sentence": { min: 1, max: 10_000_000, integer: true },
} as const;

function refuseContradictions(given: SynthesizeArguments): void {
  const toStdout = given.output === "-";
  if (toStdout && given.json) throw new UsageError("--json and --output - would both write to stdout");
  if (given["reference-audio"] === undefined) {
    for (const name of ["reference-text", "save-voice"] as const)
      if (given[name] !== undefined) throw new UsageError(`--${name} needs --reference-audio`);
  } else if (given.voice !== undefined) {
    throw new UsageError("--voice and --reference-audio both say which voice to speak with: give one");
  }
  if (!given.resume) return;
  if (toStdout) throw new UsageError("--resume needs a file: --output FILE");
  if (given["from-sentence"] !== "1")
    throw new UsageError("--resume finds the sentence itself: leave out --from-sentence");
  if (given.trace !== undefined) throw new UsageError("--trace does not go with --resume");
}
