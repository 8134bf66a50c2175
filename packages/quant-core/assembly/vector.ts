/** Small vector idioms that the kernels share. */

/** a · b + c; fused where the relaxed-SIMD build may fuse. */
// @ts-ignore: decorator
@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
export function splatLane0(v: v128): v128 {
  return v128.shuffle<i32>(v, v, 0, 0, 0, 0);
}
// @ts-ignore: decorator
@inline
export function splatLane1(v: v128): v128 {
  return v128.shuffle<i32>(v, v, 1, 1, 1, 1);
}
// @ts-ignore: decorator
@inline
export function splatLane2(v: v128): v128 {
  return v128.shuffle<i32>(v, v, 2, 2, 2, 2);
}
// @ts-ignore: decorator
@inline
export function splatLane3(v: v128): v128 {
  return v128.shuffle<i32>(v, v, 3, 3, 3, 3);
}

// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  const pair = f32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(pair, 0) + f32x4.extract_lane(pair, 1);
}

/** Lanes 0 and 1: the sums of a and b, with the bits that `sumLanes` gives. */
// @ts-ignore: decorator
@inline
export function sumLanes2(a: v128, b: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  return f32x4.add(ab, v128.shuffle<i32>(ab, ab, 2, 3, 2, 3));
}

/** [sum of a, sum of b, sum of c, sum of d]. */
// @ts-ignore: decorator
@inline
export function sumLanes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
}

/**
 * Stores the transposed 4 × 4 matrix of 32-bit lanes whose rows are a…d: column i goes to `out + i · stride`. Used for
 * floats and for pairs of int16 alike.
 */
// @ts-ignore: decorator
@inline
export function storeTransposed(a: v128, b: v128, c: v128, d: v128, out: usize, stride: usize): void {
  const ab01 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab23 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd01 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd23 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<i64>(ab01, cd01, 0, 2));
  v128.store(out + stride, v128.shuffle<i64>(ab01, cd01, 1, 3));
  v128.store(out + stride * 2, v128.shuffle<i64>(ab23, cd23, 0, 2));
  v128.store(out + stride * 3, v128.shuffle<i64>(ab23, cd23, 1, 3));
}

/**
 * Four IEEE halves, one in the low bits of each 32-bit lane, as float32: exact, infinities and NaN included. Subnormals
 * come from a subtraction of normal numbers, because denormal operands are slow on some processors and small scales
 * are common.
 */
// @ts-ignore: decorator
@inline
export function halvesToFloats(halves: v128): v128 {
  const magnitude = i32x4.shl(v128.and(halves, i32x4.splat(0x7fff)), 13);
  const sign = i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16);
  const normal = i32x4.add(magnitude, i32x4.splat(112 << 23));
  const smallest = i32x4.splat(113 << 23); // 2^-14
  const subnormal = f32x4.sub(i32x4.add(magnitude, smallest), smallest);
  const special = i32x4.add(normal, i32x4.splat(112 << 23));
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x00800000)));
  return v128.or(v128.bitselect(special, finite, i32x4.ge_s(magnitude, i32x4.splat(0x0f800000))), sign);
}

/** The IEEE half at `pointer` as float32. */
// @ts-ignore: decorator
@inline
export function loadHalf(pointer: usize): f32 {
  const half = <u32>load<u16>(pointer);
  const magnitude = (half & 0x7fff) << 13;
  const sign = (half & 0x8000) << 16;
  const subnormal = reinterpret<u32>(
    reinterpret<f32>(magnitude + (113 << 23)) - reinterpret<f32>(<u32>(113 << 23)),
  );
  const normal = magnitude + select<u32>(<u32>(224 << 23), <u32>(112 << 23), magnitude >= 0x0f800000);
  return reinterpret<f32>(select<u32>(subnormal, normal, magnitude < 0x00800000) | sign);
}

/** Writes all 65536 halves as float32 at `table`. */
export function fillHalfTable(table: usize): void {
  for (let i = 0; i < 65536; i += 4) {
    const halves = i32x4.add(i32x4.splat(i), i32x4(0, 1, 2, 3));
    v128.store(table + ((<usize>i) << 2), halvesToFloats(halves));
  }
}

/**
 * The low four bits of each byte. Like all shifts of bytes here it goes without those of the instruction set, which
 * x86 does not have: a shift of 16-bit lanes and a mask do the same.
 */
// @ts-ignore: decorator
@inline
export function lowNibbles(packed: v128): v128 {
  return v128.and(packed, i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
export function highNibbles(packed: v128): v128 {
  return v128.and(i16x8.shr_u(packed, 4), i8x16.splat(15));
}

/** Bits 0…15 of `bits`, 32 bits in all four lanes, as bytes of all ones or zeros. */
// @ts-ignore: decorator
@inline
export function expandLowBits(bits: v128): v128 {
  return selectBits(i8x16.swizzle(bits, i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)));
}

/** Bits 16…31. */
// @ts-ignore: decorator
@inline
export function expandHighBits(bits: v128): v128 {
  return selectBits(i8x16.swizzle(bits, i8x16(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3)));
}

/** Bit i % 8 of byte i. */
// @ts-ignore: decorator
@inline
function selectBits(bytes: v128): v128 {
  const mask = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return i8x16.eq(v128.and(bytes, mask), mask);
}
