import { RealFft } from "../fft.js";

const { cos, PI } = Math;

/** `periodic`: one sample more would close the period. `inner`: symmetric without the zeros at its two ends (MATLAB's `hanning`). */
export function hannWindow(length: number, kind: "periodic" | "inner"): Float64Array {
  const [span, first] = kind === "periodic" ? [length, 0] : [length + 1, 1];
  return Float64Array.from({ length }, (_, n) => 0.5 - 0.5 * cos((2 * PI * (n + first)) / span));
}

/** Short-time power spectra without padding: frame t covers samples `[t · hop, t · hop + window.length)`. */
export class Stft {
  readonly hopLength: number;
  /** fftSize/2 + 1. */
  readonly bins: number;
  readonly #window: Float64Array;
  readonly #fft: RealFft;
  readonly #frame: Float64Array;

  /** @param fftSize at least the window's length (zeros behind it); even, of prime factors 2, 3, 5 */
  constructor(window: Float64Array, hopLength: number, fftSize = window.length) {
    this.hopLength = hopLength;
    this.bins = fftSize / 2 + 1;
    this.#window = window;
    this.#fft = new RealFft(fftSize);
    this.#frame = new Float64Array(fftSize);
  }

  /** Whole frames in this many samples. */
  frameCount(samples: number): number {
    const rest = samples - this.#window.length;
    return rest < 0 ? 0 : Math.floor(rest / this.hopLength) + 1;
  }

  /** |X|² of frame t into `power` (`bins`). */
  power(signal: Float32Array | Float64Array, t: number, power: Float64Array): void {
    const window = this.#window;
    const start = t * this.hopLength;
    for (let n = 0; n < window.length; n++) this.#frame[n] = signal[start + n]! * window[n]!;
    this.#fft.powerSpectrum(this.#frame, power);
  }
}

export interface Spectrogram {
  /** `[frames, bins]`, decibels below the loudest bin (0), not under `-rangeDb`. */
  readonly data: Float32Array;
  readonly frames: number;
  readonly bins: number;
  /** Seconds from one frame to the next. */
  readonly frameSeconds: number;
  /** Frequency of the last bin in Hz; the first is 0. */
  readonly maxHz: number;
}

const DRAWN_FFT = 1024;

/**
 * A spectrogram to draw: periodic Hann window of 1024 samples.
 * @param maxFrames columns that the picture has room for; a longer signal gets a longer hop (shortest: 256 samples)
 */
export function spectrogram(
  samples: Float32Array,
  sampleRate: number,
  { maxFrames = 2000, rangeDb = 80 }: { readonly maxFrames?: number; readonly rangeDb?: number } = {},
): Spectrogram {
  const hop = Math.max(DRAWN_FFT / 4, Math.ceil(samples.length / maxFrames));
  const stft = new Stft(hannWindow(DRAWN_FFT, "periodic"), hop);
  const { bins } = stft;
  const frames = stft.frameCount(samples.length);
  const data = new Float32Array(frames * bins);
  const power = new Float64Array(bins);
  for (let t = 0; t < frames; t++) {
    stft.power(samples, t, power);
    data.set(power, t * bins);
  }
  const highest = data.reduce((a, b) => Math.max(a, b), 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = highest === 0 ? -rangeDb : Math.max(-rangeDb, 10 * Math.log10(data[i]! / highest));
  }
  return { data, frames, bins, frameSeconds: hop / sampleRate, maxHz: sampleRate / 2 };
}
