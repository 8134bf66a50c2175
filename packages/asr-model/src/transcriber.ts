import { openAudio } from "@voxquant/audio";
import { ConfigError } from "@voxquant/quant-core";
import { joinTexts } from "@voxquant/text";
import type { AudioInput, TranscribeOptions } from "./asr-model.js";
import {
  halves,
  MAX_ALIGNED_PIECE_SECONDS,
  MAX_PIECE_SECONDS,
  quietPieces,
  RecordingIntake,
  SAMPLE_RATE,
  speechPieces,
  type AudioPiece,
} from "./pieces.js";
import { normalizeLanguage } from "./qwen3-asr/languages.js";
import type { Piece, Recognition, RecognizeOptions, StageTimings } from "./qwen3-asr/model.js";
import { mergeLanguages } from "./qwen3-asr/postprocess.js";
import type { StopReason, Transcript, TranscriptSegment, Word } from "./transcript.js";

/** What a transcription needs of a model: clips in, texts out. */
export interface Recognizer {
  recognize(pieces: readonly Piece[], options?: RecognizeOptions): Promise<Recognition[]>;
}

/** What a transcription needs to know about a loaded model. */
export interface ModelFacts {
  readonly loadMs: number;
  /** Bytes of keys and values of a sequence with room for so many tokens. */
  readonly kvCacheBytes: (tokens: number) => number;
}

const DEFAULT_SEGMENT_SECONDS = 30;
const DEFAULT_BATCH_SIZE = 8;
/** Audio of a batch, at most: 8 pieces of the default length, so that longer ones do not pile up in memory. */
const BATCH_SAMPLES = 8 * DEFAULT_SEGMENT_SECONDS * SAMPLE_RATE;
/** Keys and values of a batch, at most: large models take fewer pieces at once. */
const BATCH_KV_BYTES = 2 ** 30;
/** Tokens of a prompt beside its audio and context, and audio tokens a second. */
const PROMPT_TOKENS = 32;
const AUDIO_TOKENS_PER_SECOND = 13;

/** Fast speech is at most 16 tokens a second; some are for the language tag. */
const TOKENS_PER_SECOND = 16;
const SPARE_TOKENS = 64;
const LEAST_TOKENS = 256;
const MOST_TOKENS = 4096;

/** Token budget of a piece: clamp(ceil(16 s) + 64, 256, 4096). */
export function tokenBudget(samples: number): number {
  const wanted = Math.ceil((TOKENS_PER_SECOND * samples) / SAMPLE_RATE) + SPARE_TOKENS;
  return Math.min(Math.max(wanted, LEAST_TOKENS), MOST_TOKENS);
}

/** The options of a call, checked, with their defaults. */
interface Settings {
  readonly options: TranscribeOptions;
  readonly language: string | null;
  readonly vad: boolean;
  readonly segmentSeconds: number;
  readonly batchSize: number;
}

/** @throws ConfigError for a value out of range, an unknown language, or word times without an aligner */
function checkOptions(options: TranscribeOptions): Settings {
  const { vad = true, timestamps = "segment", maxTokens } = options;
  const batchSize = options.trace === undefined ? (options.batchSize ?? DEFAULT_BATCH_SIZE) : 1;
  const limit = timestamps === "word" ? MAX_ALIGNED_PIECE_SECONDS : MAX_PIECE_SECONDS;
  const segmentSeconds = options.segmentSeconds ?? (vad ? DEFAULT_SEGMENT_SECONDS : limit);
  if (!(segmentSeconds >= 1 && segmentSeconds <= limit)) {
    throw new ConfigError(
      `segmentSeconds is ${segmentSeconds}, 1 to ${limit} are possible${timestamps === "word" ? " with word times" : ""}`,
    );
  }
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw new ConfigError(`batchSize is ${batchSize}, a whole number from 1 is needed`);
  }
  if (maxTokens !== undefined) checkMaxTokens(maxTokens);
  if (timestamps === "word" && options.aligner === undefined) {
    throw new ConfigError(
      'timestamps "word" needs an aligner: load one with loadForcedAligner and pass it on',
    );
  }
  return { options, language: languageOption(options.language), vad, segmentSeconds, batchSize };
}

