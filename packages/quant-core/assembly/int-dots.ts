/**
 * Dot products of encoded weight rows with int8-rounded activations (widened to int16), straight from the blocks: the
 * kernels of decoding, bound by the speed of reading weights.
 *
 * V8 moves all loads of a basic block to its front and has 15 vector registers, so a loop body that loads more than
 * about ten vectors spills: the bodies here are kept that small rather than unrolled. For types other than Q8_0 and Q4_0
 * a row's sum has the very bits that `decoded-dots.ts` gives.
 */
import { sixBitScales } from "./blocks";
import {
  expandHighBits,
  expandLowBits,
  highNibbles,
  lowNibbles,
  multiplyAdd,
  splatLane0,
  splatLane1,
  splatLane2,
  splatLane3,
  sumLanes,
  sumLanes2,
} from "./vector";

/** The IEEE half at `pointer`, by a table of all 65536: one load instead of ten steps per block. */
// @ts-ignore: decorator
@inline
function half(table: usize, pointer: usize): f32 {
  return load<f32>(table + ((<usize>load<u16>(pointer)) << 2));
}

/** Four partial sums of 32 products of int8 codes with int16 activations. */
// @ts-ignore: decorator
@inline
function products32(low: v128, high: v128, a0: v128, a1: v128, a2: v128, a3: v128): v128 {
  return i32x4.add(
    i32x4.add(
      i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(low), a0),
      i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(low), a1),
    ),
    i32x4.add(
      i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(high), a2),
      i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(high), a3),
    ),
  );
}

/** Two rows of Q8_0. */
export function dotQ8x2(table: usize, w0: usize, w1: usize, k: i32, q: usize, d: usize): v128 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  const end = q + ((<usize>k) << 1);
  while (q < end) {
    const a0 = v128.load(q);
    const a1 = v128.load(q, 16);
    const a2 = v128.load(q, 32);
    const a3 = v128.load(q, 48);
    const scale = load<f32>(d);
    const p0 = products32(v128.load(w0, 2), v128.load(w0, 18), a0, a1, a2, a3);
    s0 = multiplyAdd(f32x4.convert_i32x4_s(p0), f32x4.splat(half(table, w0) * scale), s0);
    const p1 = products32(v128.load(w1, 2), v128.load(w1, 18), a0, a1, a2, a3);
    s1 = multiplyAdd(f32x4.convert_i32x4_s(p1), f32x4.splat(half(table, w1) * scale), s1);
    w0 += 34;
    w1 += 34;
    q += 64;
    d += 4;
  }
  return sumLanes2(s0, s1);
}

/** Two rows of Q4_0. Codes stay 0…15 in the products; 8 · Σa is subtracted with the block's scale. */
export function dotQ4x2(table: usize, w0: usize, w1: usize, k: i32, q: usize, d: usize, sums32: usize): v128 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let centre0: f32 = 0;
  let centre1: f32 = 0;
  const end = q + ((<usize>k) << 1);
  while (q < end) {
    const a0 = v128.load(q);
    const a1 = v128.load(q, 16);
    const a2 = v128.load(q, 32);
    const a3 = v128.load(q, 48);
    const scale = load<f32>(d);
    const sum = load<f32>(sums32);
    const packed0 = v128.load(w0, 2);
    const scale0 = half(table, w0);
    const p0 = products32(lowNibbles(packed0), highNibbles(packed0), a0, a1, a2, a3);
    s0 = multiplyAdd(f32x4.convert_i32x4_s(p0), f32x4.splat(scale0 * scale), s0);
    centre0 += scale0 * sum;
    const packed1 = v128.load(w1, 2);
    const scale1 = half(table, w1);
    const p1 = products32(lowNibbles(packed1), highNibbles(packed1), a0, a1, a2, a3);
    s1 = multiplyAdd(f32x4.convert_i32x4_s(p1), f32x4.splat(scale1 * scale), s1);
    centre1 += scale1 * sum;
    w0 += 18;
    w1 += 18;
    q += 64;
    d += 4;
    sums32 += 4;
  }
  const centres = f32x4.replace_lane(f32x4.splat(centre0), 1, centre1);
  return f32x4.sub(sumLanes2(s0, s1), f32x4.mul(centres, f32x4.splat(8)));
}

export function dotQ5(table: usize, w: usize, k: i32, q: usize, d: usize): f32 {
  let sum = f32x4.splat(0);
  const fifth = i8x16.splat(16);
  const end = q + ((<usize>k) << 1);
  while (q < end) {
    const high = v128.load_splat<u32>(w, 2);
    const packed = v128.load(w, 6);
    const first = i8x16.sub(lowNibbles(packed), v128.andnot(fifth, expandLowBits(high)));
    const second = i8x16.sub(highNibbles(packed), v128.andnot(fifth, expandHighBits(high)));
    const p = products32(first, second, v128.load(q), v128.load(q, 16), v128.load(q, 32), v128.load(q, 48));
    sum = multiplyAdd(f32x4.convert_i32x4_s(p), f32x4.splat(half(table, w) * load<f32>(d)), sum);
    w += 22;
    q += 64;
    d += 4;
  }
  return sumLanes(sum);
}

