/**
 * Matrix × many vectors. A panel of weights (64 rows × a piece of k) is unpacked once and used by all rows of x, in
 * register tiles of 4 rows × 8 weight rows. The lanes of a vector are weight rows, so that no sum goes across lanes and
 * the scales of eight weight rows are applied at once.
 */
import {
  FLOAT_PANEL_BYTES,
  FLOAT_PIECE,
  GROUPS,
  INT_PANEL_BYTES,
  INT_PIECE,
  PACK_CODES_SCRATCH,
  PACK_FLOATS_SCRATCH,
  PANEL_ROWS,
  SCALE_PANEL_BYTES,
  packCodes,
  packFloats,
} from "./panels";
import { encodedBytes, groupSize, hasMinimum } from "./types";
import { multiplyAdd } from "./vector";

/** 4 × 8 sums. */
const TILE_BYTES: usize = 4 * 8 * 4;

/** Bytes of scratch for either kernel: a tile, a panel, and what packing it needs. */
export function manyRowsScratch(): usize {
  const float = FLOAT_PANEL_BYTES + PACK_FLOATS_SCRATCH;
  const int = INT_PANEL_BYTES + 2 * SCALE_PANEL_BYTES + PACK_CODES_SCRATCH;
  return TILE_BYTES + max(float, int);
}

function tileFloat(a0: usize, a1: usize, a2: usize, a3: usize, panel: usize, k: i32, tile: usize): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  for (let i = 0; i < k; i++) {
    const w0 = v128.load(panel);
    const w1 = v128.load(panel, 16);
    let a = v128.load_splat<f32>(a0);
    c00 = multiplyAdd(w0, a, c00);
    c01 = multiplyAdd(w1, a, c01);
    a = v128.load_splat<f32>(a1);
    c10 = multiplyAdd(w0, a, c10);
    c11 = multiplyAdd(w1, a, c11);
    a = v128.load_splat<f32>(a2);
    c20 = multiplyAdd(w0, a, c20);
    c21 = multiplyAdd(w1, a, c21);
    a = v128.load_splat<f32>(a3);
    c30 = multiplyAdd(w0, a, c30);
    c31 = multiplyAdd(w1, a, c31);
    panel += 32;
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
  v128.store(tile, c20, 64);
  v128.store(tile, c21, 80);
  v128.store(tile, c30, 96);
  v128.store(tile, c31, 112);
}

/** Adds a group's int32 sums of one row, times its scales, to the tile's row; less minima times the activations' sum. */
// @ts-ignore: decorator
@inline
function addGroup(tile: usize, p0: v128, p1: v128, s0: v128, s1: v128, d: v128): void {
  v128.store(tile, multiplyAdd(f32x4.convert_i32x4_s(p0), f32x4.mul(s0, d), v128.load(tile)));
  v128.store(tile, multiplyAdd(f32x4.convert_i32x4_s(p1), f32x4.mul(s1, d), v128.load(tile, 16)), 16);
}

// @ts-ignore: decorator
@inline
function subtractMinima(tile: usize, m0: v128, m1: v128, sum: v128): void {
  v128.store(tile, f32x4.sub(v128.load(tile), f32x4.mul(m0, sum)));
  v128.store(tile, f32x4.sub(v128.load(tile, 16), f32x4.mul(m1, sum)), 16);
}

/**
 * Codes of four rows of x at q0…q3, their scales at d + 0…3 · dStride (per 32) and sums at sums + 0…3 · sumStride (per
 * group), all of this piece of k.
 */