export function checkMaxTokens(maxTokens: number): void {
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new ConfigError(`maxTokens is ${maxTokens}, a whole number from 1 is needed`);
  }
}

/** English name of the language asked for, null to let the model tell. @throws ConfigError for an unknown one */
export function languageOption(language: string | undefined): string | null {
  return language === undefined || language.trim() === "" ? null : normalizeLanguage(language);
}

/** A piece with what the model made of it. */
interface Recognized {
  readonly piece: AudioPiece;
  readonly result: Recognition;
}

/**
 * Transcribes a recording: pieces, in batches, in order, joined. Bounded memory whatever its length.
 * @throws ConfigError, AudioError, the signal's reason
 */
export async function transcribe(
  recognizer: Recognizer,
  audio: AudioInput,
  options: TranscribeOptions,
  { loadMs, kvCacheBytes }: ModelFacts,
): Promise<Transcript> {
  const settings = checkOptions(options);
  const { vad, segmentSeconds, batchSize } = settings;
  const { signal } = options;
  signal?.throwIfAborted();
  const started = performance.now();
  const stages: StageTimings = {
    featuresMs: 0,
    encoderMs: 0,
    prefillMs: 0,
    prefillTokens: 0,
    prefillCachedTokens: 0,
    decodeMs: 0,
    decodeTokens: 0,
  };
  let vadMs = 0;
  const stream = openAudio(audio, { sampleRate: SAMPLE_RATE, ...(signal === undefined ? {} : { signal }) });
  const intake = new RecordingIntake(stream, vad ? segmentSeconds : 0);
  const segments: TranscriptSegment[] = [];
  // Done is what was analysed as far as no piece of it waits for the model.
  let done = 0;
  let waitingFrom = Infinity;
  const report = (samples: number) => {
    done = Math.max(done, Math.min(samples, waitingFrom));
    const total = totalSeconds(intake.samples, stream.fractionRead);
    options.onProgress?.({ secondsDone: done / SAMPLE_RATE, secondsTotal: total, segments: segments.length });
  };
  const pieces = vad
    ? speechPieces(intake, segmentSeconds, {
        onAnalysed: (samples) => report(samples),
        ...(signal === undefined ? {} : { signal }),
      })
    : quietPieces(intake, segmentSeconds);
  const kvBytes = ({ samples: { length } }: AudioPiece) =>
    kvCacheBytes(
      PROMPT_TOKENS +
        Math.ceil((AUDIO_TOKENS_PER_SECOND * length) / SAMPLE_RATE) +
        (options.maxTokens ?? tokenBudget(length)),
    );
  const sum = (batch: readonly AudioPiece[], of: (piece: AudioPiece) => number) =>
    batch.reduce((total, piece) => total + of(piece), 0);
  const fits = (batch: readonly AudioPiece[]) =>
    batch.length <= batchSize &&
    sum(batch, ({ samples }) => samples.length) <= BATCH_SAMPLES &&
    sum(batch, kvBytes) <= BATCH_KV_BYTES;
  const tokens: number[] = [];
  let pieceCount = 0;
  for await (const batch of batches(pieces, fits, (ms) => (vadMs += ms))) {
    waitingFrom = batch[0]!.start;
    for (const recognized of await recognizeBatch(recognizer, batch, pieceCount, settings, stages)) {
      for (const id of recognized.result.ids) tokens.push(id);
      const segment = await toSegment(recognized, options);
      if (segment === null) continue;
      segments.push(segment);
      options.onSegment?.(segment);
    }
    pieceCount += batch.length;
    waitingFrom = batch.at(-1)!.end; // more may have been found already
    report(waitingFrom);
  }
  signal?.throwIfAborted();
  const audioSeconds = intake.samples / SAMPLE_RATE;
  waitingFrom = Infinity;
  report(intake.samples);
  const texts = segments.map(({ text }) => text);
  return {
    text: vad ? joinTexts(texts) : texts.join(""),
    language: mergeLanguages(segments.map(({ language }) => language)),
    segments,
    tokens,
    stopReason: stopReasonOf(segments),
    audioSeconds,
    timings: { loadMs, ...stages, vadMs, totalMs: performance.now() - started },
  };
}

