import { dequantize } from "../../quantize/dequantize.js";
import { GGML_TYPES, isDense, type Weight } from "../../weight.js";
import type { Precision } from "../../ops/kernels.js";

const { abs, fround, max } = Math;

/** Rows and row length of a weight seen as a matrix: the first dimension by all others. */
export function matrixShape(weight: Weight): { rows: number; columns: number } {
  const rows = weight.shape[0] ?? 1;
  return { rows, columns: weight.shape.slice(1).reduce((product, dim) => product * dim, 1) };
}

/** Dequantized row `index` of a weight into `out` `[columns]`. */
export function weightRow(weight: Weight, index: number, out: Float32Array): void {
  const { block, bytes } = GGML_TYPES[weight.dtype];
  const rowBytes = (out.length / block) * bytes;
  dequantize(weight.dtype, weight.bytes.subarray(index * rowBytes, (index + 1) * rowBytes), out);
}

/** Blocks below this are zeros: the reciprocal of their scale would overflow. */
const LEAST_AMAX = 1e-36;

/** The activations as a fast kernel sees them: int8 blocks of 32 for a quantized weight, unchanged otherwise. */
export function roundActivations(x: Float32Array, weight: Weight, precision: Precision): Float32Array {
  if (precision === "exact" || isDense(weight.dtype)) return x;
  const rounded = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += 32) {
    let amax = 0;
    for (let i = start; i < start + 32; i++) amax = max(amax, abs(x[i]!));
    if (amax < LEAST_AMAX) continue;
    const d = fround(amax / 127);
    const inverse = fround(127 / amax);
    for (let i = start; i < start + 32; i++) rounded[i] = fround(roundHalfEven(fround(x[i]! * inverse)) * d);
  }
  return rounded;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction < 0.5) return floor;
  if (fraction > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `out[r, n] = x[r] · weight[n] + bias[n]`, each sum in double precision. */
export function linear(
  x: Float32Array,
  rows: number,
  weight: Weight,
  bias: Float32Array | null,
  out: Float32Array,
  precision: Precision,
): void {
  const { rows: outFeatures, columns } = matrixShape(weight);
  const activations = roundActivations(x, weight, precision);
  const row = new Float32Array(columns);
  for (let n = 0; n < outFeatures; n++) {
    weightRow(weight, n, row);
    const offset = bias === null ? 0 : bias[n]!;
    for (let r = 0; r < rows; r++) {
      let sum = offset;
      const base = r * columns;
      for (let i = 0; i < columns; i++) sum += activations[base + i]! * row[i]!;
      out[r * outFeatures + n] = sum;
    }
  }
}

export function linearArgmax(
  x: Float32Array,
  rows: number,
  weight: Weight,
  out: Int32Array,
  precision: Precision,
): void {
  const { rows: outFeatures } = matrixShape(weight);
  const logits = new Float32Array(rows * outFeatures);
  linear(x, rows, weight, null, logits, precision);
  for (let r = 0; r < rows; r++) {
    let best = 0;
    const base = r * outFeatures;
    for (let n = 1; n < outFeatures; n++) if (logits[base + n]! > logits[base + best]!) best = n;
    out[r] = best;
  }
}

export function embedding(ids: Int32Array, weight: Weight, out: Float32Array): void {
  const { columns } = matrixShape(weight);
  for (let i = 0; i < ids.length; i++)
    weightRow(weight, ids[i]!, out.subarray(i * columns, (i + 1) * columns));
}