export function dotQ4K(table: usize, w: usize, k: i32, q: usize, d: usize, sums32: usize): f32 {
  let sum = f32x4.splat(0);
  let least = f32x4.splat(0);
  for (let i = 0; i < k; i += 256) {
    const bytes = sixBitScales(w + 4);
    const minima = i16x8.extend_high_i8x16_u(bytes);
    const dmin = f32x4.splat(half(table, w + 2));
    const min0 = f32x4.mul(dmin, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(minima)));
    const min1 = f32x4.mul(dmin, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(minima)));
    least = multiplyAdd(min1, v128.load(sums32, 16), multiplyAdd(min0, v128.load(sums32), least));
    const dw = half(table, w);
    let scales = i64x2.extract_lane(bytes, 0);
    w += 16;
    const end = w + 128;
    // 32 bytes of nibbles: one sub-block in the low, the next in the high halves
    while (w < end) {
      const packed0 = v128.load(w);
      const packed1 = v128.load(w, 16);
      const low = products32(
        lowNibbles(packed0),
        lowNibbles(packed1),
        v128.load(q),
        v128.load(q, 16),
        v128.load(q, 32),
        v128.load(q, 48),
      );
      const lowScale = dw * <f32>((<i32>scales) & 63) * load<f32>(d);
      sum = multiplyAdd(f32x4.convert_i32x4_s(low), f32x4.splat(lowScale), sum);
      const high = products32(
        highNibbles(packed0),
        highNibbles(packed1),
        v128.load(q, 64),
        v128.load(q, 80),
        v128.load(q, 96),
        v128.load(q, 112),
      );
      const highScale = dw * <f32>(((<i32>scales) >> 8) & 63) * load<f32>(d, 4);
      sum = multiplyAdd(f32x4.convert_i32x4_s(high), f32x4.splat(highScale), sum);
      scales >>= 16;
      w += 32;
      q += 128;
      d += 8;
    }
    sums32 += 32;
  }
  return sumLanes(f32x4.sub(sum, least));
}

/** Adds 16 products times their scale. */
// @ts-ignore: decorator
@inline
function addProducts16(codes: v128, scale: v128, q: usize, sum: v128): v128 {
  const p = i32x4.add(
    i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(codes), v128.load(q)),
    i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(codes), v128.load(q, 16)),
  );
  return multiplyAdd(f32x4.convert_i32x4_s(p), scale, sum);
}

export function dotQ6K(table: usize, w: usize, k: i32, q: usize, d: usize): f32 {
  let sum = f32x4.splat(0);
  const top = i8x16.splat(48);
  const centre = i8x16.splat(32);
  for (let i = 0; i < k; i += 256) {
    const dw = f32x4.splat(half(table, w + 208));
    for (let run = 0; run < 4; run++) {
      // 64 elements: one nibble of 64 bytes of `ql`, two bits of each nibble of 32 bytes of `qh`
      const nibble = (run & 1) << 2;
      const low = w + ((run >> 1) << 6);
      const high = w + ((run >> 1) << 5);
      const signed = i16x8.extend_low_i8x16_s(v128.load_zero<u32>(w + (run << 2), 192));
      const pair = v128.load_zero<u64>(d);
      const scales = f32x4.mul(
        f32x4.mul(dw, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(signed))),
        v128.shuffle<i32>(pair, pair, 0, 0, 1, 1),
      );
      const high0 = i16x8.shr_u(v128.load(high, 128), nibble);
      const high1 = i16x8.shr_u(v128.load(high, 144), nibble);
      const low0 = lowNibbles(i16x8.shr_u(v128.load(low), nibble));
      const low1 = lowNibbles(i16x8.shr_u(v128.load(low, 16), nibble));
      const low2 = lowNibbles(i16x8.shr_u(v128.load(low, 32), nibble));
      const low3 = lowNibbles(i16x8.shr_u(v128.load(low, 48), nibble));
      const codes0 = i8x16.sub(v128.or(low0, v128.and(i16x8.shl(high0, 4), top)), centre);
      const codes1 = i8x16.sub(v128.or(low1, v128.and(i16x8.shl(high1, 4), top)), centre);
      const codes2 = i8x16.sub(v128.or(low2, v128.and(i16x8.shl(high0, 2), top)), centre);
      const codes3 = i8x16.sub(v128.or(low3, v128.and(i16x8.shl(high1, 2), top)), centre);
      sum = addProducts16(codes0, splatLane0(scales), q, sum);
      sum = addProducts16(codes1, splatLane1(scales), q + 32, sum);
      sum = addProducts16(codes2, splatLane2(scales), q + 64, sum);
      sum = addProducts16(codes3, splatLane3(scales), q + 96, sum);
      q += 128;
      d += 8;
    }
    w += 210;
  }
  return sumLanes(sum);
}
