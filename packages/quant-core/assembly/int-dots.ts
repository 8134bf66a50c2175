/**
 * Dot products of encoded weight rows with int8-rounded activations (widened to int16), straight from the blocks: the
 * kernels of decoding, bound by the speed of reading weights.
 *
 * V8 moves all loads of a basic block to its front and has 15 vector registers, so a loop body that loads more than
 * about ten vectors spills: the bodies here are kept that small rather than unrolled. Byte shifts by 4 are written as
 * 16-bit shifts with a mask, because x86 has no byte shift.
 */
import { sixBitScales } from "./blocks";
import { expandBits, multiplyAdd, sumLanes } from "./vector";

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

// @ts-ignore: decorator
@inline
function highNibbles(packed: v128): v128 {
  return v128.and(i16x8.shr_u(packed, 4), i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function lowNibbles(packed: v128): v128 {
  return v128.and(packed, i8x16.splat(15));
}

/** Lanes 0 and 1: the sums of a and b. */
// @ts-ignore: decorator
@inline
function sumPair(a: v128, b: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  return f32x4.add(ab, v128.shuffle<i32>(ab, ab, 2, 3, 2, 3));
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
  return sumPair(s0, s1);
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
  return f32x4.sub(sumPair(s0, s1), f32x4.mul(centres, f32x4.splat(8)));
}

export function dotQ5(table: usize, w: usize, k: i32, q: usize, d: usize): f32 {
  let sum = f32x4.splat(0);
  const fifth = i8x16.splat(16);
  const end = q + ((<usize>k) << 1);
  while (q < end) {
    const high = load<u32>(w, 2);
    const packed = v128.load(w, 6);
    const first = i8x16.sub(lowNibbles(packed), v128.andnot(fifth, expandBits(high)));
    const second = i8x16.sub(highNibbles(packed), v128.andnot(fifth, expandBits(high >> 16)));
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
    const min0 = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(minima)), v128.load(sums32));
    const min1 = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(minima)), v128.load(sums32, 16));
    least = multiplyAdd(f32x4.splat(half(table, w + 2)), f32x4.add(min0, min1), least);
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

/** Partial sums of 16 products times the group's scale. */
// @ts-ignore: decorator
@inline
function scaledProducts16(codes: v128, scale: f32, q: usize): v128 {
  const p = i32x4.add(
    i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(codes), v128.load(q)),
    i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(codes), v128.load(q, 16)),
  );
  return f32x4.mul(f32x4.convert_i32x4_s(p), f32x4.splat(scale));
}

export function dotQ6K(table: usize, w: usize, k: i32, q: usize, d: usize): f32 {
  let sum = f32x4.splat(0);
  const top = i8x16.splat(48);
  const centre = i8x16.splat(32);
  for (let i = 0; i < k; i += 256) {
    const dw = f32x4.splat(half(table, w + 208));
    for (let h: usize = 0; h < 2; h++) {
      // j counts the four runs of 16 bytes of `ql`; its codes belong to groups of 16 at 16j and 16j + 64
      for (let j: usize = 0; j < 4; j++) {
        const low = v128.load(w + h * 64 + j * 16);
        const high = i16x8.shr_u(v128.load(w + h * 32 + (j & 1) * 16, 128), <i32>(j & 2));
        const scale = w + h * 8 + j;
        const x = q + j * 32;
        const dx = d + ((j & 2) << 1);
        const near = i8x16.sub(v128.or(lowNibbles(low), v128.and(i16x8.shl(high, 4), top)), centre);
        const far = i8x16.sub(v128.or(highNibbles(low), v128.and(high, top)), centre);
        const p0 = scaledProducts16(near, <f32>load<i8>(scale, 192) * load<f32>(dx), x);
        const p1 = scaledProducts16(far, <f32>load<i8>(scale, 196) * load<f32>(dx, 8), x + 128);
        sum = multiplyAdd(f32x4.add(p0, p1), dw, sum);
      }
      q += 256;
      d += 16;
    }
    w += 210;
  }
  return sumLanes(sum);
}

/** Dot product of a decoded row (codes, scales and, where `minimum`, minima per group of 16 or 32). */
export function dotDecoded(
  codes: usize,
  s: usize,
  m: usize,
  group: i32,
  minimum: bool,
  k: i32,
  q: usize,
  d: usize,
  sums: usize,
): f32 {
  let sum = f32x4.splat(0);
  let least: f32 = 0;
  for (let i = 0; i < k; i += group) {
    let p = i32x4.splat(0);
    for (let j = 0; j < group; j += 16) {
      const c = v128.load(codes);
      p = i32x4.add(p, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(c), v128.load(q)));
      p = i32x4.add(p, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(c), v128.load(q, 16)));
      codes += 16;
      q += 32;
    }
    const scale = load<f32>(s) * load<f32>(d + (((<usize>i) >> 5) << 2));
    sum = multiplyAdd(f32x4.convert_i32x4_s(p), f32x4.splat(scale), sum);
    if (minimum) least += load<f32>(m) * load<f32>(sums);
    s += 4;
    m += 4;
    sums += 4;
  }
  return sumLanes(sum) - least;
}