/** Groups pieces for one pass of the model, one at least; reports the time spent on getting them. */
async function* batches(
  pieces: AsyncGenerator<AudioPiece, void, undefined>,
  fits: (batch: readonly AudioPiece[]) => boolean,
  onWaited: (ms: number) => void,
): AsyncGenerator<AudioPiece[], void, undefined> {
  let batch: AudioPiece[] = [];
  try {
    for (;;) {
      const asked = performance.now();
      const next = await pieces.next();
      onWaited(performance.now() - asked);
      if (next.done === true) break;
      if (batch.length > 0 && !fits([...batch, next.value])) {
        yield batch;
        batch = [];
      }
      batch.push(next.value);
    }
    if (batch.length > 0) yield batch;
  } finally {
    await pieces.return(undefined);
  }
}

/** Recognises a batch; a piece on which the model only repeated itself is tried once more in two halves. */
async function recognizeBatch(
  recognizer: Recognizer,
  batch: readonly AudioPiece[],
  firstIndex: number,
  settings: Settings,
  timings: StageTimings,
): Promise<Recognized[]> {
  const { options } = settings;
  const { signal, trace, onToken } = options;
  const results = await recognizer.recognize(toModelPieces(batch, settings), {
    timings,
    ...(signal === undefined ? {} : { signal }),
    ...(trace === undefined ? {} : { trace }),
    ...(onToken === undefined
      ? {}
      : { onToken: (piece, id, text) => onToken.call(options, { segment: firstIndex + piece, id, text }) }),
  });
  const recognized: Recognized[] = [];
  for (const [i, piece] of batch.entries()) {
    const result = results[i]!;
    const parts = result.stopReason === "repetition" ? halves(piece) : null;
    if (parts === null) {
      recognized.push({ piece, result });
      continue;
    }
    const again = await recognizer.recognize(toModelPieces(parts, settings), {
      timings,
      ...(signal === undefined ? {} : { signal }),
    });
    if (again.every(({ stopReason }) => stopReason === "repetition")) recognized.push({ piece, result });
    else again.forEach((part, at) => recognized.push({ piece: parts[at]!, result: part }));
  }
  return recognized;
}

function toModelPieces(pieces: readonly AudioPiece[], { options, language }: Settings): Piece[] {
  return pieces.map(({ samples }) => ({
    samples,
    language,
    maxTokens: options.maxTokens ?? tokenBudget(samples.length),
    ...(options.prompt === undefined ? {} : { context: options.prompt }),
  }));
}

/** Null for a piece in which the model heard no speech. */
async function toSegment(
  { piece, result }: Recognized,
  options: TranscribeOptions,
): Promise<TranscriptSegment | null> {
  const { text, language, ids, stopReason, truncatedRepeats } = result;
  if (text === "") return null;
  const start = piece.start / SAMPLE_RATE;
  const { aligner, timestamps, signal } = options;
  let words: Word[] | undefined;
  if (timestamps === "word" && aligner !== undefined) {
    const aligned = await aligner.align(
      piece.samples,
      text,
      language,
      signal === undefined ? {} : { signal },
    );
    words = aligned.map((word) => ({
      start: milliseconds(word.start + start),
      end: milliseconds(word.end + start),
      text: word.text,
    }));
  }
  return {
    start,
    end: piece.end / SAMPLE_RATE,
    text,
    language,
    tokens: ids,
    stopReason,
    ...(words === undefined ? {} : { words }),
    ...(truncatedRepeats === 0 ? {} : { truncatedRepeats }),
  };
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

function stopReasonOf(segments: readonly TranscriptSegment[]): StopReason {
  const reasons = new Set(segments.map(({ stopReason }) => stopReason));
  return (["length", "repetition", "eos"] as const).find((reason) => reasons.has(reason)) ?? "no-speech";
}

/** Length of a recording, estimated from the part of its file that was read; exact at the end. Null for live streams. */
function totalSeconds(samples: number, fractionRead: number | null): number | null {
  return fractionRead === null || fractionRead === 0 ? null : samples / fractionRead / SAMPLE_RATE;
}
