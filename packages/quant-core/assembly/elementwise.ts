/** Element-wise functions. The polynomials are minimax fits of our own; errors are given for float32 evaluation. */
import { multiplyAdd } from "./vector";

/** e^x of four floats in -87…88, to 2 ulp; NaN stays NaN. */
// @ts-ignore: decorator
@inline
function exponentialOfSmall(x: v128): v128 {
  // x = n · ln 2 + r, |r| <= ln 2 / 2, with ln 2 in two parts so that r is exact
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.4426950408889634)));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.add(r, f32x4.mul(n, f32x4.splat(2.12194440054690583e-4)));
  let p = f32x4.splat(0.001392617612);
  p = multiplyAdd(p, r, f32x4.splat(0.008363173075));
  p = multiplyAdd(p, r, f32x4.splat(0.04166655466));
  p = multiplyAdd(p, r, f32x4.splat(0.1666657703));
  p = multiplyAdd(p, r, f32x4.splat(0.5));
  p = f32x4.add(multiplyAdd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  // n + 127 as an integer: adding 2^23 puts it into the low bits of the mantissa
  const exponent = f32x4.add(n, f32x4.splat(8388608.0 + 127.0));
  return f32x4.mul(p, i32x4.shl(exponent, 23));
}

/** e^x of four floats: 0 below -87.3, 3.3e38 above 88.7; NaN stays NaN. */
// @ts-ignore: decorator
@inline
export function exponential(x: v128): v128 {
  const least = f32x4.splat(-87.33);
  const e = exponentialOfSmall(f32x4.pmax(f32x4.pmin(x, f32x4.splat(88.7)), least));
  return v128.andnot(e, f32x4.lt(x, least));
}

/**
 * x/2 · (1 + erf(x/√2)), absolute error below 3e-7. erfc(t) = e^(-Q(t)) on t = |x|/√2 in 0…4, where Q fits -ln erfc;
 * beyond, erfc is below float32's resolution of the result.
 */
// @ts-ignore: decorator
@inline
function geluOf(x: v128): v128 {
  const t = f32x4.mul(f32x4.abs(x), f32x4.splat(0.7071067811865476));
  // even and odd powers apart: two short chains of dependent operations instead of a long one
  const s = f32x4.mul(t, t);
  let even = f32x4.splat(-3.28015058e-7);
  let odd = f32x4.splat(7.551456748e-6);
  even = multiplyAdd(even, s, f32x4.splat(-7.432392628e-5));
  odd = multiplyAdd(odd, s, f32x4.splat(0.000392652246));
  even = multiplyAdd(even, s, f32x4.splat(-0.001011037722));
  odd = multiplyAdd(odd, s, f32x4.splat(-0.0008583399811));
  even = multiplyAdd(even, s, f32x4.splat(0.02007837778));
  odd = multiplyAdd(odd, s, f32x4.splat(-0.1032518568));
  even = multiplyAdd(even, s, f32x4.splat(-0.6364968761));
  odd = multiplyAdd(odd, s, f32x4.splat(-1.12839144));
  even = multiplyAdd(even, s, f32x4.splat(2.027954547e-7));
  const p = multiplyAdd(odd, t, even);
  const tail = f32x4.mul(f32x4.mul(x, f32x4.splat(0.5)), exponentialOfSmall(p));
  const half = v128.andnot(tail, f32x4.ge(t, f32x4.splat(4)));
  return v128.bitselect(f32x4.sub(x, half), half, f32x4.ge(x, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function siluOf(x: v128): v128 {
  return f32x4.div(x, f32x4.add(exponential(f32x4.neg(x)), f32x4.splat(1)));
}

/** Lane 0 of the vector function for the last elements. */
// @ts-ignore: decorator
@inline
function loadOne(pointer: usize): v128 {
  return v128.load_splat<f32>(pointer);
}

// @ts-ignore: decorator
@inline
function storeOne(pointer: usize, value: v128): void {
  store<f32>(pointer, f32x4.extract_lane(value, 0));
}

/** out = a + b. */
export function add(a: usize, b: usize, n: i32, out: usize): void {
  for (; n >= 4; n -= 4) {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
    out += 16;
  }
  for (; n > 0; n--) {
    store<f32>(out, load<f32>(a) + load<f32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** out = gate · sigmoid(gate) · up. */
export function siluMultiply(gate: usize, up: usize, n: i32, out: usize): void {
  for (; n >= 4; n -= 4) {
    v128.store(out, f32x4.mul(siluOf(v128.load(gate)), v128.load(up)));
    gate += 16;
    up += 16;
    out += 16;
  }
  for (; n > 0; n--) {
    storeOne(out, f32x4.mul(siluOf(loadOne(gate)), loadOne(up)));
    gate += 4;
    up += 4;
    out += 4;
  }
}

/** out = x · sigmoid(x); out may be x. */
export function silu(x: usize, n: i32, out: usize): void {
  for (; n >= 4; n -= 4) {
    v128.store(out, siluOf(v128.load(x)));
    x += 16;
    out += 16;
  }
  for (; n > 0; n--) {
    storeOne(out, siluOf(loadOne(x)));
    x += 4;
    out += 4;
  }
}

/** out = x/2 · (1 + erf(x/√2)); out may be x. */
export function gelu(x: usize, n: i32, out: usize): void {
  for (; n >= 4; n -= 4) {
    v128.store(out, geluOf(v128.load(x)));
    x += 16;
    out += 16;
  }
  for (; n > 0; n--) {
    storeOne(out, geluOf(loadOne(x)));
    x += 4;
    out += 4;
  }
}

/**
 * Takes part in a running argmax of each row: `best[r]`, `bestIndex[r]` become the largest of the `n` values at
 * `x + r · stride` and its index (from `base`) where that is larger; the first of equal values wins.
 */
export function argmaxRows(
  x: usize,
  stride: usize,
  rows: i32,
  n: i32,
  base: i32,
  best: usize,
  bestIndex: usize,
): void {
  for (let r: usize = 0; r < <usize>rows; r++) {
    let value = load<f32>(best + r * 4);
    let index = load<i32>(bestIndex + r * 4);
    for (let i = 0; i < n; i++) {
      const candidate = load<f32>(x + ((<usize>i) << 2));
      if (candidate > value) {
        value = candidate;
        index = base + i;
      }
    }
    store<f32>(best + r * 4, value);
    store<i32>(bestIndex + r * 4, index);
    x += stride;
  }
}
