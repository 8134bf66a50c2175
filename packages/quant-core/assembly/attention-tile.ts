/**
 * Softmax attention of up to four query vectors over a run of keys and values. The lanes of a score vector are the
 * queries, so that one load of a key serves all of them and the softmax needs no sum across lanes.
 */
import { exponential } from "./elementwise";
import { multiplyAdd, sumLanes4 } from "./vector";

/** Positions whose values stay in the first-level cache while all their channels are summed. */
const VALUE_BLOCK = 64;

/**
 * Query i (of `queries` <= 4, at q0…q3) attends to the last `window` of the first `limit_i` positions; keys and values of position p are at
 * `k + p · stride`, `v + p · stride`. Writes `headDim` floats at o0…o3.
 */
export function attend(
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  queries: i32,
  limits: v128,
  window: i32,
  length: i32,
  k: usize,
  v: usize,
  stride: usize,
  headDim: i32,
  scale: f32,
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  scores: usize,
): void {
  const largest =
    queries > 2
      ? scoreFour(q0, q1, q2, q3, limits, window, length, k, stride, headDim, scale, scores)
      : scoreTwo(q0, q1, limits, window, length, k, stride, headDim, scale, scores);
  let total = f32x4.splat(0);
  for (let p: usize = 0; p < <usize>length; p++) {
    const e = exponential(f32x4.sub(v128.load(scores + (p << 4)), largest));
    total = f32x4.add(total, e);
    v128.store(scores + (p << 4), e);
  }
  const inverse = f32x4.div(f32x4.splat(1), total);
  for (let start = 0; start < length; start += VALUE_BLOCK) {
    const count = min(VALUE_BLOCK, length - start);
    const values = v + stride * start;
    const weights = scores + ((<usize>start) << 4);
    if (queries > 2) sumValuesFour(values, stride, weights, count, headDim, start == 0, o0, o1, o2, o3);
    else sumValuesTwo(values, stride, weights, count, headDim, start == 0, o0, o1);
  }
  scaleFloats(o0, headDim, f32x4.extract_lane(inverse, 0));
  if (queries > 1) scaleFloats(o1, headDim, f32x4.extract_lane(inverse, 1));
  if (queries > 2) scaleFloats(o2, headDim, f32x4.extract_lane(inverse, 2));
  if (queries > 3) scaleFloats(o3, headDim, f32x4.extract_lane(inverse, 3));
}

/** Scores of position `p` with minus infinity in the lanes that do not see it: 0 <= limit - 1 - p < window. */
// @ts-ignore: decorator
@inline
function masked(scores: v128, p: i32, limits: v128, window: i32): v128 {
  const distance = i32x4.sub(limits, i32x4.splat(p + 1)); // beyond the limit a huge number when unsigned
  return v128.bitselect(scores, f32x4.splat(-Infinity), i32x4.lt_u(distance, i32x4.splat(window)));
}

/** Writes `scores[p]` = scaled dot products of the queries with key p; returns the largest per lane. */
function scoreFour(
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  limits: v128,
  window: i32,
  length: i32,
  k: usize,
  stride: usize,
  headDim: i32,
  scale: f32,
  scores: usize,
): v128 {
  const whole = (<usize>(headDim & ~3)) << 2;
  const bytes = (<usize>headDim) << 2;
  const scaleLanes = f32x4.splat(scale);
  let largest = f32x4.splat(-Infinity);
  for (let p = 0; p < length; p++) {
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    let s2 = f32x4.splat(0);
    let s3 = f32x4.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const key = v128.load(k + i);
      s0 = multiplyAdd(key, v128.load(q0 + i), s0);
      s1 = multiplyAdd(key, v128.load(q1 + i), s1);
      s2 = multiplyAdd(key, v128.load(q2 + i), s2);
      s3 = multiplyAdd(key, v128.load(q3 + i), s3);
    }
    let sums = sumLanes4(s0, s1, s2, s3);
    for (; i < bytes; i += 4) {
      let q = v128.load_splat<f32>(q0 + i);
      q = f32x4.replace_lane(q, 1, load<f32>(q1 + i));
      q = f32x4.replace_lane(q, 2, load<f32>(q2 + i));
      q = f32x4.replace_lane(q, 3, load<f32>(q3 + i));
      sums = multiplyAdd(q, v128.load_splat<f32>(k + i), sums);
    }
    const row = masked(f32x4.mul(sums, scaleLanes), p, limits, window);
    largest = f32x4.pmax(row, largest);
    v128.store(scores + ((<usize>p) << 4), row);
    k += stride;
  }
  return largest;
}

