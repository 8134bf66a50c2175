/**
 * Decoding of ggml blocks. Every type has the same decoded form: per element an int8 code q, per group of 16 or 32
 * elements a float32 scale s and minimum m, and the value is exactly s·q − m with one rounding per operation, in ggml's
 * order. Sources: ggml `src/ggml-common.h` (layouts), `src/ggml-quants.c` (dequantize_row_*).
 */
import {
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_NL,
  IQ4_XS,
  TQ1_0,
  TQ2_0,
  MXFP4,
  groupSize,
  encodedBytes,
} from "./types";
import { expandHighBits, expandLowBits, halvesToFloats, highNibbles, loadHalf, lowNibbles } from "./vector";

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
      decodeShortBlocks(Q4_0, src, k, q, s, m);
      return;
    case Q4_1:
      decodeShortBlocks(Q4_1, src, k, q, s, m);
      return;
    case Q5_0:
      decodeShortBlocks(Q5_0, src, k, q, s, m);
      return;
    case Q5_1:
      decodeShortBlocks(Q5_1, src, k, q, s, m);
      return;
    case Q8_0:
      decodeShortBlocks(Q8_0, src, k, q, s, m);
      return;
    case IQ4_NL:
      decodeShortBlocks(IQ4_NL, src, k, q, s, m);
      return;
    case MXFP4:
      decodeShortBlocks(MXFP4, src, k, q, s, m);
      return;
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
            decodeQ45K(Q4_K, src, q, s, m);
            break;
          case Q5_K:
            decodeQ45K(Q5_K, src, q, s, m);
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

/**
 * Writes `count` halves that lie `stride` bytes apart, four at a time, as float32 with the sign bits of `sign` flipped.
 */
function storeHalves(src: usize, stride: usize, count: usize, sign: u32, out: usize): void {
  const end = out + (count << 2);
  for (; out + 16 <= end; out += 16) {
    let halves = i32x4.splat(load<u16>(src));
    halves = i32x4.replace_lane(halves, 1, load<u16>(src + stride));
    halves = i32x4.replace_lane(halves, 2, load<u16>(src + stride * 2));
    halves = i32x4.replace_lane(halves, 3, load<u16>(src + stride * 3));
    v128.store(out, v128.xor(halvesToFloats(halves), i32x4.splat(sign)));
    src += stride * 4;
  }
  for (; out < end; out += 4) {
    store<u32>(out, reinterpret<u32>(loadHalf(src)) ^ sign);
    src += stride;
  }
}

/** Blocks of 32. `dtype` is a constant wherever this is called, so that each type has a loop of its own. */
// @ts-ignore: decorator
@inline
function decodeShortBlocks(dtype: i32, src: usize, k: i32, q: usize, s: usize, m: usize): void {
  const bytes: usize = encodedBytes(dtype, 32);
  const end = q + k;
  const count: usize = (<usize>k) >> 5;
  if (dtype == MXFP4) {
    for (let i: usize = 0; i < count; i++) {
      const exponent = <u32>load<u8>(src + i * bytes);
      const scale = exponent < 2 ? (<u32>0x00200000) << exponent : (exponent - 1) << 23; // 2^(e-128)
      store<u32>(s + (i << 2), scale);
    }
    src += 1;
  } else {
    storeHalves(src, bytes, count, 0, s);
    src += 2;
  }
  if (dtype == Q4_1 || dtype == Q5_1) {
    storeHalves(src, bytes, count, 0x80000000, m);
    src += 2;
  }
  const five = dtype == Q5_0 || dtype == Q5_1;
  for (; q < end; q += 32) {
    if (dtype == Q8_0) {
      v128.store(q, v128.load(src));
      v128.store(q, v128.load(src, 16), 16);
    } else {
      const packed = v128.load(five ? src + 4 : src);
      let first = lowNibbles(packed);
      let second = highNibbles(packed);
      if (five) {
        // the fifth bit counts 16
        const high = v128.load_splat<u32>(src);
        const bit = i8x16.splat(16);
        if (dtype == Q5_1) {
          first = v128.or(first, v128.and(bit, expandLowBits(high)));
          second = v128.or(second, v128.and(bit, expandHighBits(high)));
        } else {
          // and the code is centred at 16: a clear bit subtracts 16
          first = i8x16.sub(first, v128.andnot(bit, expandLowBits(high)));
          second = i8x16.sub(second, v128.andnot(bit, expandHighBits(high)));
        }
      } else if (dtype == Q4_0) {
        first = i8x16.sub(first, i8x16.splat(8));
        second = i8x16.sub(second, i8x16.splat(8));
      } else if (dtype == IQ4_NL || dtype == MXFP4) {
        const values =
          dtype == IQ4_NL ? nonlinearCodes() : i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
        first = i8x16.swizzle(values, first);
        second = i8x16.swizzle(values, second);
      }
      v128.store(q, first);
      v128.store(q, second, 16);
    }
    src += bytes;
  }
}

