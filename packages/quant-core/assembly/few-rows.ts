/**
 * Matrix × few vectors: `out[r, n] = x[r] · weight[n] + bias[n]`. Every weight is read from memory once: all
 * vectors of x visit a step's one to four weight rows before the next step. The arithmetic of a vector does not depend
 * on how many there are.
 */
import { decodeBlocks } from "./blocks";
import { dotDecoded, dotDecodedPair, productsOfMinima } from "./decoded-dots";
import { DEQUANTIZE_SCRATCH, dequantize } from "./dequantize";
import { dotBF16x4, dotF16x4, dotF32x4 } from "./float-dots";
import { dotQ4K, dotQ4x2, dotQ5, dotQ6K, dotQ8x2 } from "./int-dots";
import { BF16, F16, F32, Q4_0, Q4_K, Q5_0, Q6_K, Q8_0, encodedBytes, groupSize, hasMinimum } from "./types";
import { sumLanes2 } from "./vector";

/** The most rows of x that these kernels take. */
export const FEW_ROWS = 8;

/** Bytes of scratch for rows of `k` elements: four in float32; two decoded ones and their sums take less. */
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
 * @param x `[rows, k]`, at most FEW_ROWS
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

/**
 * Activations rounded by `quantizeActivations`, quantized weights only; `table` is `fillHalfTable`'s. A row of x has the
 * same bits alone and beside others. See `linearFewFloat`.
 */
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
  if (dtype == Q8_0 || dtype == Q4_0) {
    fromPairsOfBlocks(dtype, weight, n, k, q, d, sums32, rows, bias, out, outStride, table);
    return;
  }
  const sums = groupSize(dtype) == 16 ? sums16 : sums32;
  if (rows == 1) fromBlocks(dtype, weight, n, k, q, d, sums, bias, out, scratch, table);
  else fromDecoded(dtype, weight, n, k, q, d, sums, rows, bias, out, outStride, scratch);
}

/** Types that take little decoding: two streams of weight rows, as in `linearFewFloat`, straight from the blocks. */
function fromPairsOfBlocks(
  dtype: i32,
  weight: usize,
  n: i32,
  k: i32,
  q: usize,
  d: usize,
  sums32: usize,
  rows: i32,
  bias: usize,
  out: usize,
  outStride: usize,
  table: usize,
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const blockBytes = ((<usize>k) >> 5) << 2;
  const half = (n + 1) >> 1;
  for (let i = 0; i < half; i++) {
    const i1 = i + half < n ? i + half : i;
    const w0 = weight + rowBytes * i;
    const w1 = weight + rowBytes * i1;
    for (let r: usize = 0; r < <usize>rows; r++) {
      const qr = q + r * k * 2;
      const dr = d + r * blockBytes;
      const o = out + r * outStride;
      const both =
        dtype == Q8_0
          ? dotQ8x2(table, w0, w1, k, qr, dr)
          : dotQ4x2(table, w0, w1, k, qr, dr, sums32 + r * blockBytes);
      storeSum(f32x4.extract_lane(both, 1), i1, bias, o);
      storeSum(f32x4.extract_lane(both, 0), i, bias, o);
    }
  }
}

/** One row of x. */
function fromBlocks(
  dtype: i32,
  weight: usize,
  n: i32,
  k: i32,
  q: usize,
  d: usize,
  sums: usize,
  bias: usize,
  out: usize,
  scratch: usize,
  table: usize,
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const group = groupSize(dtype);
  const minimum = hasMinimum(dtype);
  const s = scratch + k;
  const m = s + ((<usize>k) >> 2);
  for (let i = 0; i < n; i++) {
    let sum: f32;
    switch (dtype) {
      case Q4_K:
        sum = dotQ4K(table, weight, k, q, d, sums);
        break;
      case Q6_K:
        sum = dotQ6K(table, weight, k, q, d);
        break;
      case Q5_0:
        sum = dotQ5(table, weight, k, q, d);
        break;
      default:
        decodeBlocks(dtype, weight, k, scratch, s, m);
        sum = dotDecoded(scratch, s, m, group, minimum, k, q, d, sums);
    }
    storeSum(sum, i, bias, out);
    weight += rowBytes;
  }
}

/** Several rows of x: two weight rows at a time are decoded once for all of them. */
function fromDecoded(
  dtype: i32,
  weight: usize,
  n: i32,
  k: i32,
  q: usize,
  d: usize,
  sums: usize,
  rows: i32,
  bias: usize,
  out: usize,
  outStride: usize,
  scratch: usize,
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const group = groupSize(dtype);
  const groups = k / group;
  const minimum = hasMinimum(dtype);
  const s = scratch + k;
  const m = s + ((<usize>k) >> 2);
  const between = m + ((<usize>k) >> 2) - scratch;
  const partial = scratch + between * 2;
  for (let i = 0; i < n; i += 2) {
    const i1 = min(i + 1, n - 1);
    decodeBlocks(dtype, weight + rowBytes * i, k, scratch, s, m);
    decodeBlocks(dtype, weight + rowBytes * i1, k, scratch + between, s + between, m + between);
    dotDecodedPair(scratch, s, between, group, k, q, (<usize>k) << 1, d, (<usize>k) >> 3, rows, partial);
    for (let r: usize = 0; r < <usize>rows; r++) {
      let sum0 = v128.load(partial + (r << 5));
      let sum1 = v128.load(partial + (r << 5), 16);
      if (minimum) {
        const sumsOfGroups = sums + ((r * groups) << 2);
        sum0 = f32x4.sub(sum0, productsOfMinima(m, sumsOfGroups, groups));
        sum1 = f32x4.sub(sum1, productsOfMinima(m + between, sumsOfGroups, groups));
      }
      const both = sumLanes2(sum0, sum1);
      storeSum(f32x4.extract_lane(both, 1), i1, bias, out + r * outStride);
      storeSum(f32x4.extract_lane(both, 0), i, bias, out + r * outStride);
    }
  }
}
