import {
  decodeToF32,
  FormatError,
  isNode,
  nodeBuiltin,
  openCheckpoint,
  ResourceError,
} from "@voxquant/quant-core";

const { abs, cos, floor, sin, PI } = Math;

export const FFT_SIZE = 256;
export const BINS = FFT_SIZE / 2 + 1;
export const HIDDEN = 128;
/** Rows of a matrix whose weights lie together, because they are worked on together. */
export const ROWS = 8;

/** Names of the ONNX/JIT weight set (silero-vad 6.2) and their shapes. */
const SHAPES = {
  "stft.forward_basis_buffer": [2 * BINS, 1, FFT_SIZE],
  "encoder.0.reparam_conv.weight": [128, BINS, 3],
  "encoder.0.reparam_conv.bias": [128],
  "encoder.1.reparam_conv.weight": [64, 128, 3],
  "encoder.1.reparam_conv.bias": [64],
  "encoder.2.reparam_conv.weight": [64, 64, 3],
  "encoder.2.reparam_conv.bias": [64],
  "encoder.3.reparam_conv.weight": [128, 64, 3],
  "encoder.3.reparam_conv.bias": [128],
  "decoder.rnn.weight_ih": [4 * HIDDEN, HIDDEN],
  "decoder.rnn.weight_hh": [4 * HIDDEN, HIDDEN],
  "decoder.rnn.bias_ih": [4 * HIDDEN],
  "decoder.rnn.bias_hh": [4 * HIDDEN],
  "decoder.decoder.2.weight": [1, HIDDEN, 1],
  "decoder.decoder.2.bias": [1],
} as const;

export type SileroTensorName = keyof typeof SHAPES;
export type SileroWeights = Readonly<Record<SileroTensorName, Float32Array>>;

/** The weights in the order and precision in which the network reads them; shared by all instances. */
export class PreparedWeights {
  // Float64: V8 multiplies doubles nearly twice as fast as it converts float32 on every load.
  readonly conv1: Float64Array;
  readonly bias1: Float64Array;
  readonly conv2: Float64Array;
  readonly bias2: Float64Array;
  readonly conv3: Float64Array;
  readonly bias3: Float64Array;
  readonly conv4: Float64Array;
  readonly bias4: Float64Array;
  /** weight_ih and weight_hh side by side [512, 256], and both biases added. */
  readonly lstm: Float64Array;
  readonly lstmBias: Float64Array;
  readonly out: Float64Array;
  readonly outBias: number;

  /** @throws FormatError if a size or the STFT basis is not Silero's */
  constructor(weights: SileroWeights) {
    for (const [name, shape] of Object.entries(SHAPES)) {
      const expected = shape.reduce((product: number, dim) => product * dim, 1);
      const found = weights[name as SileroTensorName]?.length;
      if (found !== expected) {
        throw new FormatError(
          `Silero VAD: ${name} has ${found ?? "no"} elements, [${shape.join(", ")}] are needed`,
        );
      }
    }
    checkBasis(weights["stft.forward_basis_buffer"]);
    this.conv1 = new Float64Array(weights["encoder.0.reparam_conv.weight"]);
    this.bias1 = new Float64Array(weights["encoder.0.reparam_conv.bias"]);
    this.conv2 = new Float64Array(weights["encoder.1.reparam_conv.weight"]);
    this.bias2 = new Float64Array(weights["encoder.1.reparam_conv.bias"]);
    // One frame of padding meets tap 0 of conv3, and both outer taps of conv4: only the others are ever used.
    this.conv3 = interleaved(taps(weights["encoder.2.reparam_conv.weight"], [1, 2]), 64);
    this.bias3 = new Float64Array(weights["encoder.2.reparam_conv.bias"]);
    this.conv4 = interleaved(taps(weights["encoder.3.reparam_conv.weight"], [1]), 128);
    this.bias4 = new Float64Array(weights["encoder.3.reparam_conv.bias"]);
    const lstm = new Float64Array(4 * HIDDEN * 2 * HIDDEN);
    for (let row = 0; row < 4 * HIDDEN; row++) {
      const from = row * HIDDEN;
      lstm.set(weights["decoder.rnn.weight_ih"].subarray(from, from + HIDDEN), 2 * from);
      lstm.set(weights["decoder.rnn.weight_hh"].subarray(from, from + HIDDEN), 2 * from + HIDDEN);
    }
    this.lstm = interleaved(lstm, 4 * HIDDEN);
    const biasHh = weights["decoder.rnn.bias_hh"];
    this.lstmBias = new Float64Array(weights["decoder.rnn.bias_ih"]).map((bias, i) => bias + biasHh[i]!);
    this.out = new Float64Array(weights["decoder.decoder.2.weight"]);
    this.outBias = weights["decoder.decoder.2.bias"][0]!;
  }
}

