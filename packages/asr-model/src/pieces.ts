import { AudioError, applyPeakGuard, segmentSpeech, splitAtQuiet } from "@voxquant/audio";

/** Hz, of everything in this module. */
export const SAMPLE_RATE = 16000;

/** Qwen3-ASR's limits for a piece (`qwen_asr/inference/utils.py`), in seconds. */
export const MAX_PIECE_SECONDS = 1200;
export const MAX_ALIGNED_PIECE_SECONDS = 180;

/** The official front end reflects 200 samples at either end and so needs one more than that. */
export const MIN_SAMPLES = 201;
/** No speech is shorter: a word needs three times as much. */
const MIN_SPEECH_SAMPLES = 0.05 * SAMPLE_RATE;
/** Pieces that were cut out of a recording are padded with zeros to this length (spec of the official splitting). */
const MIN_CUT_SAMPLES = 0.5 * SAMPLE_RATE;
/** How far the official splitting looks around its limit for a quiet place. */
export const SPLIT_SEARCH_SECONDS = 5;
/** Silence around the only utterance of a clip that is left in, so that such a clip is transcribed as it is. */
const CLIP_MARGIN_SAMPLES = 1 * SAMPLE_RATE;

/** A part of a recording as the model gets it. */
export interface AudioPiece {
  /** First sample in the recording, and the one after the last. */
  readonly start: number;
  readonly end: number;
  /** 16 kHz mono within ±1, padded with zeros if it was cut short. The caller may not change them. */
  readonly samples: Float32Array;
}

/** Counts the samples of a recording on their way to the segmenter, and keeps a short one. */
export class RecordingIntake {
  readonly #source: AsyncIterable<Float32Array>;
  /** The recording so far, while it is short enough to be one piece. */
  #head: Float32Array[] | null = [];
  readonly #headLimit: number;
  /** Samples that went through. */
  samples = 0;

  /** @param headSeconds recordings up to this long can be had whole from `whole()` */
  constructor(source: AsyncIterable<Float32Array>, headSeconds: number) {
    this.#source = source;
    this.#headLimit = headSeconds * SAMPLE_RATE;
  }

  async *blocks(): AsyncGenerator<Float32Array, void, undefined> {
    for await (const block of this.#source) {
      this.samples += block.length;
      if (this.samples > this.#headLimit) this.#head = null;
      else this.#head?.push(block.slice());
      yield block;
    }
  }

  /** The whole recording after its end, null if it is longer than the limit. */
  whole(): Float32Array | null {
    if (this.#head === null) return null;
    const whole = new Float32Array(this.samples);
    let at = 0;
    for (const block of this.#head) {
      whole.set(block, at);
      at += block.length;
    }
    return whole;
  }

  /** After the recording's end. @throws AudioError `no_data`, `too_short` */
  requireLength(leastSamples: number): void {
    if (this.samples === 0) throw new AudioError("no_data", "the audio is empty: it has no samples");
    if (this.samples >= leastSamples) return;
    const seconds = (samples: number) => `${(samples / SAMPLE_RATE).toFixed(4)} s`;
    throw new AudioError(
      "too_short",
      `the audio is too short: ${this.samples} samples at 16 kHz (${seconds(this.samples)}), ` +
        `at least ${leastSamples} (${seconds(leastSamples)}) are needed`,
    );
  }
}

/**
 * The pieces of a recording in which somebody speaks, cut at pauses, at most `maxSeconds` long. A clip that is one
 * utterance with little silence around is one piece, untouched: it is what the model was trained on.
 * @throws AudioError `no_data`, `too_short` (under 0.05 s), and what the recording throws
 */
export async function* speechPieces(
  intake: RecordingIntake,
  maxSeconds: number,
  { signal, onAnalysed }: { readonly signal?: AbortSignal; onAnalysed?(samples: number): void } = {},
): AsyncGenerator<AudioPiece, void, undefined> {
  const options = {
    maxSeconds,
    ...(signal === undefined ? {} : { signal }),
    ...(onAnalysed === undefined ? {} : { onProgress: onAnalysed }),
  };
  let first: AudioPiece | null = null;
  let pieces = 0;
  for await (const { start, end, samples } of segmentSpeech(intake.blocks(), options)) {
    const piece = cutPiece(start, end, samples);
    pieces++;
    if (pieces === 1) {
      first = piece;
      continue;
    }
    if (first !== null) yield first;
    first = null;
    yield piece;
  }
  intake.requireLength(MIN_SPEECH_SAMPLES);
  if (first === null) return;
  const whole =
    first.start <= CLIP_MARGIN_SAMPLES && intake.samples - first.end <= CLIP_MARGIN_SAMPLES
      ? intake.whole()
      : null;
  yield whole === null ? first : { start: 0, end: whole.length, samples: applyPeakGuard(whole) };
}

/**
 * The official splitting: everything, silence too, in pieces of about `maxSeconds` whose cuts lie at quiet places. Holds
 * one piece at a time. Peaks over full scale are scaled down piece by piece, not over the whole recording.
 * @throws AudioError `no_data`, `too_short` (200 samples and less), and what the recording throws
 */
export async function* quietPieces(
  intake: RecordingIntake,
  maxSeconds: number,
): AsyncGenerator<AudioPiece, void, undefined> {
  const needed = Math.trunc(maxSeconds * SAMPLE_RATE) + SPLIT_SEARCH_SECONDS * SAMPLE_RATE;
  let buffer = new Float32Array(0);
  let filled = 0;
  let start = 0;
  const cut = (length: number): AudioPiece => {
    const piece = cutPiece(start, start + length, buffer.slice(0, length));
    buffer.copyWithin(0, length, filled);
    filled -= length;
    start += length;
    return piece;
  };
  for await (const block of intake.blocks()) {
    if (filled + block.length > buffer.length) {
      const grown = new Float32Array(Math.max(filled + block.length, 2 * buffer.length));
      grown.set(buffer.subarray(0, filled));
      buffer = grown;
    }
    buffer.set(block, filled);
    filled += block.length;
    while (filled > needed) yield cut(splitAtQuiet(buffer.subarray(0, needed), maxSeconds)[1]!.start);
  }
  intake.requireLength(MIN_SAMPLES);
  if (start === 0 && filled / SAMPLE_RATE <= maxSeconds) {
    yield { start: 0, end: filled, samples: applyPeakGuard(buffer.slice(0, filled)) };
    return;
  }
  while (filled / SAMPLE_RATE > maxSeconds)
    yield cut(splitAtQuiet(buffer.subarray(0, filled), maxSeconds)[1]!.start);
  yield cut(filled);
}

/**
 * A piece in two, at the quietest place of its middle third; null if it is too short for that.
 */
export function halves(piece: AudioPiece): readonly [AudioPiece, AudioPiece] | null {
  const length = piece.end - piece.start;
  if (length < 2 * MIN_CUT_SAMPLES) return null;
  const seconds = length / SAMPLE_RATE;
  const samples = piece.samples.subarray(0, length);
  const cut = splitAtQuiet(samples, seconds / 2, { searchSeconds: seconds / 6 })[1]!.start;
  return [
    cutPiece(piece.start, piece.start + cut, samples.slice(0, cut)),
    cutPiece(piece.start + cut, piece.end, samples.slice(cut)),
  ];
}

function cutPiece(start: number, end: number, samples: Float32Array): AudioPiece {
  const padded = new Float32Array(Math.max(samples.length, MIN_CUT_SAMPLES));
  padded.set(samples);
  return { start, end, samples: applyPeakGuard(padded) };
}