function tileInt(
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  d0: usize,
  d1: usize,
  d2: usize,
  d3: usize,
  sums0: usize,
  sums1: usize,
  sums2: usize,
  sums3: usize,
  panel: usize,
  scales: usize,
  minima: usize,
  group: i32,
  minimum: bool,
  k: i32,
  tile: usize,
): void {
  memory.fill(tile, 0, TILE_BYTES);
  const groups = k / group;
  for (let g = 0; g < groups; g++) {
    let c00 = i32x4.splat(0);
    let c01 = i32x4.splat(0);
    let c10 = i32x4.splat(0);
    let c11 = i32x4.splat(0);
    let c20 = i32x4.splat(0);
    let c21 = i32x4.splat(0);
    let c30 = i32x4.splat(0);
    let c31 = i32x4.splat(0);
    const end = panel + ((<usize>group) << 4);
    while (panel < end) {
      let w0 = v128.load(panel);
      let w1 = v128.load(panel, 16);
      let a = v128.load_splat<i32>(q0);
      c00 = i32x4.add(c00, i32x4.dot_i16x8_s(w0, a));
      c01 = i32x4.add(c01, i32x4.dot_i16x8_s(w1, a));
      a = v128.load_splat<i32>(q1);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(w0, a));
      c11 = i32x4.add(c11, i32x4.dot_i16x8_s(w1, a));
      a = v128.load_splat<i32>(q2);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(w0, a));
      c21 = i32x4.add(c21, i32x4.dot_i16x8_s(w1, a));
      a = v128.load_splat<i32>(q3);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(w0, a));
      c31 = i32x4.add(c31, i32x4.dot_i16x8_s(w1, a));
      panel += 32;
      q0 += 4;
      q1 += 4;
      q2 += 4;
      q3 += 4;
    }
    const at = (<usize>((g * group) >> 5)) << 2;
    const s0 = v128.load(scales);
    const s1 = v128.load(scales, 16);
    addGroup(tile, c00, c01, s0, s1, v128.load_splat<f32>(d0 + at));
    addGroup(tile + 32, c10, c11, s0, s1, v128.load_splat<f32>(d1 + at));
    addGroup(tile + 64, c20, c21, s0, s1, v128.load_splat<f32>(d2 + at));
    addGroup(tile + 96, c30, c31, s0, s1, v128.load_splat<f32>(d3 + at));
    if (minimum) {
      const m0 = v128.load(minima);
      const m1 = v128.load(minima, 16);
      const sum = (<usize>g) << 2;
      subtractMinima(tile, m0, m1, v128.load_splat<f32>(sums0 + sum));
      subtractMinima(tile + 32, m0, m1, v128.load_splat<f32>(sums1 + sum));
      subtractMinima(tile + 64, m0, m1, v128.load_splat<f32>(sums2 + sum));
      subtractMinima(tile + 96, m0, m1, v128.load_splat<f32>(sums3 + sum));
      minima += 32;
    }
    scales += 32;
  }
}

/** Adds a tile's valid part to `out`, which starts from the bias (or 0) when this is the first piece of k. */
function storeTile(
  tile: usize,
  rows: i32,
  columns: i32,
  bias: usize,
  firstPiece: bool,
  out: usize,
  outStride: usize,
): void {
  for (let r = 0; r < rows; r++) {
    if (columns == 8) {
      let b0 = f32x4.splat(0);
      let b1 = f32x4.splat(0);
      if (!firstPiece) {
        b0 = v128.load(out);
        b1 = v128.load(out, 16);
      } else if (bias != 0) {
        b0 = v128.load(bias);
        b1 = v128.load(bias, 16);
      }
      v128.store(out, f32x4.add(v128.load(tile), b0));
      v128.store(out, f32x4.add(v128.load(tile, 16), b1), 16);
    } else {
      for (let c: usize = 0; c < <usize>columns; c++) {
        let base: f32 = 0;
        if (!firstPiece) base = load<f32>(out + c * 4);
        else if (bias != 0) base = load<f32>(bias + c * 4);
        store<f32>(out + c * 4, load<f32>(tile + c * 4) + base);
      }
    }
    tile += 32;
    out += outStride;
  }
}

