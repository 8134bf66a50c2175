import { AudioError } from "./errors.js";
import { SampleWindow } from "./sample-window.js";
import { SileroVad, VAD_WINDOW } from "./silero.js";
import { quietestSample } from "./split.js";

const { abs, floor, max, min, round } = Math;

/** Rate of everything here, Hz. */
const RATE = 16000;
/** Speech that is too long is cut in its last seconds, at the quietest stretch of this length. */
const CUT_SEARCH_SECONDS = 5;
const CUT_WINDOW = 0.1 * RATE;
/**
 * The VAD misses quiet speech (digits at a peak of 0.03) and speech in the first windows after a reset. It is given the
 * audio at the level of a peak of 0.7, judged by the loudest sample so far and 5 s ahead, after a quarter second of zeros.
 */
const LEVEL_PEAK = 0.7;
const MAX_GAIN = 64;
const LEVEL_LOOKAHEAD = 5 * RATE;
const LEAD_IN_WINDOWS = 8;
/** Windows between two turns of the event loop: about 50 ms of work. */
const WINDOWS_PER_TURN = 256;
/** A silence at either end of the recording that is shorter than this stays with the speech: short clips are kept whole. */
const EDGE = 0.4 * RATE;
/** How far below the threshold a window must be to count as silence, as in Silero's own code. */
const HYSTERESIS = 0.15;

export interface SegmentOptions {
  /** Longest piece, padding included. Default 30. */
  readonly maxSeconds?: number;
  /** Silence that ends a piece. Default 0.65. */
  readonly minPauseSeconds?: number;
  /** Neighbouring pieces, and the pauses between them, are joined up to this length. Default 0: one piece per pause. */
  readonly packSeconds?: number;
  /** Speech shorter than this is taken for a click. Default 0.06. */
  readonly minSpeechSeconds?: number;
  /** Added before and after speech, at most half of `minPauseSeconds`. Default 0.15. */
  readonly padSeconds?: number;
  /** Probability from which a window is speech. Default 0.5. */
  readonly threshold?: number;
  /** A network that nothing else uses meanwhile. Default: one of its own. */
  readonly vad?: SileroVad;
  readonly signal?: AbortSignal;
  /** Called with the number of samples analysed. */
  readonly onProgress?: (samples: number) => void;
}

/** A piece of a recording that holds speech: samples start … end − 1. */
export interface SpeechPiece {
  readonly start: number;
  readonly end: number;
  readonly samples: Float32Array;
}

/**
 * Cuts a recording (16 kHz mono) at its pauses into pieces of speech, as it arrives. What holds no speech is left out:
 * silence and noise give no pieces. Speech without a pause is cut at the quietest 100 ms of the last 5 s before
 * `maxSeconds`. Holds at most `maxSeconds` and some seconds of audio.
 * @throws AudioError `bad_input` for options out of range, `bad_samples` for NaN or infinity; the reason of an aborted `signal`
 */
export async function* segmentSpeech(
  samples: Float32Array | AsyncIterable<Float32Array>,
  options: SegmentOptions = {},
): AsyncGenerator<SpeechPiece, void, undefined> {
  const { signal, onProgress } = options;
  const vad = options.vad ?? (await SileroVad.load());
  vad.reset();
  for (let i = 0; i < LEAD_IN_WINDOWS; i++) vad.process(new Float32Array(VAD_WINDOW));
  const audio = new SampleWindow();
  const cutter = new SpeechCutter(audio, options);
  const leveled = new Float32Array(VAD_WINDOW);
  let peak = 0;
  let peakEnd = 0;
  let analysed = 0;
  let windows = 0;

  const analyse = async function* (until: number, last: boolean): AsyncGenerator<SpeechPiece> {
    while (analysed + VAD_WINDOW <= until || (last && analysed < until)) {
      const end = min(analysed + VAD_WINDOW, until);
      const ahead = audio.view(peakEnd, max(peakEnd, min(end + LEVEL_LOOKAHEAD, audio.end)));
      for (let i = 0; i < ahead.length; i++) peak = max(peak, abs(ahead[i]!));
      peakEnd += ahead.length;
      if (!(peak < Infinity)) throw new AudioError("bad_samples", "the audio has NaN or infinite samples");
      const window = audio.view(analysed, end);
      const gain = peak > 0 ? min(MAX_GAIN, max(1, LEVEL_PEAK / peak)) : 1;
      for (let i = 0; i < window.length; i++) leveled[i] = window[i]! * gain;
      yield* cutter.window(vad.process(leveled.subarray(0, window.length)), analysed, end);
      analysed = end;
      audio.dropBefore(cutter.neededFrom);
      if (++windows % WINDOWS_PER_TURN === 0) {
        onProgress?.(analysed);
        await new Promise((resolve) => setTimeout(resolve));
        signal?.throwIfAborted();
      }
    }
  };

  const blocks = samples instanceof Float32Array ? blocksOf(samples) : samples;
  for await (const block of blocks) {
    signal?.throwIfAborted();
    audio.append(block);
    yield* analyse(audio.end - LEVEL_LOOKAHEAD, false);
  }
  yield* analyse(audio.end, true);
  onProgress?.(analysed);
  yield* cutter.end();
}

