import type { CausalConvGeometry, Precision } from "../../ops/kernels.js";
import type { Weight } from "../../weight.js";
import { activate } from "./activations.js";
import { linear, matrixShape } from "./linear.js";

/** The rows of `history` (null: as many zeros) and then those of x. */
function withHistory(x: Float32Array, history: Float32Array | null, length: number): Float32Array {
  const signal = new Float32Array(length + x.length);
  if (history !== null) signal.set(history);
  signal.set(x, length);
  return signal;
}

/** A matrix product with one row per output: its taps, oldest first. */
export function causalConv1d(
  x: Float32Array,
  geometry: CausalConvGeometry,
  weight: Weight,
  bias: Float32Array | null,
  history: Float32Array | null,
  residual: Float32Array | null,
  out: Float32Array,
  precision: Precision,
): void {
  const { rows, inChannels, kernel, dilation, activation } = geometry;
  const signal = withHistory(x, history, (kernel - 1) * dilation * inChannels);
  const { columns } = matrixShape(weight);
  const taps = new Float32Array(rows * columns);
  for (let t = 0; t < rows; t++) {
    for (let k = 0; k < kernel; k++) {
      const from = (t + k * dilation) * inChannels;
      taps.set(signal.subarray(from, from + inChannels), t * columns + k * inChannels);
    }
  }
  linear(taps, rows, weight, bias, out, precision);
  for (let i = 0; i < out.length; i++) out[i] = activate(out[i]!, activation) + (residual?.[i] ?? 0);
  history?.set(signal.subarray(signal.length - history.length));
}

export function depthwiseCausalConv1d(
  x: Float32Array,
  rows: number,
  channels: number,
  kernel: number,
  weight: Float32Array,
  bias: Float32Array,
  history: Float32Array | null,
  out: Float32Array,
): void {
  const signal = withHistory(x, history, (kernel - 1) * channels);
  for (let t = 0; t < rows; t++) {
    for (let c = 0; c < channels; c++) {
      let sum = bias[c]!;
      for (let k = 0; k < kernel; k++) sum += weight[k * channels + c]! * signal[(t + k) * channels + c]!;
      out[t * channels + c] = sum;
    }
  }
  history?.set(signal.subarray(signal.length - history.length));
}
