/**
 * Matrix × few vectors: `out[r, n] = x[r] · weight[n] + bias[n]`. Every weight is read from memory once: all
 * vectors of x visit a step's one to four weight rows before the next step.
 */
import {
  BF16,
  F16,
  F32,
  Q4_0,
  Q4_K,
  Q5_0,
  Q6_K,
  Q8_0,
  decodeBlocks,
  encodedBytes,
  groupSize,
  hasMinimum,
} from "./blocks";
import { DEQUANTIZE_SCRATCH, dequantize } from "./dequantize";
import { dotBF16x4, dotF16x4, dotF32x4 } from "./float-dots";
import { dotDecoded, dotQ4K, dotQ4x2, dotQ5, dotQ6K, dotQ8x2 } from "./int-dots";

/** Bytes of scratch for rows of `k` elements. */
export function fewRowsScratch(k: i32): usize {
  return <usize>k * 16 + DEQUANTIZE_SCRATCH;
}

// @ts-ignore: decorator
@inline
function storeSum(sum: f32, row: i32, bias: usize, out: usize): void {
  const at = (<usize>row) << 2;
  store<f32>(out + at, bias == 0 ? sum : sum + load<f32>(bias + at));
}

/**
 * Float32 activations.
 * @param n weight rows, `rowBytes` apart
 * @param x `[rows, k]`
 * @param bias `[n]` or null
 * @param out `[rows]` rows, `outStride` bytes apart
 */
export function linearFewFloat(
  dtype: i32,
  weight: usize,
  n: i32,
  k: i32,
  x: usize,
  rows: i32,
  bias: usize,
  out: usize,
  outStride: usize,
  scratch: usize,
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const xStride = (<usize>k) << 2;
  const work = scratch + xStride * 4;
  const dense = dtype == F32 || dtype == F16 || dtype == BF16;
  // The four rows of a step lie a quarter of the matrix apart: four long streams, which the processor fetches ahead,
  // where four neighbouring rows would be many short ones.
  const quarter = (n + 3) >> 2;
  for (let i = 0; i < quarter; i++) {
    // a missing row is replaced by the first
    const i1 = i + quarter < n ? i + quarter : i;
    const i2 = i + quarter * 2 < n ? i + quarter * 2 : i;
    const i3 = i + quarter * 3 < n ? i + quarter * 3 : i;
    let w0 = weight + rowBytes * i;
    let w1 = weight + rowBytes * i1;
    let w2 = weight + rowBytes * i2;
    let w3 = weight + rowBytes * i3;
    if (!dense) {
      dequantize(dtype, w0, k, scratch, work);
      dequantize(dtype, w1, k, scratch + xStride, work);
      dequantize(dtype, w2, k, scratch + xStride * 2, work);
      dequantize(dtype, w3, k, scratch + xStride * 3, work);
      w0 = scratch;
      w1 = scratch + xStride;
      w2 = scratch + xStride * 2;
      w3 = scratch + xStride * 3;
    }
    let xr = x;
    let o = out;
    for (let r = 0; r < rows; r++) {
      const sums =
        dtype == BF16
          ? dotBF16x4(w0, w1, w2, w3, k, xr)
          : dtype == F16
            ? dotF16x4(w0, w1, w2, w3, k, xr)
            : dotF32x4(w0, w1, w2, w3, k, xr);
      storeSum(f32x4.extract_lane(sums, 3), i3, bias, o);
      storeSum(f32x4.extract_lane(sums, 2), i2, bias, o);
      storeSum(f32x4.extract_lane(sums, 1), i1, bias, o);
      storeSum(f32x4.extract_lane(sums, 0), i, bias, o);
      xr += xStride;
      o += outStride;
    }
  }
}

/** Activations rounded by `quantizeActivations`, quantized weights only; `table` is `fillHalfTable`'s. See `linearFewFloat`. */
export function linearFewInt(
  dtype: i32,
  weight: usize,
  n: i32,
  k: i32,
  q: usize,
  d: usize,
  sums16: usize,
  sums32: usize,
  rows: i32,
  bias: usize,
  out: usize,
  outStride: usize,
  scratch: usize,
  table: usize,
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const blocks = (<usize>k) >> 5;
  const direct = dtype == Q8_0 || dtype == Q4_0 || dtype == Q4_K || dtype == Q6_K || dtype == Q5_0;
  const group = groupSize(dtype);
  const minimum = hasMinimum(dtype);
  const s = scratch + k;
  const m = s + ((<usize>k) >> 2);
  // two streams of rows for the types that take two at a time, as in `linearFewFloat`
  const pairs = dtype == Q8_0 || dtype == Q4_0;
  const steps = pairs ? (n + 1) >> 1 : n;
  for (let i = 0; i < steps; i++) {
    const i1 = pairs && i + steps < n ? i + steps : i;
    const w0 = weight + rowBytes * i;
    const w1 = weight + rowBytes * i1;
    if (!direct) decodeBlocks(dtype, w0, k, scratch, s, m);
    for (let r: usize = 0; r < <usize>rows; r++) {
      const qr = q + r * k * 2;
      const dr = d + r * blocks * 4;
      const sums32r = sums32 + r * blocks * 4;
      const o = out + r * outStride;
      let sum: f32;
      switch (dtype) {
        case Q8_0:
        case Q4_0: {
          const both =
            dtype == Q8_0 ? dotQ8x2(table, w0, w1, k, qr, dr) : dotQ4x2(table, w0, w1, k, qr, dr, sums32r);
          storeSum(f32x4.extract_lane(both, 1), i1, bias, o);
          sum = f32x4.extract_lane(both, 0);
          break;
        }
        case Q4_K:
          sum = dotQ4K(table, w0, k, qr, dr, sums32r);
          break;
        case Q6_K:
          sum = dotQ6K(table, w0, k, qr, dr);
          break;
        case Q5_0:
          sum = dotQ5(table, w0, k, qr, dr);
          break;
        default: {
          const sumsOfGroups = group == 16 ? sums16 + r * blocks * 8 : sums32r;
          sum = dotDecoded(scratch, s, m, group, minimum, k, qr, dr, sumsOfGroups);
        }
      }
      storeSum(sum, i, bias, o);
    }
  }
}
