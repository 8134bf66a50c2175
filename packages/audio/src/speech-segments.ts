import { VAD_WINDOW } from "./silero.js";

/** Parameters of Silero's `get_speech_timestamps` (utils_vad.py), in its units and with its defaults. */
export interface SpeechSegmentParams {
  /** A window of at least this probability is speech. Default 0.5. */
  readonly threshold?: number;
  /** Speech ends below this one. Default max(threshold − 0.15, 0.01). */
  readonly negThreshold?: number;
  /** Shorter speech is dropped. Default 250. */
  readonly minSpeechMs?: number;
  /** Longer speech is cut, at a silence if there is one. Default: no limit. */
  readonly maxSpeechSeconds?: number;
  /** Silence that ends speech. Default 100. */
  readonly minSilenceMs?: number;
  /** Added on either side. Default 30. */
  readonly padMs?: number;
  /** Silence at which speech that is too long may be cut. Default 98. */
  readonly minSilenceAtMaxSpeechMs?: number;
  /** Cut speech that is too long at its longest silence (default), else at its last. */
  readonly cutAtLongestSilence?: boolean;
  /** Hz. Default 16000. */
  readonly sampleRate?: number;
}

/** Speech from sample `start` up to `end` (exclusive). */
export interface SpeechSegment {
  readonly start: number;
  readonly end: number;
}

/**
 * Speech segments of the window probabilities of a recording of `length` samples, as Silero's `get_speech_timestamps`
 * computes them. @param length default: all windows whole
 */
export function speechSegments(
  probabilities: ArrayLike<number>,
  params: SpeechSegmentParams = {},
  length = probabilities.length * VAD_WINDOW,
): SpeechSegment[] {
  const { threshold = 0.5, sampleRate = 16000, cutAtLongestSilence = true } = params;
  const negThreshold = params.negThreshold ?? Math.max(threshold - 0.15, 0.01);
  const minSpeech = (sampleRate * (params.minSpeechMs ?? 250)) / 1000;
  const minSilence = (sampleRate * (params.minSilenceMs ?? 100)) / 1000;
  const pad = (sampleRate * (params.padMs ?? 30)) / 1000;
  const maxSpeech = sampleRate * (params.maxSpeechSeconds ?? Infinity) - VAD_WINDOW - 2 * pad;
  const minSilenceAtMax = (sampleRate * (params.minSilenceAtMaxSpeechMs ?? 98)) / 1000;

  const speeches: { start: number; end: number }[] = [];
  let triggered = false;
  let start = 0;
  // 0 means unset in these three, as in the original.
  let tempEnd = 0;
  let previousEnd = 0;
  let nextStart = 0;
  let silences: { end: number; length: number }[] = [];
  const clear = () => {
    tempEnd = previousEnd = nextStart = 0;
    silences = [];
  };

  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i]!;
    const at = i * VAD_WINDOW;
    if (p >= threshold && tempEnd !== 0) {
      const silence = at - tempEnd;
      if (silence > minSilenceAtMax) silences.push({ end: tempEnd, length: silence });
      tempEnd = 0;
      if (nextStart < previousEnd) nextStart = at;
    }
    if (p >= threshold && !triggered) {
      triggered = true;
      start = at;
      continue;
    }
    if (triggered && at - start > maxSpeech) {
      if (cutAtLongestSilence && silences.length > 0) {
        const longest = silences.reduce((best, s) => (s.length > best.length ? s : best));
        speeches.push({ start, end: longest.end });
        start = longest.end + longest.length;
        clear();
      } else if (!cutAtLongestSilence && previousEnd !== 0) {
        speeches.push({ start, end: previousEnd });
        if (nextStart < previousEnd) triggered = false;
        else start = nextStart;
        clear();
      } else {
        speeches.push({ start, end: at });
        triggered = false;
        clear();
        continue;
      }
    }
    if (p < negThreshold && triggered) {
      if (tempEnd === 0) tempEnd = at;
      if (!cutAtLongestSilence && at - tempEnd > minSilenceAtMax) previousEnd = tempEnd;
      if (at - tempEnd < minSilence) continue;
      if (tempEnd - start > minSpeech) speeches.push({ start, end: tempEnd });
      triggered = false;
      clear();
    }
  }
  if (triggered && length - start > minSpeech) speeches.push({ start, end: length });
  padSegments(speeches, pad, length);
  return speeches.map(({ start: from, end }) => ({ start: Math.trunc(from), end: Math.trunc(end) }));
}

/** Widens each by `pad`; neighbours that are closer than 2·pad share the gap between them. */
function padSegments(speeches: { start: number; end: number }[], pad: number, length: number): void {
  speeches.forEach((speech, i) => {
    if (i === 0) speech.start = Math.max(0, speech.start - pad);
    const next = speeches[i + 1];
    if (next === undefined) speech.end = Math.min(length, speech.end + pad);
    else {
      const gap = next.start - speech.end;
      const share = gap < 2 * pad ? Math.floor(gap / 2) : pad;
      speech.end = gap < 2 * pad ? speech.end + share : Math.min(length, speech.end + share);
      next.start = Math.max(0, next.start - share);
    }
  });
}

/** `start` or `end` of speech at a sample of the stream. */
export type VadEvent = { readonly start: number } | { readonly end: number };

/** Silero's `VADIterator`: start and end of speech as windows of 512 samples arrive. */
export class VadIterator {
  readonly #threshold: number;
  readonly #minSilence: number;
  readonly #pad: number;
  #triggered = false;
  #tempEnd = 0;
  #current = 0;

  constructor(params: Pick<SpeechSegmentParams, "threshold" | "minSilenceMs" | "padMs" | "sampleRate"> = {}) {
    const { threshold = 0.5, minSilenceMs = 100, padMs = 30, sampleRate = 16000 } = params;
    this.#threshold = threshold;
    this.#minSilence = (sampleRate * minSilenceMs) / 1000;
    this.#pad = (sampleRate * padMs) / 1000;
  }

  /** The event that the next window's probability completes, if any. */
  process(probability: number): VadEvent | null {
    this.#current += VAD_WINDOW;
    if (probability >= this.#threshold) {
      this.#tempEnd = 0;
      if (this.#triggered) return null;
      this.#triggered = true;
      return { start: Math.trunc(Math.max(0, this.#current - this.#pad - VAD_WINDOW)) };
    }
    if (probability < this.#threshold - 0.15 && this.#triggered) {
      if (this.#tempEnd === 0) this.#tempEnd = this.#current;
      if (this.#current - this.#tempEnd < this.#minSilence) return null;
      const end = Math.trunc(this.#tempEnd + this.#pad - VAD_WINDOW);
      this.#tempEnd = 0;
      this.#triggered = false;
      return { end };
    }
    return null;
  }

  /** Forgets the stream so far. */
  reset(): void {
    this.#triggered = false;
    this.#tempEnd = this.#current = 0;
  }
}
