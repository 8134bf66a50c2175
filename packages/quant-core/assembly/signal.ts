/** Kernels of audio codecs on signals `[rows, channels]`. */
import { multiplyAdd } from "./vector";

/** Arguments beyond this lose their reduction's exactness; their sine is computed in double precision. */
const LARGEST_ARGUMENT: f32 = 8192;

/**
 * sin²(y) of four floats with |y| <= 8192, absolute error below 4e-7. The distance to the nearest multiple of π does not
 * need the quadrant: squaring drops the sign. π is in three parts of few bits, so that their products are exact.
 */
// @ts-ignore: decorator
@inline
function squaredSine(y: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(y, f32x4.splat(0.3183098861837907)));
  let u = f32x4.sub(y, f32x4.mul(n, f32x4.splat(3.140625)));
  u = f32x4.sub(u, f32x4.mul(n, f32x4.splat(9.67502593994140625e-4)));
  u = f32x4.sub(u, f32x4.mul(n, f32x4.splat(1.509957990978376432e-7)));
  const s = f32x4.mul(u, u);
  let p = f32x4.splat(-2.5052108385441718e-8);
  p = multiplyAdd(p, s, f32x4.splat(2.7557319223985893e-6));
  p = multiplyAdd(p, s, f32x4.splat(-1.984126984126984e-4));
  p = multiplyAdd(p, s, f32x4.splat(8.333333333333333e-3));
  p = multiplyAdd(p, s, f32x4.splat(-0.16666666666666666));
  p = multiplyAdd(f32x4.mul(p, s), u, u);
  return f32x4.mul(p, p);
}

/** sin²(y) without a limit. */
function squaredSineOf(y: f32): f32 {
  if (abs(y) <= LARGEST_ARGUMENT) return f32x4.extract_lane(squaredSine(f32x4.splat(y)), 0);
  const pi: f64 = 3.141592653589793;
  const u = <f64>y - nearest(<f64>y / pi) * pi;
  const sine = f32x4.extract_lane(squaredSine(f32x4.splat(<f32>u)), 0);
  return sine;
}

/** out = x + sin²(x · alpha) · inverseBeta with parameters `[channels]`. */
export function snake(
  x: usize,
  alpha: usize,
  inverseBeta: usize,
  rows: i32,
  channels: i32,
  out: usize,
): void {
  const whole = (<usize>(channels & ~3)) << 2;
  const bytes = (<usize>channels) << 2;
  const most = f32x4.splat(LARGEST_ARGUMENT);
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const value = v128.load(x + i);
      const y = f32x4.mul(value, v128.load(alpha + i));
      let sines = squaredSine(y);
      if (v128.any_true(f32x4.gt(f32x4.abs(y), most))) {
        sines = f32x4.splat(squaredSineOf(f32x4.extract_lane(y, 0)));
        sines = f32x4.replace_lane(sines, 1, squaredSineOf(f32x4.extract_lane(y, 1)));
        sines = f32x4.replace_lane(sines, 2, squaredSineOf(f32x4.extract_lane(y, 2)));
        sines = f32x4.replace_lane(sines, 3, squaredSineOf(f32x4.extract_lane(y, 3)));
      }
      v128.store(out + i, multiplyAdd(sines, v128.load(inverseBeta + i), value));
    }
    for (; i < bytes; i += 4) {
      const value = load<f32>(x + i);
      store<f32>(out + i, value + squaredSineOf(value * load<f32>(alpha + i)) * load<f32>(inverseBeta + i));
    }
    x += bytes;
    out += bytes;
  }
}

/** out = x + scale · y with scale `[channels]`; out may be x. */
export function addScaled(x: usize, y: usize, scale: usize, rows: i32, channels: i32, out: usize): void {
  const whole = (<usize>(channels & ~3)) << 2;
  const bytes = (<usize>channels) << 2;
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i < whole; i += 16) {
      v128.store(out + i, multiplyAdd(v128.load(scale + i), v128.load(y + i), v128.load(x + i)));
    }
    for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) + load<f32>(scale + i) * load<f32>(y + i));
    x += bytes;
    y += bytes;
    out += bytes;
  }
}

/**
 * Causal convolution of each channel with its own filter `[kernel, channels]`; `signal` has kernel - 1 rows before the
 * first of the `rows`.
 */
export function depthwise(
  signal: usize,
  rows: i32,
  channels: i32,
  kernel: i32,
  weight: usize,
  bias: usize,
  out: usize,
): void {
  const bytes = (<usize>channels) << 2;
  for (let t = 0; t < rows; t++) {
    memory.copy(out, bias, bytes);
    for (let k = 0; k < kernel; k++) {
      addScaled(out, signal + bytes * (t + k), weight + bytes * k, 1, channels, out);
    }
    out += bytes;
  }
}

/**
 * The inputs of `rows` outputs of a dilated convolution: `[rows, kernel, channels]`; `signal` begins with the oldest
 * input of the first.
 */
export function gatherTaps(
  signal: usize,
  rows: i32,
  channels: i32,
  kernel: i32,
  dilation: i32,
  out: usize,
): void {
  const bytes = (<usize>channels) << 2;
  for (let t = 0; t < rows; t++) {
    for (let k = 0; k < kernel; k++) {
      memory.copy(out, signal + bytes * (t + k * dilation), bytes);
      out += bytes;
    }
  }
}
