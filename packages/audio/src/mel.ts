import { AudioError } from "./errors.js";
import { RealFft } from "./fft.js";
import { melFilterBank, type MelFilterConfig, type SparseFilter } from "./mel-filters.js";

/** A log-mel front end. Lengths in samples, frequencies in Hz. */
export interface MelConfig extends MelFilterConfig {
  readonly hopLength: number;
  /** At most fftSize; a shorter window is centred in the frame. */
  readonly windowLength: number;
  readonly window: "hann-periodic" | "hann-symmetric";
  /** What stands before the first and after the last sample. */
  readonly padding: { readonly mode: "reflect" | "zero" | "none"; readonly samples: number };
  /** y[i] = x[i] − preEmphasis·x[i−1]. */
  readonly preEmphasis?: number;
  /** `magnitude`: √(re² + im² + 1e-9). */
  readonly spectrum: "power" | "magnitude";
  /** `whisper`: log10, floor 1e-10 and 8 below the maximum, (y + 4)/4. Else the natural logarithm of max(mel, floor) or mel + floor. */
  readonly compression: "whisper" | { readonly log: "clamp" | "add"; readonly floor: number };
  /** The last frame of a centred STFT, which belongs to the sample after the end, is left out. */
  readonly dropLastFrame: boolean;
  /** `per-band`: every band to mean 0 and (unbiased) standard deviation 1. Default `none`. */
  readonly normalize?: "per-band" | "none";
  /** Window and filters rounded to bfloat16, as some checkpoints store them. */
  readonly bfloat16Tables?: boolean;
}

export interface LogMel {
  /** `[mels, frames]`, row-major. */
  readonly data: Float32Array;
  readonly mels: number;
  readonly frames: number;
}

const WHISPER: Omit<MelConfig, "mels"> = {
  sampleRate: 16000,
  fftSize: 400,
  hopLength: 160,
  windowLength: 400,
  window: "hann-periodic",
  padding: { mode: "reflect", samples: 200 },
  spectrum: "power",
  minHz: 0,
  maxHz: 8000,
  scale: "slaney",
  areaNorm: true,
  compression: "whisper",
  dropLastFrame: true,
};

/** Front ends of published models. Pad the samples first where a model wants padded input (Whisper: zeros to 30 s). */
export const MEL_CONFIGS = {
  /** Whisper up to large-v2 (openai/whisper `audio.py`). */
  whisper80: { ...WHISPER, mels: 80 },
  /** Whisper large-v3 and turbo. */
  whisper128: { ...WHISPER, mels: 128 },
  /** Qwen3-ASR: Whisper's 128 bands of the clip as it is, floor(n/160) frames. */
  qwen3Asr: { ...WHISPER, mels: 128 },
  /** NeMo `FilterbankFeatures` of Parakeet. */
  nemo128: {
    ...WHISPER,
    mels: 128,
    fftSize: 512,
    window: "hann-symmetric",
    padding: { mode: "zero", samples: 256 },
    preEmphasis: 0.97,
    compression: { log: "add", floor: 2 ** -24 },
    normalize: "per-band",
  },
  /** GigaAM v3, whose checkpoints hold window and filters rounded to bfloat16. */
  gigaam64: {
    ...WHISPER,
    mels: 64,
    fftSize: 320,
    windowLength: 320,
    padding: { mode: "none", samples: 0 },
    scale: "htk",
    areaNorm: false,
    compression: { log: "clamp", floor: 1e-9 },
    dropLastFrame: false,
    bfloat16Tables: true,
  },
  /** Speaker encoder of Qwen3-TTS (24 kHz). */
  qwen3TtsSpeaker: {
    ...WHISPER,
    sampleRate: 24000,
    mels: 128,
    fftSize: 1024,
    hopLength: 256,
    windowLength: 1024,
    padding: { mode: "reflect", samples: 384 },
    spectrum: "magnitude",
    maxHz: 12000,
    compression: { log: "clamp", floor: 1e-5 },
    dropLastFrame: false,
  },
} as const satisfies Record<string, MelConfig>;

const { log, log10, max, sqrt } = Math;

/** Computes log-mel spectrograms; keeps its tables and scratch memory between calls. */
export class MelFrontEnd {
  readonly config: MelConfig;
  readonly #fft: RealFft;
  readonly #window: Float64Array;
  readonly #filters: readonly SparseFilter[];
  readonly #frame: Float64Array;
  readonly #power: Float64Array;

  constructor(config: MelConfig) {
    this.config = config;
    this.#fft = new RealFft(config.fftSize);
    const span = config.window === "hann-periodic" ? config.windowLength : config.windowLength - 1;
    this.#window = Float64Array.from(
      { length: config.windowLength },
      (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / span),
    );
    const filters = melFilterBank(config);
    if (config.bfloat16Tables === true) {
      roundToBfloat16(this.#window);
      for (const filter of filters) roundToBfloat16(filter.weights);
    }
    this.#filters = filters;
    this.#frame = new Float64Array(config.fftSize);
    this.#power = new Float64Array(config.fftSize / 2 + 1);
  }

