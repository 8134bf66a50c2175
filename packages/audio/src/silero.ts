import { AudioError } from "./errors.js";
import { RealFft } from "./fft.js";
import {
  BINS,
  bundledWeights,
  FFT_SIZE,
  hannWindow,
  HIDDEN,
  PreparedWeights,
  readWeights,
  ROWS,
  type SileroWeights,
} from "./silero-weights.js";

export type { SileroTensorName, SileroWeights } from "./silero-weights.js";

/** New samples per window, and samples of the window before that are seen again. */
export const VAD_WINDOW = 512;
const CONTEXT = 64;
/** Mirrored samples at the right end only. */
const PADDING = 64;
const FFT_HOP = 128;
const FRAMES = 4;

const { exp, sqrt, tanh } = Math;

/**
 * Stage outputs of the last window, row-major, for tests and ports: `mag` [129, 4], `conv1` [128, 4], `conv2` [64, 2],
 * `conv3` [64, 1], `conv4` [128, 1], `h` [128], `c` [128].
 */
export type SileroStages = Readonly<
  Record<"mag" | "conv1" | "conv2" | "conv3" | "conv4" | "h" | "c", Float32Array>
>;

/**
 * Silero VAD v6 (16 kHz): the probability that a window of 512 samples (32 ms) holds speech. A short-time spectrum,
 * four convolutions and an LSTM whose state runs through the windows of one recording: call `reset` before another.
 * One instance serves one stream at a time.
 */
export class SileroVad {
  readonly #fft = new RealFft(FFT_SIZE);
  readonly #hann = hannWindow();
  readonly #frame = new Float64Array(FFT_SIZE);
  readonly #power = new Float64Array(BINS);
  readonly #input = new Float64Array(CONTEXT + VAD_WINDOW + PADDING);
  readonly #mag = new Float64Array(BINS * FRAMES);
  readonly #conv1 = new Float64Array(128 * FRAMES);
  readonly #conv2 = new Float64Array(64 * 2);
  readonly #conv3 = new Float64Array(64);
  /** Output of conv4, then h: the LSTM reads both as one vector. */
  readonly #lstmInput = new Float64Array(2 * HIDDEN);
  readonly #gates = new Float64Array(4 * HIDDEN);
  readonly #c = new Float64Array(HIDDEN);
  readonly #weights: PreparedWeights;

  /** @param weights every tensor of the 16 kHz network, row-major @throws FormatError if a size or the STFT basis is not Silero's */
  constructor(weights: SileroWeights | PreparedWeights) {
    this.#weights = weights instanceof PreparedWeights ? weights : new PreparedWeights(weights);
  }

  /**
   * The network of a safetensors file; without one, the weights that this package brings (silero-vad 6.2, MIT).
   * @throws FormatError for a damaged or foreign file, ResourceError if the package's own file cannot be read
   */
  static async load(file?: Uint8Array): Promise<SileroVad> {
    return new SileroVad(file === undefined ? await bundledWeights() : await readWeights(file));
  }

  /** Forgets the recording so far. */
  reset(): void {
    this.#input.fill(0);
    this.#lstmInput.fill(0);
    this.#c.fill(0);
  }