function* blocksOf(samples: Float32Array): Generator<Float32Array> {
  for (let at = 0; at < samples.length; at += RATE) yield samples.subarray(at, at + RATE);
}

interface Run {
  start: number;
  end: number;
}

/** Decides from window probabilities where pieces start and end. All positions are sample numbers of the recording. */
class SpeechCutter {
  readonly #audio: SampleWindow;
  readonly #max: number;
  readonly #minPause: number;
  readonly #pack: number;
  readonly #minSpeech: number;
  readonly #pad: number;
  readonly #threshold: number;
  #triggered = false;
  /** First sample of the speech that is going on, padding included. */
  #start = 0;
  /** Where its latest silence began, −1 without one; and samples of it that were above the threshold. */
  #silence = -1;
  #voiced = 0;
  /** A finished piece that may still grow by packing. */
  #packed: Run | null = null;
  #previousEnd = 0;
  #position = 0;

  constructor(audio: SampleWindow, options: SegmentOptions) {
    const seconds = (name: keyof SegmentOptions, standard: number, least: number) => {
      const value = (options[name] as number | undefined) ?? standard;
      if (!(value >= least))
        throw new AudioError("bad_input", `segmentSpeech: ${name} is ${value}, at least ${least} is needed`);
      return round(value * RATE);
    };
    this.#audio = audio;
    this.#max = seconds("maxSeconds", 30, 1);
    this.#minPause = seconds("minPauseSeconds", 0.65, VAD_WINDOW / RATE);
    this.#pack = min(this.#max, seconds("packSeconds", 0, 0));
    this.#minSpeech = seconds("minSpeechSeconds", 0.06, 0);
    // A pause is at least #minPause long, so the padding of two neighbours never meets beyond its middle.
    this.#pad = min(floor(this.#minPause / 2), seconds("padSeconds", 0.15, 0));
    this.#threshold = options.threshold ?? 0.5;
  }

  /** Audio before this sample is not needed any more. */
  get neededFrom(): number {
    const closed = this.#position < EDGE ? 0 : this.#position - this.#pad;
    const open = this.#triggered ? this.#start : closed;
    return min(open, this.#packed?.start ?? Infinity);
  }

  /** The next window, samples at … end − 1, and the pieces that it completes. */
  *window(probability: number, at: number, end: number): Generator<SpeechPiece> {
    this.#position = end;
    const speech = probability >= this.#threshold;
    if (speech && !this.#triggered) {
      this.#triggered = true;
      const first = this.#previousEnd === 0 && at < EDGE;
      this.#start = first ? 0 : max(this.#previousEnd, at - this.#pad);
      this.#voiced = 0;
      this.#silence = -1;
    }
    if (this.#triggered) {
      if (speech) {
        this.#silence = -1;
        this.#voiced += end - at;
      } else if (probability < this.#threshold - HYSTERESIS && this.#silence < 0) this.#silence = at;
      if (this.#silence >= 0 && end - this.#silence >= this.#minPause)
        yield* this.#finish(this.#silence + this.#pad);
      else if (end - this.#start >= this.#max - VAD_WINDOW) yield* this.#cut();
    }
    const packed = this.#packed;
    if (packed !== null && this.#position - packed.start > this.#pack) {
      this.#packed = null;
      yield this.#piece(packed);
    }
  }

  /** The pieces that the end of the recording completes. */
  *end(): Generator<SpeechPiece> {
    if (this.#triggered) {
      const quiet = this.#silence >= 0 && this.#position - this.#silence >= EDGE;
      yield* this.#finish(quiet ? this.#silence + this.#pad : this.#position);
    }
    if (this.#packed !== null) yield this.#piece(this.#packed);
    this.#packed = null;
  }

  *#finish(end: number): Generator<SpeechPiece> {
    this.#triggered = false;
    if (this.#voiced >= this.#minSpeech) yield* this.#emit({ start: this.#start, end });
  }

  /** The speech has become as long as a piece may be. */
  *#cut(): Generator<SpeechPiece> {
    const right = this.#position;
    const left = max(this.#start + CUT_WINDOW, right - CUT_SEARCH_SECONDS * RATE);
    const cut = left + quietestSample(this.#audio.view(left, right), 0, right - left, CUT_WINDOW);
    if (this.#silence >= 0 && cut >= this.#silence) {
      yield* this.#finish(min(cut, this.#silence + this.#pad));
      return;
    }
    const voiced = this.#voiced;
    yield* this.#finish(cut);
    this.#triggered = true;
    this.#start = cut;
    this.#voiced = voiced; // what follows belongs to the same speech: it is no click however short it is
  }

  *#emit(run: Run): Generator<SpeechPiece> {
    this.#previousEnd = run.end;
    const packed = this.#packed;
    if (packed !== null && run.end - packed.start <= this.#pack) {
      packed.end = run.end;
      return;
    }
    if (packed !== null) yield this.#piece(packed);
    this.#packed = null;
    if (this.#pack > 0) this.#packed = run;
    else yield this.#piece(run);
  }

  #piece({ start, end }: Run): SpeechPiece {
    return { start, end, samples: this.#audio.view(start, end).slice() };
  }
}
