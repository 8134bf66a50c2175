import { existsSync } from "node:fs";
import type {
  AsrModel,
  ForcedAligner,
  LoadAsrOptions,
  Transcript,
  TranscribeOptions,
} from "@voxquant/asr-model";
import {
  BACKENDS,
  CommandFailure,
  TraceFile,
  UsageError,
  checkWritable,
  choiceOf,
  describeError,
  expandGlob,
  flag,
  isAbort,
  numberOf,
  operandsOf,
  parseBytes,
  repeatable,
  resolveModel,
  startProgress,
  text,
  writeOutput,
  type Session,
} from "@voxquant/cli-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { CATALOGUE } from "../catalogue.js";
import { planOutput, type OutputPlan } from "../output-plan.js";
import { FORMATS, formatTranscript, transcriptRecord, type Format } from "../transcript-format.js";
import { PCM_FORMATS, transcribePcm } from "./transcribe-stream.js";

const options = {
  audio: repeatable("an audio file or pattern; may be given several times ('-' reads a file from stdin)"),
  model: text("model folder, .gguf file, URL, or the name of a downloaded model"),
  language: text("the language spoken, by name or code (default: recognised)"),
  prompt: text("context for the model, such as names and terms that may occur"),
  format: text("text, json, srt, vtt, lrc or csv", { default: "text" }),
  json: flag("the same as --format json"),
  output: text("file to write instead of stdout; for several inputs a folder"),
  force: flag("overwrite existing output"),
  "decoder-weights": text("auto, safetensors or gguf: which weights of a model folder the decoder takes", {
    default: "auto",
  }),
  "decoder-gguf": text("GGUF file with the decoder's weights, relative to the model folder"),
  backend: text("auto, native, wasm, cpu or tensorflow", { default: "auto" }),
  threads: text("threads (default: all cores; on wasm at most 8)"),
  precision: text("fast, or exact (float32 activations)", { default: "fast" }),
  "memory-limit": text("refuse a model that needs more, e.g. 4GB (default: what the machine has)"),
  "segment-seconds": text("longest piece that recordings are cut into at pauses (default: 30)"),
  "no-vad": flag("do not look for speech: long recordings are cut only every 1200 s"),
  timestamps: text("segment, or word (needs --aligner)", { default: "segment" }),
  aligner: text("model folder or file of the forced aligner"),
  "max-tokens": text("most tokens per piece (default: by its length)"),
  trace: text("write the stage tensors of one input to this .safetensors file"),
  stream: text("read raw PCM from stdin ('-') and print the text while it grows"),
  "stream-rate": text("sample rate of the raw PCM", { default: "16000" }),
  "stream-format": text("s16le or f32le", { default: "s16le" }),
  quiet: flag("no progress, warnings or notes"),
} as const;

export type TranscribeArguments = InferredOptionTypes<typeof options> & { files?: string[] };

export function transcribeCommand(session: Session): CommandModule<object, TranscribeArguments> {
  return {
    command: "transcribe [files..]",
    describe: "Turn speech into text",
    builder: (yargs: Argv) =>
      yargs
        .positional("files", {
          type: "string",
          array: true,
          describe: "audio files or patterns such as 'calls/*.wav'",
        })
        .options(options) as unknown as Argv<TranscribeArguments>,
    handler: (given) => transcribe(given, session),
  };
}

async function transcribe(given: TranscribeArguments, session: Session): Promise<void> {
  const { terminal, signal } = session;
  const settings = readSettings(given);
  const { aligner } = given;
  if (settings.stream !== null) {
    const { model } = await loadModel(given, session);
    try {
      await transcribePcm(
        model,
        settings.stream,
        { ...settings.options, signal },
        settings.format === "json",
        terminal,
      );
    } finally {
      await model.dispose();
    }
    return;
  }

  const inputs = await inputsOf(operandsOf([...(given.files ?? []), ...(given.audio ?? [])]));
  const plan = planOutput(
    given.output,
    inputs,
    EXTENSIONS[settings.format],
    settings.format !== "json" && settings.format !== "text",
  );
  for (const path of plan.kind === "each" ? plan.paths : [plan.path]) {
    if (path !== null) await checkWritable(path, given.force);
  }
  if (given.trace !== undefined) {
    if (inputs.length > 1) throw new UsageError("--trace is for one input");
    await checkWritable(given.trace, given.force);
  }
  const { model, words } = await loadModel(given, session, aligner);
  try {
    const trace = given.trace === undefined ? null : new TraceFile();
    const run: TranscribeOptions = {
      ...settings.options,
      signal,
      ...(words === null ? {} : { aligner: words }),
      ...(trace === null ? {} : { trace: trace.sink }),
    };
    await transcribeAll(model, inputs, plan, run, settings.format, session);
    if (trace !== null) await trace.write(given.trace!);
  } finally {
    await words?.dispose?.();
    await model.dispose();
  }
}

