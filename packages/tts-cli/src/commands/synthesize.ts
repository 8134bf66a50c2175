import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type {
  SynthesisTimings,
  SynthesizedSentence,
  SynthesizeOptions,
  TtsModel,
  Voice,
} from "@voxquant/acoustic-model";
import { openAudio, readAll } from "@voxquant/audio";
import {
  TraceFile,
  UsageError,
  checkWritable,
  operandsOf,
  startProgress,
  type Session,
} from "@voxquant/cli-core";
import { ResourceError } from "@voxquant/quant-core";
import type { Argv, CommandModule } from "yargs";
import { AudioEncoder } from "../audio-format.js";
import { loadModel, type LoadModel } from "../model-options.js";
import { ResumableOutput, interruptedSeed, type ResumeRequest } from "../resumable-output.js";
import { FileOutput, StdoutOutput, type SpeechOutput } from "../speech-output.js";
import {
  SYNTHESIZE_OPTIONS,
  randomSeed,
  readSettings,
  type SynthesizeArguments,
  type SynthesizeSettings,
} from "../synthesize-options.js";
import { readText } from "../text-input.js";

export function synthesizeCommand(
  session: Session,
  load: LoadModel,
): CommandModule<object, SynthesizeArguments> {
  return {
    command: "synthesize [text..]",
    describe: "Turn text into speech",
    builder: (yargs: Argv) =>
      yargs
        .positional("text", { type: "string", array: true, describe: "the text, '-' for stdin" })
        .options(SYNTHESIZE_OPTIONS) as unknown as Argv<SynthesizeArguments>,
    handler: (given) => synthesize(given, session, load),
  };
}

async function synthesize(given: SynthesizeArguments, session: Session, load: LoadModel): Promise<void> {
  const { terminal } = session;
  const settings = readSettings(given);
  if (given.output === "-" && terminal.stdoutIsTerminal)
    throw new UsageError(
      "--output - writes audio to stdout, which is a terminal: name a file, or pipe it on",
    );
  const words = operandsOf(given.text);
  const onlyVoice =
    given["save-voice"] !== undefined && words.length === 0 && given["text-file"] === undefined;
  const text = onlyVoice ? null : await readText(words, given["text-file"], process.stdin);
  await checkFiles(given, text !== null);
  const { readVoice, writeVoice } = await import("@voxquant/acoustic-model");
  const saved = given.voice === undefined ? null : await readVoice(given.voice);

  const model = await loadModel(load, given, settings.model, session);
  try {
    const voice = saved ?? (await referenceVoice(model, given, session));
    if (voice !== null && given["save-voice"] !== undefined) {
      await writeVoice(given["save-voice"], voice);
      terminal.info(`${given["save-voice"]}: the voice, for --voice`);
    }
    if (text !== null) await speak(model, text, voice, given, settings, session);
  } finally {
    await model.dispose();
  }
}

