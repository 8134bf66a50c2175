/** Weight rows as float32: the exact path's operand, and embedding rows. */
import { decodeBlocks } from "./blocks";
import { BF16, F16, F32, encodedBytes, groupSize, hasMinimum } from "./types";
import { halvesToFloats, loadHalf } from "./vector";

/** Elements that are decoded at a time; the codes and scales of one such piece are in `scratch`. */
const PIECE = 1024;

/** Bytes of scratch that `dequantize` uses: codes, scales and minima of a piece. */
export const DEQUANTIZE_SCRATCH: usize = PIECE + (PIECE / 16) * 8;

/** Writes `k` elements of any type at `src` to `out` (float32). `k` is a multiple of the type's block. */
export function dequantize(dtype: i32, src: usize, k: i32, out: usize, scratch: usize): void {
  switch (dtype) {
    case F32:
      memory.copy(out, src, <usize>k * 4);
      return;
    case F16:
      widenHalves(src, k, out);
      return;
    case BF16:
      widenBrainFloats(src, k, out);
      return;
    default:
      dequantizeBlocks(dtype, src, k, out, scratch);
  }
}

function dequantizeBlocks(dtype: i32, src: usize, k: i32, out: usize, scratch: usize): void {
  const q = scratch;
  const s = scratch + PIECE;
  const m = s + (PIECE / 16) * 4;
  const group = groupSize(dtype);
  const minimum = hasMinimum(dtype);
  // every type's bytes per 256 elements are whole, and rows of 32-element types end with a shorter piece
  for (let done = 0; done < k; done += PIECE) {
    const count = min(PIECE, k - done);
    decodeBlocks(dtype, src + encodedBytes(dtype, done), count, q, s, m);
    let scale = s;
    let least = m;
    for (let i = 0; i < count; i += group) {
      const d = v128.load_splat<f32>(scale);
      const low = minimum ? v128.load_splat<f32>(least) : f32x4.splat(0);
      for (let j = i; j < i + group; j += 8) {
        const codes = v128.load_ext<i8>(q + j);
        let first = f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)));
        let second = f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)));
        if (minimum) {
          first = f32x4.sub(first, low);
          second = f32x4.sub(second, low);
        }
        v128.store(out + ((<usize>j) << 2), first);
        v128.store(out + ((<usize>j) << 2), second, 16);
      }
      scale += 4;
      least += 4;
    }
    out += PIECE * 4;
  }
}

function widenHalves(src: usize, k: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    v128.store(out, halvesToFloats(v128.load_ext<u16>(src)));
    src += 8;
    out += 16;
  }
  for (; i < k; i++) {
    store<f32>(out, loadHalf(src));
    src += 2;
    out += 4;
  }
}

function widenBrainFloats(src: usize, k: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    v128.store(out, i32x4.shl(v128.load_ext<u16>(src), 16));
    src += 8;
    out += 16;
  }
  for (; i < k; i++) {
    store<u32>(out, (<u32>load<u16>(src)) << 16);
    src += 2;
    out += 4;
  }
}