/** Writes d times each of 16 signed bytes. */
// @ts-ignore: decorator
@inline
function storeScaled(bytes: v128, d: v128, out: usize): void {
  const low = i16x8.extend_low_i8x16_s(bytes);
  const high = i16x8.extend_high_i8x16_s(bytes);
  v128.store(out, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))));
  v128.store(out, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))), 16);
  v128.store(out, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))), 32);
  v128.store(out, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))), 48);
}

/** Bits 2j and 2j + 1 of each byte. */
// @ts-ignore: decorator
@inline
function twoBits(packed: v128, j: i32): v128 {
  return v128.and(i16x8.shr_u(packed, j * 2), i8x16.splat(3));
}

function decodeQ2K(src: usize, q: usize, s: usize, m: usize): void {
  const packed = v128.load(src);
  storeScaled(lowNibbles(packed), f32x4.splat(loadHalf(src + 80)), s);
  storeScaled(highNibbles(packed), f32x4.splat(loadHalf(src + 82)), m);
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const packed = v128.load(src + 16 + half * 32 + l);
      const out = q + half * 128 + l;
      v128.store(out, twoBits(packed, 0));
      v128.store(out, twoBits(packed, 1), 32);
      v128.store(out, twoBits(packed, 2), 64);
      v128.store(out, twoBits(packed, 3), 96);
    }
  }
}

function decodeQ3K(src: usize, q: usize, s: usize): void {
  const low = load<u64>(src, 96); // low nibbles of scales 0…7, of scales 8…15
  const top = load<u32>(src, 104); // top bits of scales 0…3, 4…7, 8…11, 12…15 in each byte
  const nibbles = i64x2.replace_lane(i64x2.splat(<i64>low), 1, <i64>(low >> 4));
  const tops = i64x2.replace_lane(
    i64x2.splat(<i64>((<u64>top) | ((<u64>(top >> 2)) << 32))),
    1,
    <i64>((<u64>(top >> 4)) | ((<u64>(top >> 6)) << 32)),
  );
  const scales = v128.or(lowNibbles(nibbles), i16x8.shl(v128.and(tops, i8x16.splat(3)), 4));
  storeScaled(i8x16.sub(scales, i8x16.splat(32)), f32x4.splat(loadHalf(src + 108)), s);
  for (let l: usize = 0; l < 32; l += 16) {
    // a clear bit of `high` subtracts 4; bits 0…3 belong to the first, 4…7 to the second 128 elements
    let clear = v128.not(v128.load(src + l));
    for (let half: usize = 0; half < 2; half++) {
      const packed = v128.load(src + 32 + half * 32 + l);
      const out = q + half * 128 + l;
      const four = i8x16.splat(4);
      v128.store(out, i8x16.sub(twoBits(packed, 0), v128.and(i16x8.shl(clear, 2), four)));
      v128.store(out, i8x16.sub(twoBits(packed, 1), v128.and(i16x8.shl(clear, 1), four)), 32);
      v128.store(out, i8x16.sub(twoBits(packed, 2), v128.and(clear, four)), 64);
      v128.store(out, i8x16.sub(twoBits(packed, 3), v128.and(i16x8.shr_u(clear, 1), four)), 96);
      clear = highNibbles(clear);
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

// @ts-ignore: decorator
@inline
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
        const bits = i16x8.shr_u(high, g * 2);
        first = v128.or(first, v128.and(i16x8.shl(bits, 4), i8x16.splat(16)));
        second = v128.or(second, v128.and(i16x8.shl(bits, 3), i8x16.splat(16)));
      }
      v128.store(q + g * 64 + l, first);
      v128.store(q + g * 64 + l, second, 32);
    }
  }
}

