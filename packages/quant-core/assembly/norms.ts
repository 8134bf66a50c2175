/** RMS and layer normalisation over rows of `dim`, with the residual sum in the same pass, and rotary embedding. */
import { multiplyAdd, sumLanes } from "./vector";

/** Σ x² of `n` floats. */
// @ts-ignore: decorator
@inline
function squareSum(x: usize, n: i32): f32 {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  for (; n >= 8; n -= 8) {
    const u = v128.load(x);
    const v = v128.load(x, 16);
    a = multiplyAdd(u, u, a);
    b = multiplyAdd(v, v, b);
    x += 32;
  }
  let sum = sumLanes(f32x4.add(a, b));
  for (; n > 0; n--) {
    const v = load<f32>(x);
    sum += v * v;
    x += 4;
  }
  return sum;
}

function addRow(a: usize, b: usize, n: i32, out: usize): void {
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

/** out = (x − mean) · factor · gamma + beta; null `beta`: without it. */
// @ts-ignore: decorator
@inline
function scaleRow(x: usize, mean: f32, factor: f32, gamma: usize, beta: usize, n: i32, out: usize): void {
  const meanLanes = f32x4.splat(mean);
  const factorLanes = f32x4.splat(factor);
  for (; n >= 4; n -= 4) {
    let v = f32x4.mul(f32x4.mul(f32x4.sub(v128.load(x), meanLanes), factorLanes), v128.load(gamma));
    if (beta != 0) {
      v = f32x4.add(v, v128.load(beta));
      beta += 16;
    }
    v128.store(out, v);
    x += 16;
    gamma += 16;
    out += 16;
  }
  for (; n > 0; n--) {
    let v: f32 = (load<f32>(x) - mean) * factor * load<f32>(gamma);
    if (beta != 0) {
      v += load<f32>(beta);
      beta += 4;
    }
    store<f32>(out, v);
    x += 4;
    gamma += 4;
    out += 4;
  }
}

/** `sum = x + residual` (null residual: sum is not written and x itself is taken); `out = gamma · sum / rms(sum)`. */
export function rmsNorm(
  x: usize,
  residual: usize,
  gamma: usize,
  eps: f32,
  dim: i32,
  rows: i32,
  sum: usize,
  out: usize,
): void {
  const stride = (<usize>dim) << 2;
  for (let r = 0; r < rows; r++) {
    let source = x;
    if (residual != 0) {
      addRow(x, residual, dim, sum);
      source = sum;
      residual += stride;
      sum += stride;
    }
    const factor: f32 = <f32>1 / sqrt<f32>(squareSum(source, dim) / <f32>dim + eps);
    scaleRow(source, 0, factor, gamma, 0, dim, out);
    x += stride;
    out += stride;
  }
}

/** As `rmsNorm`, with `out = gamma · (sum − mean) / sqrt(var + eps) + beta`. */
export function layerNorm(
  x: usize,
  residual: usize,
  gamma: usize,
  beta: usize,
  eps: f32,
  dim: i32,
  rows: i32,
  sum: usize,
  out: usize,
): void {
  const stride = (<usize>dim) << 2;
  for (let r = 0; r < rows; r++) {
    let source = x;
    if (residual != 0) {
      addRow(x, residual, dim, sum);
      source = sum;
      residual += stride;
      sum += stride;
    }
    const mean = rowMean(source, dim);
    const factor: f32 = <f32>1 / sqrt<f32>(rowVariance(source, mean, dim) + eps);
    scaleRow(source, mean, factor, gamma, beta, dim, out);
    x += stride;
    out += stride;
  }
}

function rowMean(x: usize, dim: i32): f32 {
  let lanes = f32x4.splat(0);
  let n = dim;
  for (; n >= 4; n -= 4) {
    lanes = f32x4.add(lanes, v128.load(x));
    x += 16;
  }
  let sum = sumLanes(lanes);
  for (; n > 0; n--) {
    sum += load<f32>(x);
    x += 4;
  }
  return sum / <f32>dim;
}

function rowVariance(x: usize, mean: f32, dim: i32): f32 {
  const meanLanes = f32x4.splat(mean);
  let lanes = f32x4.splat(0);
  let n = dim;
  for (; n >= 4; n -= 4) {
    const v = f32x4.sub(v128.load(x), meanLanes);
    lanes = multiplyAdd(v, v, lanes);
    x += 16;
  }
  let sum = sumLanes(lanes);
  for (; n > 0; n--) {
    const v = load<f32>(x) - mean;
    sum += v * v;
    x += 4;
  }
  return sum / <f32>dim;
}

/**
 * Per head: RMS norm with `gamma` (null: none), then half-split rotary embedding.
 * @param x `[rows, heads · headDim]`
 * @param positions `[rows]` int32, each within the table
 * @param table per position headDim/2 cosines, then as many sines
 */
export function headNormRope(
  x: usize,
  gamma: usize,
  positions: usize,
  table: usize,
  rows: i32,
  heads: i32,
  headDim: i32,
  eps: f32,
  out: usize,
): void {
  const half = headDim >> 1;
  const halfBytes = (<usize>half) << 2;
  const stride = halfBytes * 2;
  for (let r = 0; r < rows; r++) {
    const cosines = table + <usize>load<u32>(positions + ((<usize>r) << 2)) * stride;
    for (let h = 0; h < heads; h++) {
      if (gamma != 0) {
        const factor: f32 = <f32>1 / sqrt<f32>(squareSum(x, headDim) / <f32>headDim + eps);
        scaleRow(x, 0, factor, gamma, 0, headDim, out);
        rotate(out, cosines, half, halfBytes, out);
      } else {
        rotate(x, cosines, half, halfBytes, out);
      }
      x += stride;
      out += stride;
    }
  }
}

/** out = [a·cos − b·sin, b·cos + a·sin] for the halves a, b of x; out may be x. */
function rotate(x: usize, cosines: usize, half: i32, halfBytes: usize, out: usize): void {
  let i: usize = 0;
  for (let n = half; n >= 4; n -= 4) {
    const a = v128.load(x + i);
    const b = v128.load(x + i + halfBytes);
    const c = v128.load(cosines + i);
    const s = v128.load(cosines + i + halfBytes);
    v128.store(out + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(out + i + halfBytes, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
    i += 16;
  }
  for (; i < halfBytes; i += 4) {
    const a = load<f32>(x + i);
    const b = load<f32>(x + i + halfBytes);
    const c = load<f32>(cosines + i);
    const s = load<f32>(cosines + i + halfBytes);
    store<f32>(out + i, a * c - b * s);
    store<f32>(out + i + halfBytes, b * c + a * s);
  }
}
