/**
 * Matrix × few vectors: `out[r, n] = x[r] · weight[n] + bias[n]`. Every weight is read from memory once: all
 * vectors of x visit a group of one to four weight rows before the next group.
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

/** Stores the first `count` lanes of `sums` (plus the biases where `bias` is not null) at `out`. */
// @ts-ignore: decorator
@inline
function storeSums(sums: v128, bias: usize, out: usize, count: i32): void {
  if (count >= 4) {
    v128.store(out, bias == 0 ? sums : f32x4.add(sums, v128.load(bias)));
    return;
  }
  for (let i = 0; i < count; i++) {
    const b: f32 = bias == 0 ? 0 : load<f32>(bias + (<usize>i << 2));
    store<f32>(out + (<usize>i << 2), f32x4.extract_lane(sums, 0) + b);
    sums = v128.shuffle<i32>(sums, sums, 1, 2, 3, 0);
  }
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
  const xStride = <usize>k << 2;
  const work = scratch + xStride * 4;
  const dense = dtype == F32 || dtype == F16 || dtype == BF16;
  for (let i = 0; i < n; i += 4) {
    const count = min(4, n - i);
    // a last group of fewer rows computes its first row again in the place of the missing ones
    let w0 = weight;
    let w1 = weight + (count > 1 ? rowBytes : 0);
    let w2 = weight + (count > 2 ? rowBytes * 2 : 0);
    let w3 = weight + (count > 3 ? rowBytes * 3 : 0);
    if (!dense) {
      for (let j = 0; j < count; j++) {
        dequantize(dtype, weight + rowBytes * j, k, scratch + xStride * j, work);
      }
      w0 = scratch;
      w1 = scratch + (count > 1 ? xStride : 0);
      w2 = scratch + (count > 2 ? xStride * 2 : 0);
      w3 = scratch + (count > 3 ? xStride * 3 : 0);
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
      storeSums(sums, bias, o, count);
      xr += xStride;
      o += outStride;
    }
    weight += rowBytes * 4;
    out += 16;
    if (bias != 0) bias += 16;
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
  const blocks = <usize>k >> 5;
  const direct = dtype == Q8_0 || dtype == Q4_0 || dtype == Q4_K || dtype == Q6_K || dtype == Q5_0;
  const group = groupSize(dtype);
  const minimum = hasMinimum(dtype);
  const s = scratch + k;
  const m = s + (<usize>k >> 2);
  const step = dtype == Q8_0 || dtype == Q4_0 ? 2 : 1;
  for (let i = 0; i < n; i += step) {
    const count = min(step, n - i);
    const second = weight + (count > 1 ? rowBytes : 0);
    if (!direct) decodeBlocks(dtype, weight, k, scratch, s, m);
    for (let r: usize = 0; r < <usize>rows; r++) {
      const qr = q + r * k * 2;
      const dr = d + r * blocks * 4;
      const sums32r = sums32 + r * blocks * 4;
      let sums: v128;
      switch (dtype) {
        case Q8_0:
          sums = dotQ8x2(table, weight, second, k, qr, dr);
          break;
        case Q4_0:
          sums = dotQ4x2(table, weight, second, k, qr, dr, sums32r);
          break;
        case Q4_K:
          sums = f32x4.splat(dotQ4K(table, weight, k, qr, dr, sums32r));
          break;
        case Q6_K:
          sums = f32x4.splat(dotQ6K(table, weight, k, qr, dr));
          break;
        case Q5_0:
          sums = f32x4.splat(dotQ5(table, weight, k, qr, dr));
          break;
        default: {
          const sumsOfGroups = group == 16 ? sums16 + r * blocks * 8 : sums32r;
          sums = f32x4.splat(dotDecoded(scratch, s, m, group, minimum, k, qr, dr, sumsOfGroups));
        }
      }
      storeSums(sums, bias, out + r * outStride, count);
    }
    weight += rowBytes * step;
    out += <usize>step << 2;
    if (bias != 0) bias += <usize>step << 2;
  }
}
