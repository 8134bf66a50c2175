/** Dot products of dense weight rows with float32 activations, four rows at a time. */
import { loadHalf, multiplyAdd, sumLanes4 } from "./vector";

// @ts-ignore: decorator
@inline
function lanes(a: f32, b: f32, c: f32, d: f32): v128 {
  let v = f32x4.splat(a);
  v = f32x4.replace_lane(v, 1, b);
  v = f32x4.replace_lane(v, 2, c);
  return f32x4.replace_lane(v, 3, d);
}

export function dotF32x4(w0: usize, w1: usize, w2: usize, w3: usize, k: i32, x: usize): v128 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    const a = v128.load(x);
    s0 = multiplyAdd(a, v128.load(w0), s0);
    s1 = multiplyAdd(a, v128.load(w1), s1);
    s2 = multiplyAdd(a, v128.load(w2), s2);
    s3 = multiplyAdd(a, v128.load(w3), s3);
    w0 += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
    x += 16;
  }
  let sums = sumLanes4(s0, s1, s2, s3);
  for (; i < k; i++) {
    const w = lanes(load<f32>(w0), load<f32>(w1), load<f32>(w2), load<f32>(w3));
    sums = multiplyAdd(v128.load_splat<f32>(x), w, sums);
    w0 += 4;
    w1 += 4;
    w2 += 4;
    w3 += 4;
    x += 4;
  }
  return sums;
}

/** Elements 0…3 of eight bfloat16 as float32. */
// @ts-ignore: decorator
@inline
function widenLow(v: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), v, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** Elements 4…7. */
// @ts-ignore: decorator
@inline
function widenHigh(v: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), v, 4, 12, 5, 13, 6, 14, 7, 15);
}

export function dotBF16x4(w0: usize, w1: usize, w2: usize, w3: usize, k: i32, x: usize): v128 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let i = 0;
  for (; i + 8 <= k; i += 8) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    const v0 = v128.load(w0);
    s0 = multiplyAdd(b, widenHigh(v0), multiplyAdd(a, widenLow(v0), s0));
    const v1 = v128.load(w1);
    s1 = multiplyAdd(b, widenHigh(v1), multiplyAdd(a, widenLow(v1), s1));
    const v2 = v128.load(w2);
    s2 = multiplyAdd(b, widenHigh(v2), multiplyAdd(a, widenLow(v2), s2));
    const v3 = v128.load(w3);
    s3 = multiplyAdd(b, widenHigh(v3), multiplyAdd(a, widenLow(v3), s3));
    w0 += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
    x += 32;
  }
  let sums = sumLanes4(s0, s1, s2, s3);
  for (; i < k; i++) {
    const w = lanes(brainFloat(w0), brainFloat(w1), brainFloat(w2), brainFloat(w3));
    sums = multiplyAdd(v128.load_splat<f32>(x), w, sums);
    w0 += 2;
    w1 += 2;
    w2 += 2;
    w3 += 2;
    x += 4;
  }
  return sums;
}

// @ts-ignore: decorator
@inline
function brainFloat(pointer: usize): f32 {
  return reinterpret<f32>((<u32>load<u16>(pointer)) << 16);
}

/** Four halves as float32. Infinities, which no weight is, would become 65536: unlike `halvesToFloats`, but in half the steps. */
// @ts-ignore: decorator
@inline
function widenHalves(pointer: usize): v128 {
  const bits = i32x4.shl(v128.load_ext<i16>(pointer), 13);
  return f32x4.mul(v128.and(bits, i32x4.splat(0x8fffe000)), f32x4.splat(reinterpret<f32>(239 << 23))); // 2^112
}

export function dotF16x4(w0: usize, w1: usize, w2: usize, w3: usize, k: i32, x: usize): v128 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    const a = v128.load(x);
    s0 = multiplyAdd(a, widenHalves(w0), s0);
    s1 = multiplyAdd(a, widenHalves(w1), s1);
    s2 = multiplyAdd(a, widenHalves(w2), s2);
    s3 = multiplyAdd(a, widenHalves(w3), s3);
    w0 += 8;
    w1 += 8;
    w2 += 8;
    w3 += 8;
    x += 16;
  }
  let sums = sumLanes4(s0, s1, s2, s3);
  for (; i < k; i++) {
    const w = lanes(loadHalf(w0), loadHalf(w1), loadHalf(w2), loadHalf(w3));
    sums = multiplyAdd(v128.load_splat<f32>(x), w, sums);
    w0 += 2;
    w1 += 2;
    w2 += 2;
    w3 += 2;
    x += 4;
  }
  return sums;
}