function decodeQ6K(src: usize, q: usize, s: usize): void {
  storeScaled(v128.load(src, 192), f32x4.splat(loadHalf(src + 208)), s);
  const centre = i8x16.splat(32);
  const top = i8x16.splat(48);
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const a = v128.load(src + half * 64 + l);
      const b = v128.load(src + half * 64 + l, 32);
      const high = v128.load(src + 128 + half * 32 + l);
      const out = q + half * 128 + l;
      v128.store(out, i8x16.sub(v128.or(lowNibbles(a), v128.and(i16x8.shl(high, 4), top)), centre));
      v128.store(out, i8x16.sub(v128.or(lowNibbles(b), v128.and(i16x8.shl(high, 2), top)), centre), 32);
      v128.store(out, i8x16.sub(v128.or(highNibbles(a), v128.and(high, top)), centre), 64);
      v128.store(out, i8x16.sub(v128.or(highNibbles(b), v128.and(i16x8.shr_u(high, 2), top)), centre), 96);
    }
  }
}

function decodeIQ4XS(src: usize, q: usize, s: usize): void {
  const d = f32x4.splat(loadHalf(src));
  const packed = v128.load_zero<u32>(src, 4); // the scales' low four bits, two to a byte
  const even = i16x8.extend_low_i8x16_u(lowNibbles(packed));
  const odd = i16x8.extend_low_i8x16_u(highNibbles(packed));
  const low = v128.shuffle<i16>(even, odd, 0, 8, 1, 9, 2, 10, 3, 11);
  // their top two bits, of scale b at 2b: multiplied to the upper end and shifted down to bits 4 and 5
  const top = i16x8.mul(i16x8.splat(load<i16>(src, 2)), i16x8(16384, 4096, 1024, 256, 64, 16, 4, 1));
  const bits = v128.and(i16x8.shr_u(top, 10), i16x8.splat(48));
  const scales = i16x8.sub(v128.or(low, bits), i16x8.splat(32));
  v128.store(s, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(scales))));
  v128.store(s, f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(scales))), 16);
  for (let b: i32 = 0; b < 8; b++) {
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
      const out = q + half * 128 + l;
      const one = i8x16.splat(1);
      v128.store(out, i8x16.sub(twoBits(packed, 0), one));
      v128.store(out, i8x16.sub(twoBits(packed, 1), one), 32);
      v128.store(out, i8x16.sub(twoBits(packed, 2), one), 64);
      v128.store(out, i8x16.sub(twoBits(packed, 3), one), 96);
    }
  }
}

/** Digit n of bytes of five base-3 digits stored as ceil(value · 256 / 243), given `power` = 3^n, minus one. */
// @ts-ignore: decorator
@inline
function ternaryDigits(bytes: v128, power: i32): v128 {
  const low = ternaryDigits16(i16x8.extend_low_i8x16_u(bytes), power);
  const high = ternaryDigits16(i16x8.extend_high_i8x16_u(bytes), power);
  return i8x16.sub(i8x16.narrow_i16x8_u(low, high), i8x16.splat(1));
}

// @ts-ignore: decorator
@inline
function ternaryDigits16(bytes: v128, power: i32): v128 {
  const rest = v128.and(i16x8.mul(bytes, i16x8.splat(<i16>power)), i16x8.splat(255));
  return i16x8.shr_u(i16x8.mul(rest, i16x8.splat(3)), 8);
}

function decodeTQ1(src: usize, q: usize, s: usize): void {
  repeatScale(loadHalf(src + 52), s);
  let power = 1;
  for (let n: usize = 0; n < 5; n++) {
    v128.store(q + n * 32, ternaryDigits(v128.load(src), power));
    v128.store(q + n * 32, ternaryDigits(v128.load(src, 16), power), 16);
    v128.store(q + n * 16, ternaryDigits(v128.load(src, 32), power), 160);
    if (n < 4)
      store<i32>(q + n * 4, i32x4.extract_lane(ternaryDigits(v128.load_zero<u32>(src, 48), power), 0), 240);
    power *= 3;
  }
}