/** Reads a safetensors file of the network. @throws FormatError for a damaged or foreign file */
export async function readWeights(file: Uint8Array): Promise<PreparedWeights> {
  const checkpoint = await openCheckpoint(file);
  try {
    const weights: Partial<Record<SileroTensorName, Float32Array>> = {};
    for (const name of Object.keys(SHAPES) as SileroTensorName[]) {
      const weight = await checkpoint.read(name);
      const values = new Float32Array(weight.shape.reduce((product, dim) => product * dim, 1));
      decodeToF32(weight.dtype, weight.bytes, values);
      weights[name] = values;
    }
    return new PreparedWeights(weights as SileroWeights);
  } finally {
    await checkpoint.close();
  }
}

let bundled: Promise<PreparedWeights> | undefined;

/** The weights that the package brings, read once. @throws ResourceError if its file cannot be read */
export function bundledWeights(): Promise<PreparedWeights> {
  bundled ??= readAsset(new URL("../assets/silero_vad_16k.safetensors", import.meta.url))
    .then(readWeights)
    .catch((cause: unknown) => {
      bundled = undefined;
      throw new ResourceError(`the weights of Silero VAD cannot be read: ${String(cause)}`, { cause });
    });
  return bundled;
}

async function readAsset(url: URL): Promise<Uint8Array> {
  if (isNode && url.protocol === "file:") return nodeBuiltin("node:fs/promises").readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new ResourceError(`${url.href}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** [rows, n] as [rows / 8, n, 8]: the weights that `dense` reads together lie together. */
function interleaved(weight: Float64Array, rows: number): Float64Array {
  const n = weight.length / rows;
  return weight.map((_, at) => {
    const group = floor(at / (ROWS * n));
    const k = floor(at / ROWS) % n;
    return weight[(group * ROWS + (at % ROWS)) * n + k]!;
  });
}

/** These taps of every kernel of three, in order. */
function taps(weight: Float32Array, chosen: readonly number[]): Float64Array {
  const out = new Float64Array((weight.length / 3) * chosen.length);
  let at = 0;
  for (let kernel = 0; kernel < weight.length; kernel += 3) {
    for (const tap of chosen) out[at++] = weight[kernel + tap]!;
  }
  return out;
}

/** Periodic Hann window of the STFT. */
export function hannWindow(): Float64Array {
  return Float64Array.from({ length: FFT_SIZE }, (_, n) => 0.5 - 0.5 * cos((2 * PI * n) / FFT_SIZE));
}

/** The STFT runs as an FFT, which is the same thing only if the basis is the Hann-windowed Fourier basis. */
function checkBasis(basis: Float32Array): void {
  const hann = hannWindow();
  for (let k = 0; k < BINS; k++) {
    for (let n = 0; n < FFT_SIZE; n++) {
      const angle = (2 * PI * ((k * n) % FFT_SIZE)) / FFT_SIZE;
      const re = basis[k * FFT_SIZE + n]! - hann[n]! * cos(angle);
      const im = basis[(BINS + k) * FFT_SIZE + n]! + hann[n]! * sin(angle);
      if (!(abs(re) < 1e-5 && abs(im) < 1e-5)) {
        throw new FormatError(
          "Silero VAD: the STFT basis is not Silero's 256-point Hann basis (is this the 16 kHz file?)",
        );
      }
    }
  }
}