  /** Frames of a clip of this many samples. */
  frameCount(samples: number): number {
    const { padding, fftSize, hopLength, dropLastFrame } = this.config;
    const padded = samples + 2 * padding.samples;
    if (padded < fftSize) return 0;
    return Math.floor((padded - fftSize) / hopLength) + (dropLastFrame ? 0 : 1);
  }

  /** Fewest samples that give a frame, and that reflect padding can mirror. */
  get minSamples(): number {
    const { padding, fftSize, hopLength, dropLastFrame } = this.config;
    const forFrame = fftSize - 2 * padding.samples + (dropLastFrame ? hopLength : 0);
    return max(forFrame, padding.mode === "reflect" ? padding.samples + 1 : 1);
  }

  /**
   * Log-mel spectrogram of a mono clip at the config's rate.
   * @throws AudioError `too_short` below `minSamples`
   */
  compute(samples: Float32Array): LogMel {
    if (samples.length < this.minSamples) {
      const message = `mel spectrogram: ${samples.length} samples, at least ${this.minSamples} are needed`;
      throw new AudioError("too_short", message);
    }
    const { mels, compression, normalize, hopLength, padding } = this.config;
    const frames = this.frameCount(samples.length);
    const data = new Float32Array(mels * frames);
    const signal =
      this.config.preEmphasis === undefined ? samples : emphasized(samples, this.config.preEmphasis);
    let highest = -Infinity;
    for (let t = 0; t < frames; t++) {
      this.#loadFrame(signal, t * hopLength - padding.samples);
      this.#fft.powerSpectrum(this.#frame, this.#power);
      highest = max(highest, this.#storeFrame(data, t, frames));
    }
    if (compression === "whisper") {
      const floor = highest - 8;
      for (let i = 0; i < data.length; i++) data[i] = (max(data[i]!, floor) + 4) / 4;
    }
    if (normalize === "per-band")
      for (let m = 0; m < mels; m++) normalizeRow(data.subarray(m * frames, (m + 1) * frames));
    return { data, mels, frames };
  }

  /**
   * Bands of the power spectrum to column `t` of `data` `[mels, frames]`; returns the largest. A method of its own, so that
   * it is compiled after some frames: a loop inside `compute` allocates every number of the first clip.
   */
  #storeFrame(data: Float32Array, t: number, frames: number): number {
    const { compression, spectrum } = this.config;
    const power = this.#power;
    if (spectrum === "magnitude") for (let k = 0; k < power.length; k++) power[k] = sqrt(power[k]! + 1e-9);
    let highest = -Infinity;
    for (let m = 0; m < this.#filters.length; m++) {
      const { first, weights } = this.#filters[m]!;
      let energy = 0;
      for (let k = 0; k < weights.length; k++) energy += weights[k]! * power[first + k]!;
      let value: number;
      if (compression === "whisper") value = log10(max(energy, 1e-10));
      else if (compression.log === "add") value = log(energy + compression.floor);
      else value = log(max(energy, compression.floor));
      if (value > highest) highest = value;
      data[m * frames + t] = value;
    }
    return highest;
  }

  /** The windowed frame that begins at `start`, which may lie before the signal. */
  #loadFrame(signal: Float32Array, start: number): void {
    const { fftSize, windowLength, padding } = this.config;
    const frame = this.#frame;
    const window = this.#window;
    const lead = (fftSize - windowLength) / 2;
    const n = signal.length;
    const first = start + lead;
    if (first >= 0 && first + windowLength <= n) {
      for (let i = 0; i < windowLength; i++) frame[lead + i] = signal[first + i]! * window[i]!;
      return;
    }
    for (let i = 0; i < windowLength; i++) {
      let at = first + i;
      if (padding.mode === "reflect") at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
      frame[lead + i] = at < 0 || at >= n ? 0 : signal[at]! * window[i]!;
    }
  }
}

function emphasized(samples: Float32Array, factor: number): Float32Array {
  const out = new Float32Array(samples.length);
  out[0] = samples[0]!;
  for (let i = 1; i < out.length; i++) out[i] = samples[i]! - factor * samples[i - 1]!;
  return out;
}

/** (v − mean) / (std + 1e-5) with the unbiased std; a constant row, or one of a single frame, becomes 0. */
function normalizeRow(row: Float32Array): void {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]!;
  const mean = sum / row.length;
  let squares = 0;
  for (let i = 0; i < row.length; i++) squares += (row[i]! - mean) ** 2;
  if (squares === 0) {
    row.fill(0);
    return;
  }
  const deviation = sqrt(squares / (row.length - 1)) + 1e-5;
  for (let i = 0; i < row.length; i++) row[i] = (row[i]! - mean) / deviation;
}

/** Round to nearest even on the upper 16 bits of the float32. */
function roundToBfloat16(values: Float64Array): void {
  const float = new Float32Array(values);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) & 0xffff0000;
  values.set(float);
}
