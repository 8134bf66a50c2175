/**
 * Decoding of ggml blocks. Every type has the same decoded form: per element an int8 code q, per group of 16 or 32
 * elements a float32 scale s and minimum m, and the value is exactly s·q − m with one rounding per operation, in ggml's
 * order. Sources: ggml `src/ggml-common.h` (layouts), `src/ggml-quants.c` (dequantize_row_*).
 */
import { expandBits, loadHalf } from "./vector";

export const F32 = 0;
export const F16 = 1;
export const Q4_0 = 2;
export const Q4_1 = 3;
export const Q5_0 = 6;
export const Q5_1 = 7;
export const Q8_0 = 8;
export const Q2_K = 10;
export const Q3_K = 11;
export const Q4_K = 12;
export const Q5_K = 13;
export const Q6_K = 14;
export const IQ4_NL = 20;
export const IQ4_XS = 23;
export const BF16 = 30;
export const TQ1_0 = 34;
export const TQ2_0 = 35;
export const MXFP4 = 39;

/** Elements that share a scale. */
export function groupSize(dtype: i32): i32 {
  return dtype == Q2_K || dtype == Q3_K || dtype == Q6_K ? 16 : 32;
}

/** Whether the type has minima; otherwise m is neither written nor read. */
export function hasMinimum(dtype: i32): bool {
  return dtype == Q4_1 || dtype == Q5_1 || dtype == Q2_K || dtype == Q4_K || dtype == Q5_K;
}

/** Bytes of `k` elements, a multiple of the block. */
export function encodedBytes(dtype: i32, k: i32): i32 {
  switch (dtype) {
    case F32:
      return k * 4;
    case F16:
    case BF16:
      return k * 2;
    case Q4_0:
    case IQ4_NL:
      return (k >> 5) * 18;
    case Q4_1:
      return (k >> 5) * 20;
    case Q5_0:
      return (k >> 5) * 22;
    case Q5_1:
      return (k >> 5) * 24;
    case Q8_0:
      return (k >> 5) * 34;
    case MXFP4:
      return (k >> 5) * 17;
    case Q2_K:
      return (k >> 8) * 84;
    case Q3_K:
      return (k >> 8) * 110;
    case Q4_K:
      return (k >> 8) * 144;
    case Q5_K:
      return (k >> 8) * 176;
    case Q6_K:
      return (k >> 8) * 210;
    case IQ4_XS:
      return (k >> 8) * 136;
    case TQ1_0:
      return (k >> 8) * 54;
    case TQ2_0:
      return (k >> 8) * 66;
    default:
      return unreachable();
  }
}