  /**
   * Probability of speech, 0 … 1, in the next 512 samples (16 kHz, ±1); a last window that is shorter counts as padded with zeros.
   * @throws AudioError `bad_input` for a longer window
   */
  process(window: Float32Array): number {
    if (window.length > VAD_WINDOW) {
      throw new AudioError(
        "bad_input",
        `Silero VAD: window of ${window.length} samples, at most ${VAD_WINDOW} are taken`,
      );
    }
    this.#spectrum(window);
    const net = this.#weights;
    conv1(this.#mag, net.conv1, net.bias1, this.#conv1);
    conv2(this.#conv1, net.conv2, net.bias2, this.#conv2);
    dense(this.#conv2, net.conv3, net.bias3, this.#conv3, true);
    dense(this.#conv3, net.conv4, net.bias4, this.#lstmInput.subarray(0, HIDDEN), true);
    dense(this.#lstmInput, net.lstm, net.lstmBias, this.#gates, false);
    return this.#decode();
  }

  get stages(): SileroStages {
    return {
      mag: new Float32Array(this.#mag),
      conv1: new Float32Array(this.#conv1),
      conv2: new Float32Array(this.#conv2),
      conv3: new Float32Array(this.#conv3),
      conv4: new Float32Array(this.#lstmInput.subarray(0, HIDDEN)),
      h: new Float32Array(this.#lstmInput.subarray(HIDDEN)),
      c: new Float32Array(this.#c),
    };
  }

  /** Magnitudes [129, 4] of context ‖ window ‖ mirrored end. */
  #spectrum(window: Float32Array): void {
    const input = this.#input;
    const end = CONTEXT + VAD_WINDOW;
    input.copyWithin(0, end - CONTEXT, end);
    input.set(window, CONTEXT);
    input.fill(0, CONTEXT + window.length, end);
    for (let i = 0; i < PADDING; i++) input[end + i] = input[end - 2 - i]!;
    const frame = this.#frame;
    const power = this.#power;
    const hann = this.#hann;
    for (let t = 0; t < FRAMES; t++) {
      const start = t * FFT_HOP;
      for (let i = 0; i < FFT_SIZE; i++) frame[i] = input[start + i]! * hann[i]!;
      this.#fft.powerSpectrum(frame, power);
      for (let k = 0; k < BINS; k++) this.#mag[k * FRAMES + t] = sqrt(power[k]!);
    }
  }

  /** LSTM cell (gates i, f, g, o) and output layer. */
  #decode(): number {
    const gates = this.#gates;
    const c = this.#c;
    const h = this.#lstmInput;
    const outWeight = this.#weights.out;
    let logit = this.#weights.outBias;
    for (let j = 0; j < HIDDEN; j++) {
      const cell = sigmoid(gates[HIDDEN + j]!) * c[j]! + sigmoid(gates[j]!) * tanh(gates[2 * HIDDEN + j]!);
      c[j] = cell;
      const hidden = sigmoid(gates[3 * HIDDEN + j]!) * tanh(cell);
      h[HIDDEN + j] = hidden;
      if (hidden > 0) logit += outWeight[j]! * hidden;
    }
    return sigmoid(logit);
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + exp(-x));
}

/** Kernel 3, stride 1, padding 1, ReLU: [129, 4] → [128, 4]. The outermost taps of the first and last frame meet zeros. */
function conv1(x: Float64Array, weight: Float64Array, bias: Float64Array, out: Float64Array): void {
  for (let o = 0; o < 128; o++) {
    let a = bias[o]!;
    let b = a;
    let c = a;
    let d = a;
    let w = o * BINS * 3;
    for (let k = 0; k < BINS * FRAMES; k += FRAMES, w += 3) {
      const w0 = weight[w]!;
      const w1 = weight[w + 1]!;
      const w2 = weight[w + 2]!;
      const x0 = x[k]!;
      const x1 = x[k + 1]!;
      const x2 = x[k + 2]!;
      const x3 = x[k + 3]!;
      a += w1 * x0 + w2 * x1;
      b += w0 * x0 + w1 * x1 + w2 * x2;
      c += w0 * x1 + w1 * x2 + w2 * x3;
      d += w0 * x2 + w1 * x3;
    }
    const at = o * FRAMES;
    out[at] = a > 0 ? a : 0;
    out[at + 1] = b > 0 ? b : 0;
    out[at + 2] = c > 0 ? c : 0;
    out[at + 3] = d > 0 ? d : 0;
  }
}

/** Kernel 3, stride 2, padding 1, ReLU: [128, 4] → [64, 2]. */
function conv2(x: Float64Array, weight: Float64Array, bias: Float64Array, out: Float64Array): void {
  for (let o = 0; o < 64; o++) {
    let a = bias[o]!;
    let b = a;
    let w = o * 128 * 3;
    for (let k = 0; k < 128 * FRAMES; k += FRAMES, w += 3) {
      const w0 = weight[w]!;
      const w1 = weight[w + 1]!;
      const w2 = weight[w + 2]!;
      const x1 = x[k + 1]!;
      a += w1 * x[k]! + w2 * x1;
      b += w0 * x1 + w1 * x[k + 2]! + w2 * x[k + 3]!;
    }
    out[2 * o] = a > 0 ? a : 0;
    out[2 * o + 1] = b > 0 ? b : 0;
  }
}

/** out = weight · x + bias for interleaved weights; zeros of x, of which ReLU makes many, cost nothing. */
function dense(
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
  out: Float64Array,
  relu: boolean,
): void {
  const n = x.length;
  let w = 0;
  for (let o = 0; o < out.length; o += ROWS) {
    let a = bias[o]!;
    let b = bias[o + 1]!;
    let c = bias[o + 2]!;
    let d = bias[o + 3]!;
    let e = bias[o + 4]!;
    let f = bias[o + 5]!;
    let g = bias[o + 6]!;
    let h = bias[o + 7]!;
    for (let k = 0; k < n; k++, w += ROWS) {
      const value = x[k]!;
      if (value === 0) continue;
      a += weight[w]! * value;
      b += weight[w + 1]! * value;
      c += weight[w + 2]! * value;
      d += weight[w + 3]! * value;
      e += weight[w + 4]! * value;
      f += weight[w + 5]! * value;
      g += weight[w + 6]! * value;
      h += weight[w + 7]! * value;
    }
    out[o] = a;
    out[o + 1] = b;
    out[o + 2] = c;
    out[o + 3] = d;
    out[o + 4] = e;
    out[o + 5] = f;
    out[o + 6] = g;
    out[o + 7] = h;
  }
  if (relu) for (let o = 0; o < out.length; o++) if (out[o]! < 0) out[o] = 0;
}