async function transcribeAll(
  model: AsrModel,
  inputs: readonly string[],
  plan: OutputPlan,
  options: TranscribeOptions,
  format: Format,
  session: Session,
): Promise<void> {
  const { terminal } = session;
  const several = inputs.length > 1;
  const together: { input: string; outcome: Transcript | Error }[] = [];
  let failures = 0;
  for (const [index, input] of inputs.entries()) {
    let outcome: Transcript | Error;
    try {
      outcome = await transcribeOne(model, input, options, session);
    } catch (error) {
      if (isAbort(error)) throw error;
      const message = describeFailure(input, error);
      if (!several) throw new CommandFailure(message, { cause: error });
      terminal.error(message);
      outcome = error instanceof Error ? error : new Error(String(error));
      failures++;
    }
    if (plan.kind === "each") {
      if (!(outcome instanceof Error)) {
        const path = plan.paths[index]!;
        await writeOutput(path, formatTranscript(outcome, format, { input, model, several: false }));
        terminal.info(`${input} -> ${path}`);
      }
    } else if (plan.path === null && format === "text") {
      // Text of several files appears as it is made; the other formats are one document.
      if (!(outcome instanceof Error))
        terminal.result(formatTranscript(outcome, format, { input, model, several }));
    } else {
      together.push({ input, outcome });
    }
  }
  if (plan.kind === "together" && together.length > 0) {
    const content = documentOf(together, model, format);
    if (plan.path === null) terminal.result(content);
    else if (failures < inputs.length) await writeOutput(plan.path, content);
  }
  if (failures > 0) throw new CommandFailure(`${failures} of ${inputs.length} files failed`);
}

/** What went wrong with which file; many messages name it themselves. */
function describeFailure(input: string, error: unknown): string {
  const message = describeError(error);
  return message.includes(input) ? message : `${input === "-" ? "stdin" : input}: ${message}`;
}

/** All results as one text: a JSON array in the inputs' order (with the errors in it), or one line per file. */
function documentOf(
  results: readonly { input: string; outcome: Transcript | Error }[],
  model: AsrModel,
  format: Format,
): string {
  const several = results.length > 1;
  if (format === "json" && several) {
    const records = results.map(({ input, outcome }) =>
      outcome instanceof Error
        ? { file: input, error: { name: outcome.name, message: outcome.message } }
        : transcriptRecord(outcome, input, model),
    );
    return `${JSON.stringify(records, null, 2)}\n`;
  }
  return results
    .map(({ input, outcome }) =>
      outcome instanceof Error ? "" : formatTranscript(outcome, format, { input, model, several }),
    )
    .join("");
}

async function transcribeOne(
  model: AsrModel,
  input: string,
  options: TranscribeOptions,
  session: Session,
): Promise<Transcript> {
  const { terminal } = session;
  const progress = startProgress(terminal, input === "-" ? "stdin" : input, "audio");
  try {
    const transcript = await model.transcribe(input === "-" ? process.stdin : input, {
      ...options,
      onProgress: ({ secondsDone, secondsTotal, segments }) =>
        progress.update(secondsDone, secondsTotal, segments > 0 ? `${segments} segments` : ""),
    });
    progress.stop();
    for (const hint of hintsOf(transcript)) terminal.warn(`${input}: ${hint}`);
    const seconds = transcript.timings.totalMs / 1000;
    terminal.info(
      `${input}: ${transcript.audioSeconds.toFixed(1)} s of audio in ${seconds.toFixed(2)} s` +
        (transcript.language === "" ? "" : `, ${transcript.language}`),
    );
    return transcript;
  } finally {
    progress.stop();
  }
}

/** What a reader of the text should know about how it ended. */
function hintsOf(transcript: Transcript): string[] {
  const hints: string[] = [];
  const reasons = new Set(transcript.segments.map((segment) => segment.stopReason));
  if (reasons.has("length")) hints.push("the text was cut at the token limit; raise it with --max-tokens");
  if (reasons.has("repetition")) hints.push("the model began to repeat itself; the repeats were cut off");
  if (transcript.stopReason === "no-speech") hints.push("no speech found");
  return hints;
}

async function loadModel(
  given: TranscribeArguments,
  { terminal, signal, env }: Session,
  alignerSource?: string,
): Promise<{ model: AsrModel; words: ForcedAligner | null }> {
  const source = resolveModel(given.model, CATALOGUE, env);
  const alignerPath =
    alignerSource === undefined ? null : resolveModel(alignerSource, CATALOGUE, env, "--aligner");
  const { loadAsrModel, loadForcedAligner } = await import("@voxquant/asr-model");
  const progress = startProgress(terminal, "Loading", "bytes");
  const threads = numberOf(given.threads, "threads", { min: 1, max: 1024, integer: true });
  const memoryLimit = given["memory-limit"];
  const options: LoadAsrOptions = {
    backend: choiceOf(given.backend, "backend", BACKENDS),
    precision: choiceOf(given.precision, "precision", ["fast", "exact"] as const),
    signal,
    ...(threads === undefined ? {} : { threads }),
    ...(memoryLimit === undefined ? {} : { memoryLimitBytes: parseBytes(memoryLimit, "--memory-limit") }),
    onProgress: ({ bytesDone, bytesTotal, what }) => progress.update(bytesDone, bytesTotal, what),
    onWarning: (message) => terminal.warn(message),
    onLog: (message) => terminal.info(message),
  };
  try {
    const model = await loadAsrModel(source, {
      ...options,
      decoderWeights: choiceOf(given["decoder-weights"], "decoder-weights", [
        "auto",
        "safetensors",
        "gguf",
      ] as const),
      ...(given["decoder-gguf"] === undefined ? {} : { decoderGguf: given["decoder-gguf"] }),
    });
    const words = alignerPath === null ? null : await loadForcedAligner(alignerPath, options);
    return { model, words };
  } finally {
    progress.stop();
  }
}