// @ts-ignore: decorator
@inline
function lowNibbles(v: v128): v128 {
  return v128.and(v, i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function highNibbles(v: v128): v128 {
  return i8x16.shr_u(v, 4);
}

/** The 16 values of IQ4_NL and IQ4_XS codes. */
// @ts-ignore: decorator
@inline
export function nonlinearCodes(): v128 {
  return i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
}

/** Decodes `k` elements at `src` into codes `q` (int8), scales `s` and minima `m` (float32 per group). */
export function decodeBlocks(dtype: i32, src: usize, k: i32, q: usize, s: usize, m: usize): void {
  switch (dtype) {
    case Q4_0:
    case Q4_1:
    case Q5_0:
    case Q5_1:
    case Q8_0:
    case IQ4_NL:
    case MXFP4: {
      const bytes: usize = encodedBytes(dtype, 32);
      for (let i = 0; i < k; i += 32) {
        decodeBlock32(dtype, src, q, s, m);
        src += bytes;
        q += 32;
        s += 4;
        m += 4;
      }
      return;
    }
    default: {
      const bytes: usize = encodedBytes(dtype, 256);
      const groups: usize = (256 / groupSize(dtype)) * 4;
      for (let i = 0; i < k; i += 256) {
        switch (dtype) {
          case Q2_K:
            decodeQ2K(src, q, s, m);
            break;
          case Q3_K:
            decodeQ3K(src, q, s);
            break;
          case Q4_K:
          case Q5_K:
            decodeQ45K(dtype, src, q, s, m);
            break;
          case Q6_K:
            decodeQ6K(src, q, s);
            break;
          case IQ4_XS:
            decodeIQ4XS(src, q, s);
            break;
          case TQ1_0:
            decodeTQ1(src, q, s);
            break;
          case TQ2_0:
            decodeTQ2(src, q, s);
            break;
          default:
            unreachable();
        }
        src += bytes;
        q += 256;
        s += groups;
        m += groups;
      }
    }
  }
}

function decodeBlock32(dtype: i32, src: usize, q: usize, s: usize, m: usize): void {
  if (dtype == MXFP4) {
    const exponent = <u32>load<u8>(src);
    const scale = exponent < 2 ? (<u32>0x00200000) << exponent : (exponent - 1) << 23; // 2^(e-128)
    store<f32>(s, reinterpret<f32>(scale));
    const codes = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const packed = v128.load(src, 1);
    v128.store(q, i8x16.swizzle(codes, lowNibbles(packed)));
    v128.store(q, i8x16.swizzle(codes, highNibbles(packed)), 16);
    return;
  }
  store<f32>(s, loadHalf(src));
  if (dtype == Q8_0) {
    v128.store(q, v128.load(src, 2));
    v128.store(q, v128.load(src, 18), 16);
    return;
  }
  let payload = src + 2;
  if (dtype == Q4_1 || dtype == Q5_1) {
    store<f32>(m, -loadHalf(payload));
    payload += 2;
  }
  let high: u32 = 0;
  if (dtype == Q5_0 || dtype == Q5_1) {
    high = load<u32>(payload);
    payload += 4;
  }
  const packed = v128.load(payload);
  let first = lowNibbles(packed);
  let second = highNibbles(packed);
  if (dtype == IQ4_NL) {
    first = i8x16.swizzle(nonlinearCodes(), first);
    second = i8x16.swizzle(nonlinearCodes(), second);
  } else if (dtype == Q4_0) {
    first = i8x16.sub(first, i8x16.splat(8));
    second = i8x16.sub(second, i8x16.splat(8));
  } else if (dtype == Q5_0) {
    // the fifth bit counts 16 and the code is centred at 16: a clear bit subtracts 16
    first = i8x16.sub(first, v128.andnot(i8x16.splat(16), expandBits(high)));
    second = i8x16.sub(second, v128.andnot(i8x16.splat(16), expandBits(high >> 16)));
  } else if (dtype == Q5_1) {
    first = v128.or(first, v128.and(i8x16.splat(16), expandBits(high)));
    second = v128.or(second, v128.and(i8x16.splat(16), expandBits(high >> 16)));
  }
  v128.store(q, first);
  v128.store(q, second, 16);
}

function decodeQ2K(src: usize, q: usize, s: usize, m: usize): void {
  const d = loadHalf(src + 80);
  const dmin = loadHalf(src + 82);
  for (let i: usize = 0; i < 16; i++) {
    const packed = <u32>load<u8>(src + i);
    store<f32>(s + i * 4, d * <f32>(packed & 15));
    store<f32>(m + i * 4, dmin * <f32>(packed >> 4));
  }
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const packed = v128.load(src + 16 + half * 32 + l);
      for (let j = 0; j < 4; j++) {
        v128.store(q + half * 128 + j * 32 + l, v128.and(i8x16.shr_u(packed, j * 2), i8x16.splat(3)));
      }
    }
  }
}

function decodeQ3K(src: usize, q: usize, s: usize): void {
  const d = loadHalf(src + 108);
  const scales = src + 96;
  for (let j: usize = 0; j < 16; j++) {
    const low = <i32>load<u8>(scales + (j & 7));
    const top = ((<i32>load<u8>(scales + 8 + (j & 3))) >> (<i32>((j >> 2) * 2))) & 3;
    const scale = (j < 8 ? low & 15 : low >> 4) | (top << 4);
    store<f32>(s + j * 4, d * <f32>(scale - 32));
  }
  for (let half = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const packed = v128.load(src + 32 + half * 32 + l);
      const high = v128.load(src + l);
      for (let j = 0; j < 4; j++) {
        const low = v128.and(i8x16.shr_u(packed, j * 2), i8x16.splat(3));
        const bit = v128.and(i8x16.shr_u(high, half * 4 + j), i8x16.splat(1));
        const clear = i8x16.shl(i8x16.sub(i8x16.splat(1), bit), 2);
        v128.store(q + half * 128 + j * 32 + l, i8x16.sub(low, clear));
      }
    }
  }
}