/** Says before the work what would go wrong after it. @throws ResourceError */
async function checkFiles(given: SynthesizeArguments, speaks: boolean): Promise<void> {
  const outputs = [
    given["save-voice"],
    given.trace,
    speaks && given.output !== "-" ? given.output : undefined,
  ];
  for (const path of outputs) if (path !== undefined) await checkWritable(path, given.force);
  const reference = given["reference-audio"];
  if (reference !== undefined && !existsSync(reference) && !/^https?:\/\//.test(reference))
    throw new ResourceError(`--reference-audio ${reference}: no such file`);
}

async function referenceVoice(
  model: TtsModel,
  given: SynthesizeArguments,
  { signal }: Session,
): Promise<Voice | null> {
  const path = given["reference-audio"];
  if (path === undefined) return null;
  const { sampleRate } = model.info;
  const samples = await readAll(openAudio(path, { sampleRate, signal }));
  const spoken = given["reference-text"];
  return model.createVoice({ samples, sampleRate }, spoken === undefined ? {} : { text: spoken });
}

/** What a streamed synthesis tells beside its audio. */
export interface StreamEvents {
  /** The first sentence to speak, from 0; results do not depend on whether those before are spoken. */
  readonly fromSentence: number;
  readonly trace?: TraceFile["sink"];
  /** A sentence's audio is complete. */
  onSentence(sentence: SynthesizedSentence): void;
  /** After the last sentence. */
  onFinish(timings: SynthesisTimings): void;
}

async function speak(
  model: TtsModel,
  text: string,
  voice: Voice | null,
  given: SynthesizeArguments,
  settings: SynthesizeSettings,
  session: Session,
): Promise<void> {
  const { terminal } = session;
  const interrupted = given.resume && settings.seed === null ? await interruptedSeed(given.output) : null;
  const seed = settings.seed ?? interrupted ?? randomSeed();
  const speaker = settings.speech.speaker ?? defaultSpeaker(model, voice, session);
  const speech: SynthesizeOptions = {
    ...settings.speech,
    ...(speaker === null ? {} : { speaker }),
    ...(voice === null ? {} : { voice }),
  };
  const encoder = new AudioEncoder(settings.format, model.info.sampleRate);
  const request = { identity: identityOf(model, text, speech, encoder), seed };
  const output = await openOutput(given, encoder, request, session);
  const secondsBefore = output.samplesBefore / encoder.sampleRate;
  if (secondsBefore > 0) terminal.info(`continued after ${secondsBefore.toFixed(1)} s of speech`);

  const fromSentence = Math.max(settings.fromSentence, output.firstSentence);
  const options = { ...speech, seed, fromSentence };
  const made = await stream(model, text, options, output, given, session);
  const { totalMs, firstAudioMs, duration } = made;
  const rtf = duration > 0 ? totalMs / 1000 / duration : null;
  terminal.info(
    `${given.output === "-" ? "stdout" : given.output}: ${duration.toFixed(2)} s of speech in ${(totalMs / 1000).toFixed(2)} s` +
      ` (RTF ${rtf?.toFixed(2) ?? "n/a"}), first audio after ${Math.round(firstAudioMs)} ms, seed ${seed}`,
  );
  if (!given.json) return;
  const { location, variant, size, weights, backend, precision } = model.info;
  const record = {
    output: given.output,
    model: location,
    variant,
    size,
    weights,
    backend,
    precision,
    speaker,
    language: speech.language ?? "auto",
    seed,
    sampleRate: encoder.sampleRate,
    duration,
    resumedAfter: secondsBefore,
    rtf,
    sentences: made.sentences.map((sentence) => sentenceRecord(sentence, model.info.codeGroups)),
    warnings: made.warnings,
    timings: made.timings,
  };
  terminal.result(`${JSON.stringify(record)}\n`);
}

/** What came of a synthesis, its audio left out. */
interface Made {
  /** Seconds of audio. */
  readonly duration: number;
  readonly totalMs: number;
  /** As the command saw it: from the call to the first chunk. */
  readonly firstAudioMs: number;
  /** Empty unless they are to be told. */
  readonly sentences: readonly SynthesizedSentence[];
  readonly warnings: readonly string[];
  readonly timings: SynthesisTimings | null;
}

/** Runs the synthesis into the output, with progress and warnings. What fails or is aborted leaves the output abandoned. */
async function stream(
  model: TtsModel,
  text: string,
  options: SynthesizeOptions & Pick<StreamEvents, "fromSentence">,
  output: SpeechOutput,
  given: SynthesizeArguments,
  { terminal, signal }: Session,
): Promise<Made> {
  const warnings = new Set<string>();
  const sentences: SynthesizedSentence[] = [];
  let timings: SynthesisTimings | null = null;
  const trace = given.trace === undefined ? null : new TraceFile();
  const progress = startProgress(terminal, "Speaking", "sentences");
  const events: SynthesizeOptions & StreamEvents = {
    ...options,
    signal,
    ...(trace === null ? {} : { trace: trace.sink }),
    onProgress: ({ sentencesDone, sentencesTotal, seconds }) =>
      progress.update(sentencesDone, sentencesTotal, `${seconds.toFixed(1)} s of speech`),
    onWarning: (message) => {
      if (!warnings.has(message)) terminal.warn(message);
      warnings.add(message);
    },
    onSentence: (sentence) => {
      if (given.json) sentences.push(sentence);
    },
    onFinish: (found) => (timings = found),
  };
  const started = performance.now();
  let firstAudioMs: number | null = null;
  let samples = 0;
  try {
    for await (const chunk of model.synthesize(text, events)) {
      firstAudioMs ??= performance.now() - started;
      samples += chunk.samples.length;
      await output.write(chunk);
    }
    signal.throwIfAborted();
    if (trace !== null) await trace.write(given.trace!);
    await output.commit();
  } catch (error) {
    progress.stop();
    const left = await output.abandon();
    if (left !== null) terminal.info(left);
    throw error;
  } finally {
    progress.stop();
  }
  const totalMs = performance.now() - started;
  return {
    duration: samples / model.info.sampleRate,
    totalMs,
    firstAudioMs: firstAudioMs ?? totalMs,
    sentences,
    warnings: [...warnings],
    timings,
  };
}

/** The checkpoint's first voice, said once; null where it has none or another one is given. */
function defaultSpeaker(model: TtsModel, voice: Voice | null, { terminal }: Session): string | null {
  const { speakers } = model.info;
  const [first] = speakers;
  if (voice !== null || first === undefined) return null;
  if (speakers.length > 1)
    terminal.info(`speaker ${first.name}, the first of ${speakers.length}; choose with --speaker`);
  return first.name;
}

async function openOutput(
  given: SynthesizeArguments,
  encoder: AudioEncoder,
  request: ResumeRequest,
  { terminal, signal }: Session,
): Promise<SpeechOutput> {
  if (given.output === "-") return new StdoutOutput(encoder, terminal, signal);
  if (given.resume) return ResumableOutput.open(given.output, encoder, request, given.force);
  return FileOutput.create(given.output, encoder);
}

/** A digest of all that the speech depends on but the seed; where the model lies and what computes it do not count. */
function identityOf(model: TtsModel, text: string, speech: SynthesizeOptions, encoder: AudioEncoder): string {
  const { variant, size, weights, parameterBytes } = model.info;
  const { voice, ...rest } = speech;
  const hash = createHash("sha256");
  hash.update(
    JSON.stringify({ text, variant, size, weights, parameterBytes, ...rest, format: encoder.format }),
  );
  if (voice !== undefined) {
    const { xVector, referenceCodes, referenceText } = voice;
    hash.update(
      JSON.stringify({ xVector: [...xVector], referenceCodes: [...(referenceCodes ?? [])], referenceText }),
    );
  }
  return hash.digest("hex");
}

/** `codes` has an array of all groups for each frame. */
function sentenceRecord({ codes, ...sentence }: SynthesizedSentence, groups: number): object {
  const frames = codes.length / groups;
  const rows = Array.from({ length: frames }, (_, frame) => [
    ...codes.subarray(frame * groups, (frame + 1) * groups),
  ]);
  return { ...sentence, frames, codes: rows };
}