interface Settings {
  readonly format: Format;
  readonly stream: { rate: number; format: (typeof PCM_FORMATS)[number] } | null;
  readonly options: TranscribeOptions;
}

/** Checks all flags before anything is loaded. @throws UsageError */
function readSettings(given: TranscribeArguments): Settings {
  const format = choiceOf(given.json ? "json" : given.format, "format", FORMATS);
  const timestamps = choiceOf(given.timestamps, "timestamps", ["segment", "word"] as const);
  if (timestamps === "word" && given.aligner === undefined)
    throw new UsageError("--timestamps word needs --aligner MODEL");
  if (timestamps !== "word" && given.aligner !== undefined)
    throw new UsageError("--aligner is for --timestamps word");
  choiceOf(given.backend, "backend", BACKENDS);
  choiceOf(given.precision, "precision", ["fast", "exact"]);
  const decoder = choiceOf(given["decoder-weights"], "decoder-weights", ["auto", "safetensors", "gguf"]);
  if (decoder === "safetensors" && given["decoder-gguf"] !== undefined) {
    throw new UsageError("--decoder-gguf contradicts --decoder-weights safetensors");
  }
  numberOf(given.threads, "threads", { min: 1, max: 1024, integer: true });
  if (given["memory-limit"] !== undefined) parseBytes(given["memory-limit"], "--memory-limit");
  const maxTokens = numberOf(given["max-tokens"], "max-tokens", { min: 1, max: 65_536, integer: true });
  const segmentSeconds = numberOf(given["segment-seconds"], "segment-seconds", { min: 1, max: 1200 });
  const rate = numberOf(given["stream-rate"], "stream-rate", { min: 1000, max: 768_000, integer: true })!;
  const pcm = choiceOf(given["stream-format"], "stream-format", PCM_FORMATS);
  if (given.stream !== undefined) checkStream(given, format);
  return {
    format,
    stream: given.stream === undefined ? null : { rate, format: pcm },
    options: {
      timestamps,
      vad: !given["no-vad"],
      ...(given.language === undefined ? {} : { language: given.language }),
      ...(given.prompt === undefined ? {} : { prompt: given.prompt }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(segmentSeconds === undefined ? {} : { segmentSeconds }),
    },
  };
}

function checkStream(given: TranscribeArguments, format: Format): void {
  if (given.stream !== "-")
    throw new UsageError(`--stream "${given.stream}": only "-" (raw PCM from stdin) is possible`);
  const others = (["output", "aligner", "trace"] as const).filter((name) => given[name] !== undefined);
  if (others.length > 0) throw new UsageError(`--stream does not go with --${others[0]}`);
  if ((given.files ?? []).length > 0 || (given.audio ?? []).length > 0)
    throw new UsageError("--stream reads stdin: give no files with it");
  if (format !== "text" && format !== "json")
    throw new UsageError("--stream prints text or, with --format json, one JSON object per line");
}

/** Files of all patterns in the order given; a missing one stays in the list when there are others, and fails alone. */
async function inputsOf(patterns: readonly string[]): Promise<string[]> {
  if (patterns.length === 0) throw new UsageError("no audio: name one or more files, or - for stdin");
  const inputs: string[] = [];
  for (const pattern of patterns) {
    const files = pattern === "-" || isUrl(pattern) ? [pattern] : await expandGlob(pattern);
    if (files.length === 0) throw new UsageError(`no file matches ${pattern}`);
    inputs.push(...files);
  }
  if (inputs.filter((input) => input === "-").length > 1)
    throw new UsageError("stdin (-) can be read only once");
  if (!inputs.some((input) => input === "-" || isUrl(input) || existsSync(input))) {
    const { ResourceError } = await import("@voxquant/quant-core");
    throw new ResourceError(inputs.map((input) => `${input}: no such file`).join("\n"));
  }
  return inputs;
}

function isUrl(input: string): boolean {
  return /^https?:\/\//.test(input);
}

const EXTENSIONS: Readonly<Record<Format, string>> = {
  text: "txt",
  json: "json",
  srt: "srt",
  vtt: "vtt",
  lrc: "lrc",
  csv: "csv",
};
