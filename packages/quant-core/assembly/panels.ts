/** Panels of unpacked weights for the products with many rows: 64 weight rows × a piece of k. */
import { decodeBlocks } from "./blocks";
import { DEQUANTIZE_SCRATCH, dequantize } from "./dequantize";
import { groupSize, hasMinimum } from "./types";
import { storeTransposed } from "./vector";

export const PANEL_ROWS = 64;
export const FLOAT_PIECE = 512;
export const INT_PIECE = 1024;
/** Groups of 16 in a piece; types with groups of 32 use half of the room. */
export const GROUPS = INT_PIECE / 16;

export const FLOAT_PANEL_BYTES: usize = PANEL_ROWS * FLOAT_PIECE * 4;
export const INT_PANEL_BYTES: usize = PANEL_ROWS * INT_PIECE * 2;
/** Of the scales, and again of the minima. */
export const SCALE_PANEL_BYTES: usize = PANEL_ROWS * GROUPS * 4;

/** Four decoded rows on their way into a panel. */
const INT_ROW_BYTES: usize = INT_PIECE + GROUPS * 8;
export const PACK_FLOATS_SCRATCH: usize = 4 * FLOAT_PIECE * 4 + DEQUANTIZE_SCRATCH;
export const PACK_CODES_SCRATCH: usize = 4 * INT_ROW_BYTES;

/** Writes `[k][8]` floats: lane c of step i is element i of weight row min(c, rows - 1). */
export function packFloats(
  dtype: i32,
  weight: usize,
  rowBytes: usize,
  rows: i32,
  k: i32,
  panel: usize,
  scratch: usize,
): void {
  const rowSize: usize = FLOAT_PIECE * 4;
  for (let first = 0; first < 8; first += 4) {
    for (let j = 0; j < 4; j++) {
      const row = min(first + j, rows - 1);
      dequantize(dtype, weight + rowBytes * row, k, scratch + rowSize * j, scratch + rowSize * 4);
    }
    let from = scratch;
    let to = panel + ((<usize>first) << 2);
    let i = 0;
    for (; i + 4 <= k; i += 4) {
      storeTransposed(
        v128.load(from),
        v128.load(from, FLOAT_PIECE * 4),
        v128.load(from, FLOAT_PIECE * 8),
        v128.load(from, FLOAT_PIECE * 12),
        to,
        32,
      );
      from += 16;
      to += 128;
    }
    for (; i < k; i++) {
      for (let j: usize = 0; j < 4; j++) store<f32>(to + j * 4, load<f32>(from + j * rowSize));
      from += 4;
      to += 32;
    }
  }
}

/** Writes codes as `[k / 2][8]` pairs of int16, scales and minima as `[group][8]`. */
export function packCodes(
  dtype: i32,
  weight: usize,
  rowBytes: usize,
  rows: i32,
  k: i32,
  panel: usize,
  scales: usize,
  minima: usize,
  scratch: usize,
): void {
  const groups = k / groupSize(dtype);
  const minimum = hasMinimum(dtype);
  for (let first = 0; first < 8; first += 4) {
    for (let j = 0; j < 4; j++) {
      const row = min(first + j, rows - 1);
      const codes = scratch + INT_ROW_BYTES * j;
      const s = codes + INT_PIECE;
      const m = s + GROUPS * 4;
      decodeBlocks(dtype, weight + rowBytes * row, k, codes, s, m);
      const lane = (<usize>(first + j)) << 2;
      for (let g: usize = 0; g < <usize>groups; g++) {
        store<f32>(scales + g * 32 + lane, load<f32>(s + g * 4));
        if (minimum) store<f32>(minima + g * 32 + lane, load<f32>(m + g * 4));
      }
    }
    let from = scratch;
    let to = panel + ((<usize>first) << 2);
    for (let i = 0; i < k; i += 8) {
      storeTransposed(
        i16x8.extend_low_i8x16_s(v128.load_zero<u64>(from)),
        i16x8.extend_low_i8x16_s(v128.load_zero<u64>(from + INT_ROW_BYTES)),
        i16x8.extend_low_i8x16_s(v128.load_zero<u64>(from + INT_ROW_BYTES * 2)),
        i16x8.extend_low_i8x16_s(v128.load_zero<u64>(from + INT_ROW_BYTES * 3)),
        to,
        32,
      );
      from += 8;
      to += 128;
    }
  }
}