/** As `scoreFour` with q2 = q0, q3 = q1 without computing those twice. */
function scoreTwo(
  q0: usize,
  q1: usize,
  limits: v128,
  window: i32,
  length: i32,
  k: usize,
  stride: usize,
  headDim: i32,
  scale: f32,
  scores: usize,
): v128 {
  const whole = (<usize>(headDim & ~7)) << 2;
  const bytes = (<usize>headDim) << 2;
  const scaleLanes = f32x4.splat(scale);
  let largest = f32x4.splat(-Infinity);
  for (let p = 0; p < length; p++) {
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    let t0 = f32x4.splat(0);
    let t1 = f32x4.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 32) {
      const a = v128.load(k + i);
      const b = v128.load(k + i, 16);
      s0 = multiplyAdd(a, v128.load(q0 + i), s0);
      s1 = multiplyAdd(a, v128.load(q1 + i), s1);
      t0 = multiplyAdd(b, v128.load(q0 + i, 16), t0);
      t1 = multiplyAdd(b, v128.load(q1 + i, 16), t1);
    }
    s0 = f32x4.add(s0, t0);
    s1 = f32x4.add(s1, t1);
    let sums = sumLanes4(s0, s1, s0, s1);
    for (; i < bytes; i += 4) {
      const a = v128.load_splat<f32>(q0 + i);
      const b = v128.load_splat<f32>(q1 + i);
      sums = multiplyAdd(v128.shuffle<i32>(a, b, 0, 4, 0, 4), v128.load_splat<f32>(k + i), sums);
    }
    const row = masked(f32x4.mul(sums, scaleLanes), p, limits, window);
    largest = f32x4.pmax(row, largest);
    v128.store(scores + ((<usize>p) << 4), row);
    k += stride;
  }
  return largest;
}

/** Adds (or, if `first`, sets) Σ weight · value over `count` positions to the outputs, eight channels at a time. */
function sumValuesFour(
  v: usize,
  stride: usize,
  weights: usize,
  count: i32,
  headDim: i32,
  first: bool,
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
): void {
  const whole = (<usize>(headDim & ~7)) << 2;
  const bytes = (<usize>headDim) << 2;
  const end = weights + ((<usize>count) << 4);
  let i: usize = 0;
  for (; i < whole; i += 32) {
    let a0 = first ? f32x4.splat(0) : v128.load(o0 + i);
    let b0 = first ? f32x4.splat(0) : v128.load(o0 + i, 16);
    let a1 = first ? f32x4.splat(0) : v128.load(o1 + i);
    let b1 = first ? f32x4.splat(0) : v128.load(o1 + i, 16);
    let a2 = first ? f32x4.splat(0) : v128.load(o2 + i);
    let b2 = first ? f32x4.splat(0) : v128.load(o2 + i, 16);
    let a3 = first ? f32x4.splat(0) : v128.load(o3 + i);
    let b3 = first ? f32x4.splat(0) : v128.load(o3 + i, 16);
    let value = v + i;
    for (let w = weights; w < end; w += 16) {
      const x = v128.load(value);
      const y = v128.load(value, 16);
      let s = v128.load_splat<f32>(w);
      a0 = multiplyAdd(x, s, a0);
      b0 = multiplyAdd(y, s, b0);
      s = v128.load_splat<f32>(w, 4);
      a1 = multiplyAdd(x, s, a1);
      b1 = multiplyAdd(y, s, b1);
      s = v128.load_splat<f32>(w, 8);
      a2 = multiplyAdd(x, s, a2);
      b2 = multiplyAdd(y, s, b2);
      s = v128.load_splat<f32>(w, 12);
      a3 = multiplyAdd(x, s, a3);
      b3 = multiplyAdd(y, s, b3);
      value += stride;
    }
    // outputs of missing queries alias a valid one: the valid ones are written last
    v128.store(o3 + i, a3);
    v128.store(o3 + i, b3, 16);
    v128.store(o2 + i, a2);
    v128.store(o2 + i, b2, 16);
    v128.store(o1 + i, a1);
    v128.store(o1 + i, b1, 16);
    v128.store(o0 + i, a0);
    v128.store(o0 + i, b0, 16);
  }
  for (; i < bytes; i += 4) {
    let sums = f32x4.splat(0);
    let value = v + i;
    for (let w = weights; w < end; w += 16) {
      sums = multiplyAdd(v128.load_splat<f32>(value), v128.load(w), sums);
      value += stride;
    }
    const old0: f32 = first ? 0 : load<f32>(o0 + i);
    const old1: f32 = first ? 0 : load<f32>(o1 + i);
    const old2: f32 = first ? 0 : load<f32>(o2 + i);
    const old3: f32 = first ? 0 : load<f32>(o3 + i);
    store<f32>(o3 + i, old3 + f32x4.extract_lane(sums, 3));
    store<f32>(o2 + i, old2 + f32x4.extract_lane(sums, 2));
    store<f32>(o1 + i, old1 + f32x4.extract_lane(sums, 1));
    store<f32>(o0 + i, old0 + f32x4.extract_lane(sums, 0));
  }
}

