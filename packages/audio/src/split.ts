import { AudioError } from "./errors.js";

const { abs, max, min, trunc } = Math;

export interface SplitOptions {
  /** Hz, default 16000. */
  readonly sampleRate?: number;
  /** Half-width of the search for a quiet place around each limit, default 5 s. */
  readonly searchSeconds?: number;
  /** Length of the window whose sum of |x| is least, default 100 ms. */
  readonly windowMs?: number;
}

export interface SplitPiece {
  /** View of the input; a copy padded with zeros to 0.5 s if a split made it shorter than that. */
  readonly samples: Float32Array;
  /** First sample in the input. */
  readonly start: number;
  /** Seconds before this piece, summed piece by piece as the official code does. */
  readonly offsetSeconds: number;
}

/** Pieces that a split makes shorter than this are padded with zeros. */
const MIN_PIECE_SECONDS = 0.5;
const MIN_WINDOW_SAMPLES = 4;

/**
 * Qwen3-ASR's splitting of long audio (`qwen_asr/inference/utils.py`, 1200 s; 180 s with time stamps): every limit is
 * moved to the quietest sample of the quietest window within ±5 s, so a piece may be 5 s longer than the limit.
 * @throws AudioError `bad_input` for a limit that is not above 0
 */
export function splitAtQuiet(
  samples: Float32Array,
  maxSeconds: number,
  options: SplitOptions = {},
): SplitPiece[] {
  const { sampleRate = 16000, searchSeconds = 5, windowMs = 100 } = options;
  const limit = trunc(maxSeconds * sampleRate);
  if (!(limit >= 1))
    throw new AudioError("bad_input", `splitAtQuiet: limit of ${maxSeconds} s, more than 0 is needed`);
  const n = samples.length;
  if (n / sampleRate <= maxSeconds) return [{ samples, start: 0, offsetSeconds: 0 }];
  const search = trunc(searchSeconds * sampleRate);
  const window = max(MIN_WINDOW_SAMPLES, trunc((windowMs / 1000) * sampleRate));
  const minLength = trunc(MIN_PIECE_SECONDS * sampleRate);
  const pieces: SplitPiece[] = [];
  let start = 0;
  let offsetSeconds = 0;
  const emit = (end: number) => {
    let piece = samples.subarray(start, end);
    if (piece.length < minLength) {
      const padded = new Float32Array(minLength);
      padded.set(piece);
      piece = padded;
    }
    pieces.push({ samples: piece, start, offsetSeconds });
    offsetSeconds += (end - start) / sampleRate;
    start = end;
  };
  while (n - start > limit) {
    const cut = start + limit;
    const left = max(start, cut - search);
    const right = min(n, cut + search);
    const boundary = right - left <= window ? cut : quietestSample(samples, left, right, window);
    emit(min(max(boundary, start + 1), n));
  }
  emit(n);
  return pieces;
}

/** First sample of least |x| in the first window of least sum |x| within [left, right). */
export function quietestSample(samples: Float32Array, left: number, right: number, window: number): number {
  let sum = 0;
  for (let i = left; i < left + window; i++) sum += abs(samples[i]!);
  let least = sum;
  let best = left;
  for (let i = left + window; i < right; i++) {
    sum += abs(samples[i]!) - abs(samples[i - window]!);
    if (sum < least) {
      least = sum;
      best = i - window + 1;
    }
  }
  let quiet = best;
  for (let i = best + 1; i < best + window; i++) if (abs(samples[i]!) < abs(samples[quiet]!)) quiet = i;
  return quiet;
}
