/** Rounding of activations to int8 blocks for the fast path. */

/**
 * Rounds `rows` rows of `k` floats (k a multiple of 32) to int8 codes per 32: d = amax/127, q = RNE(x · 127/amax).
 * Writes the codes widened to int16 `q[rows · k]` (the dot instruction's operand), scales `d[rows · k/32]`, and the sums
 * d·Σq per 16 and per 32 elements, which minima are multiplied with.
 */
export function quantizeActivations(
  x: usize,
  rows: i32,
  k: i32,
  q: usize,
  d: usize,
  sums16: usize,
  sums32: usize,
): void {
  const blocks = rows * (k >> 5);
  for (let b = 0; b < blocks; b++) {
    let amax = f32x4.splat(0);
    for (let i: usize = 0; i < 128; i += 16) amax = f32x4.max(amax, f32x4.abs(v128.load(x + i)));
    amax = f32x4.max(amax, v128.shuffle<i32>(amax, amax, 2, 3, 0, 1));
    amax = f32x4.max(amax, v128.shuffle<i32>(amax, amax, 1, 0, 3, 2));
    const largest = f32x4.extract_lane(amax, 0);
    const scale: f32 = largest / 127;
    // below 1e-36 the reciprocal would overflow; such a block counts as zero
    const inverse = f32x4.splat(largest < 1e-36 ? 0 : <f32>127 / largest);
    let sum32: f32 = 0;
    for (let half = 0; half < 2; half++) {
      const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), inverse)));
      const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x, 16), inverse)));
      const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x, 32), inverse)));
      const e = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x, 48), inverse)));
      v128.store(q, i16x8.narrow_i32x4_s(a, b));
      v128.store(q, i16x8.narrow_i32x4_s(c, e), 16);
      const total = i32x4.add(i32x4.add(a, b), i32x4.add(c, e));
      const pair = i32x4.add(total, v128.shuffle<i32>(total, total, 2, 3, 0, 1));
      const sum = <f32>(i32x4.extract_lane(pair, 0) + i32x4.extract_lane(pair, 1));
      store<f32>(sums16, scale * sum);
      sum32 += sum;
      sums16 += 4;
      q += 32;
      x += 64;
    }
    store<f32>(d, scale);
    store<f32>(sums32, scale * sum32);
    d += 4;
    sums32 += 4;
  }
}