/** As `linearFewFloat`, for any number of rows. */
export function linearManyFloat(
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
  const panel = scratch + TILE_BYTES;
  const work = panel + FLOAT_PANEL_BYTES;
  const subPanel: usize = 8 * FLOAT_PIECE * 4;
  for (let first = 0; first < n; first += PANEL_ROWS) {
    const columns = min(PANEL_ROWS, n - first);
    for (let start = 0; start < k; start += FLOAT_PIECE) {
      const piece = min(FLOAT_PIECE, k - start);
      const from = weight + rowBytes * first + encodedBytes(dtype, start);
      for (let c = 0; c < columns; c += 8) {
        packFloats(
          dtype,
          from + rowBytes * c,
          rowBytes,
          columns - c,
          piece,
          panel + subPanel * (c >> 3),
          work,
        );
      }
      for (let r = 0; r < rows; r += 4) {
        const valid = min(4, rows - r);
        const a0 = x + xStride * r + ((<usize>start) << 2);
        const a1 = a0 + (valid > 1 ? xStride : 0);
        const a2 = a0 + (valid > 2 ? xStride * 2 : 0);
        const a3 = a0 + (valid > 3 ? xStride * 3 : 0);
        const o = out + outStride * r + ((<usize>first) << 2);
        for (let c = 0; c < columns; c += 8) {
          tileFloat(a0, a1, a2, a3, panel + subPanel * (c >> 3), piece, scratch);
          const b: usize = bias == 0 ? 0 : bias + ((<usize>(first + c)) << 2);
          storeTile(scratch, valid, min(8, columns - c), b, start == 0, o + ((<usize>c) << 2), outStride);
        }
      }
    }
  }
}

/** As `linearFewInt`, for any number of rows. */
export function linearManyInt(
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
): void {
  const rowBytes: usize = encodedBytes(dtype, k);
  const group = groupSize(dtype);
  const minimum = hasMinimum(dtype);
  const qStride = (<usize>k) << 1;
  const dStride = (<usize>(k >> 5)) << 2;
  const sums = group == 16 ? sums16 : sums32;
  const sumStride = (<usize>(k / group)) << 2;
  const panel = scratch + TILE_BYTES;
  const scales = panel + INT_PANEL_BYTES;
  const minima = scales + SCALE_PANEL_BYTES;
  const work = minima + SCALE_PANEL_BYTES;
  const subPanel: usize = 8 * INT_PIECE * 2;
  const subScales: usize = 8 * GROUPS * 4;
  for (let first = 0; first < n; first += PANEL_ROWS) {
    const columns = min(PANEL_ROWS, n - first);
    for (let start = 0; start < k; start += INT_PIECE) {
      const piece = min(INT_PIECE, k - start);
      const from = weight + rowBytes * first + encodedBytes(dtype, start);
      for (let c = 0; c < columns; c += 8) {
        packCodes(
          dtype,
          from + rowBytes * c,
          rowBytes,
          columns - c,
          piece,
          panel + subPanel * (c >> 3),
          scales + subScales * (c >> 3),
          minima + subScales * (c >> 3),
          work,
        );
      }
      for (let r = 0; r < rows; r += 4) {
        const valid = min(4, rows - r);
        const r1: usize = valid > 1 ? 1 : 0;
        const r2: usize = valid > 2 ? 2 : 0;
        const r3: usize = valid > 3 ? 3 : 0;
        const q0 = q + qStride * r + ((<usize>start) << 1);
        const d0 = d + dStride * r + ((<usize>(start >> 5)) << 2);
        const sums0 = sums + sumStride * r + ((<usize>(start / group)) << 2);
        const o = out + outStride * r + ((<usize>first) << 2);
        for (let c = 0; c < columns; c += 8) {
          tileInt(
            q0,
            q0 + qStride * r1,
            q0 + qStride * r2,
            q0 + qStride * r3,
            d0,
            d0 + dStride * r1,
            d0 + dStride * r2,
            d0 + dStride * r3,
            sums0,
            sums0 + sumStride * r1,
            sums0 + sumStride * r2,
            sums0 + sumStride * r3,
            panel + subPanel * (c >> 3),
            scales + subScales * (c >> 3),
            minima + subScales * (c >> 3),
            group,
            minimum,
            piece,
            scratch,
          );
          const b: usize = bias == 0 ? 0 : bias + ((<usize>(first + c)) << 2);
          storeTile(scratch, valid, min(8, columns - c), b, start == 0, o + ((<usize>c) << 2), outStride);
        }
      }
    }
  }
}