/** As `sumValuesFour` for two outputs. */
function sumValuesTwo(
  v: usize,
  stride: usize,
  weights: usize,
  count: i32,
  headDim: i32,
  first: bool,
  o0: usize,
  o1: usize,
): void {
  const whole = (<usize>(headDim & ~15)) << 2;
  const bytes = (<usize>headDim) << 2;
  const end = weights + ((<usize>count) << 4);
  let i: usize = 0;
  for (; i < whole; i += 64) {
    let a0 = first ? f32x4.splat(0) : v128.load(o0 + i);
    let b0 = first ? f32x4.splat(0) : v128.load(o0 + i, 16);
    let c0 = first ? f32x4.splat(0) : v128.load(o0 + i, 32);
    let d0 = first ? f32x4.splat(0) : v128.load(o0 + i, 48);
    let a1 = first ? f32x4.splat(0) : v128.load(o1 + i);
    let b1 = first ? f32x4.splat(0) : v128.load(o1 + i, 16);
    let c1 = first ? f32x4.splat(0) : v128.load(o1 + i, 32);
    let d1 = first ? f32x4.splat(0) : v128.load(o1 + i, 48);
    let value = v + i;
    for (let w = weights; w < end; w += 16) {
      const s = v128.load_splat<f32>(w);
      const t = v128.load_splat<f32>(w, 4);
      let x = v128.load(value);
      a0 = multiplyAdd(x, s, a0);
      a1 = multiplyAdd(x, t, a1);
      x = v128.load(value, 16);
      b0 = multiplyAdd(x, s, b0);
      b1 = multiplyAdd(x, t, b1);
      x = v128.load(value, 32);
      c0 = multiplyAdd(x, s, c0);
      c1 = multiplyAdd(x, t, c1);
      x = v128.load(value, 48);
      d0 = multiplyAdd(x, s, d0);
      d1 = multiplyAdd(x, t, d1);
      value += stride;
    }
    v128.store(o1 + i, a1);
    v128.store(o1 + i, b1, 16);
    v128.store(o1 + i, c1, 32);
    v128.store(o1 + i, d1, 48);
    v128.store(o0 + i, a0);
    v128.store(o0 + i, b0, 16);
    v128.store(o0 + i, c0, 32);
    v128.store(o0 + i, d0, 48);
  }
  for (; i < bytes; i += 4) {
    let s: f32 = 0;
    let t: f32 = 0;
    let value = v + i;
    for (let w = weights; w < end; w += 16) {
      s += load<f32>(value) * load<f32>(w);
      t += load<f32>(value) * load<f32>(w, 4);
      value += stride;
    }
    const old0: f32 = first ? 0 : load<f32>(o0 + i);
    const old1: f32 = first ? 0 : load<f32>(o1 + i);
    store<f32>(o1 + i, old1 + t);
    store<f32>(o0 + i, old0 + s);
  }
}

function scaleFloats(x: usize, n: i32, factor: f32): void {
  const lanes = f32x4.splat(factor);
  for (; n >= 4; n -= 4) {
    v128.store(x, f32x4.mul(v128.load(x), lanes));
    x += 16;
  }
  for (; n > 0; n--) {
    store<f32>(x, load<f32>(x) * factor);
    x += 4;
  }
}