/** The eight 6-bit scales (first) and minima (second 8 bytes) of a Q4_K or Q5_K block as bytes. */
// @ts-ignore: decorator
@inline
export function sixBitScales(scales: usize): v128 {
  const a = load<u32>(scales); // scales 0…3, top bits of scales 4…7
  const b = load<u32>(scales, 4); // minima 0…3, top bits of minima 4…7
  const c = load<u32>(scales, 8); // low nibbles of scales 4…7 and minima 4…7
  const scaleLow = a & 0x3f3f3f3f;
  const scaleHigh = (c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030);
  const minLow = b & 0x3f3f3f3f;
  const minHigh = ((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030);
  return i64x2.replace_lane(
    i64x2.splat(<i64>((<u64>scaleLow) | ((<u64>scaleHigh) << 32))),
    1,
    <i64>((<u64>minLow) | ((<u64>minHigh) << 32)),
  );
}

function decodeQ45K(dtype: i32, src: usize, q: usize, s: usize, m: usize): void {
  const d = f32x4.splat(loadHalf(src));
  const dmin = f32x4.splat(loadHalf(src + 2));
  const bytes = sixBitScales(src + 4);
  const scales = i16x8.extend_low_i8x16_u(bytes);
  const minima = i16x8.extend_high_i8x16_u(bytes);
  v128.store(s, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(scales))));
  v128.store(s, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(scales))), 16);
  v128.store(m, f32x4.mul(dmin, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(minima))));
  v128.store(m, f32x4.mul(dmin, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(minima))), 16);
  const five = dtype == Q5_K;
  const payload = src + (five ? 48 : 16);
  for (let l: usize = 0; l < 32; l += 16) {
    const high = five ? v128.load(src + 16 + l) : i8x16.splat(0);
    for (let g = 0; g < 4; g++) {
      const packed = v128.load(payload + g * 32 + l);
      let first = lowNibbles(packed);
      let second = highNibbles(packed);
      if (five) {
        const bits = i8x16.shr_u(high, g * 2);
        first = v128.or(first, v128.and(i8x16.shl(bits, 4), i8x16.splat(16)));
        second = v128.or(second, v128.and(i8x16.shl(bits, 3), i8x16.splat(16)));
      }
      v128.store(q + g * 64 + l, first);
      v128.store(q + g * 64 + l, second, 32);
    }
  }
}

function decodeQ6K(src: usize, q: usize, s: usize): void {
  const d = loadHalf(src + 208);
  for (let i: usize = 0; i < 16; i++) store<f32>(s + i * 4, d * <f32>load<i8>(src + 192 + i));
  const centre = i8x16.splat(32);
  const top = i8x16.splat(48);
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const a = v128.load(src + half * 64 + l);
      const b = v128.load(src + half * 64 + l, 32);
      const high = v128.load(src + 128 + half * 32 + l);
      const out = q + half * 128 + l;
      v128.store(out, i8x16.sub(v128.or(lowNibbles(a), v128.and(i8x16.shl(high, 4), top)), centre));
      v128.store(out, i8x16.sub(v128.or(lowNibbles(b), v128.and(i8x16.shl(high, 2), top)), centre), 32);
      v128.store(out, i8x16.sub(v128.or(highNibbles(a), v128.and(high, top)), centre), 64);
      v128.store(out, i8x16.sub(v128.or(highNibbles(b), v128.and(i8x16.shr_u(high, 2), top)), centre), 96);
    }
  }
}

function decodeIQ4XS(src: usize, q: usize, s: usize): void {
  const d = loadHalf(src);
  const high = <i32>load<u16>(src, 2);
  for (let b: i32 = 0; b < 8; b++) {
    const low = ((<i32>load<u8>(src + (b >> 1), 4)) >> (4 * (b & 1))) & 15;
    const scale = low | (((high >> (2 * b)) & 3) << 4);
    store<f32>(s + b * 4, d * <f32>(scale - 32));
    const packed = v128.load(src + b * 16, 8);
    v128.store(q + b * 32, i8x16.swizzle(nonlinearCodes(), lowNibbles(packed)));
    v128.store(q + b * 32, i8x16.swizzle(nonlinearCodes(), highNibbles(packed)), 16);
  }
}

/** One scale for a whole block of 256, repeated per group. */
function repeatScale(d: f32, s: usize): void {
  v128.store(s, f32x4.splat(d));
  v128.store(s, f32x4.splat(d), 16);
}

function decodeTQ2(src: usize, q: usize, s: usize): void {
  repeatScale(loadHalf(src + 64), s);
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const packed = v128.load(src + half * 32 + l);
      for (let j = 0; j < 4; j++) {
        const code = v128.and(i8x16.shr_u(packed, j * 2), i8x16.splat(3));
        v128.store(q + half * 128 + j * 32 + l, i8x16.sub(code, i8x16.splat(1)));
      }
    }
  }
}

/** Digit n of a byte of five base-3 digits stored as ceil(value · 256 / 243), given `power` = 3^n, minus one. */
// @ts-ignore: decorator
@inline
function ternaryDigit(byte: u32, power: u32): i32 {
  return <i32>((((byte * power) & 255) * 3) >> 8) - 1;
}

function decodeTQ1(src: usize, q: usize, s: usize): void {
  repeatScale(loadHalf(src + 52), s);
  let power: u32 = 1;
  for (let n: usize = 0; n < 5; n++) {
    for (let i: usize = 0; i < 32; i++) store<i8>(q + n * 32 + i, ternaryDigit(load<u8>(src + i), power));
    for (let i: usize = 0; i < 16; i++) {
      store<i8>(q + n * 16 + i, ternaryDigit(load<u8>(src + i, 32), power), 160);
    }
    if (n < 4) {
      for (let i: usize = 0; i < 4; i++)
        store<i8>(q + n * 4 + i, ternaryDigit(load<u8>(src + i, 48), power), 240);
    }
    power *= 3;
  }
}
