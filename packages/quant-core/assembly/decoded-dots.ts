/**
 * Dot products of decoded weight rows (`decodeBlocks`) with int8-rounded activations. Group after group, four lanes of
 * integer sums times the group's scale are added to four lanes of floats; the minima's part is summed by itself. One
 * row of activations and several go through the same operations in the same order and end in the same bits.
 */
import { multiplyAdd, sumLanes } from "./vector";

/** Four partial sums of a row's minima, one per group, times the activations' sums. */
// @ts-ignore: decorator
@inline
export function productsOfMinima(m: usize, sums: usize, groups: i32): v128 {
  let total = f32x4.splat(0);
  const end = m + ((<usize>groups) << 2);
  for (; m + 16 <= end; m += 16) {
    total = multiplyAdd(v128.load(m), v128.load(sums), total);
    sums += 16;
  }
  for (; m < end; m += 4) {
    total = multiplyAdd(v128.load_zero<u32>(m), v128.load_zero<u32>(sums), total);
    sums += 4;
  }
  return total;
}

/** One row of activations: codes, scales and, where `minimum`, minima per group of 16 or 32. */
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
    s += 4;
  }
  if (minimum) sum = f32x4.sub(sum, productsOfMinima(m, sums, k / group));
  return sumLanes(sum);
}

/** Four partial sums of 16 products. */
// @ts-ignore: decorator
@inline
function products16(c0: v128, c1: v128, a0: v128, a1: v128): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(c0, a0), i32x4.dot_i16x8_s(c1, a1));
}

/** A group's products times their scale, added to the float sums. */
// @ts-ignore: decorator
@inline
function addScaled(products: v128, scale: v128, sum: v128): v128 {
  return multiplyAdd(f32x4.convert_i32x4_s(products), scale, sum);
}

/**
 * Two decoded rows, `between` bytes apart, and `rows` rows of activations (codes `qStride`, scales `dStride` bytes
 * apart), minima left out. Codes are widened once per group of weights and stay in registers while all rows pass.
 * @param partial `[rows, 2, 4]` partial sums
 */
export function dotDecodedPair(
  codes: usize,
  s: usize,
  between: usize,
  group: i32,
  k: i32,
  q: usize,
  qStride: usize,
  d: usize,
  dStride: usize,
  rows: i32,
  partial: usize,
): void {
  const end = partial + ((<usize>rows) << 5);
  for (let to = partial; to < end; to += 16) v128.store(to, f32x4.splat(0));
  const scaleBytes: usize = group == 16 ? 8 : 4;
  const last = codes + k;
  while (codes < last) {
    const other = codes + between;
    const c0 = v128.load_ext<i8>(codes);
    const c1 = v128.load_ext<i8>(codes, 8);
    const c2 = v128.load_ext<i8>(codes, 16);
    const c3 = v128.load_ext<i8>(codes, 24);
    const e0 = v128.load_ext<i8>(other);
    const e1 = v128.load_ext<i8>(other, 8);
    const e2 = v128.load_ext<i8>(other, 16);
    const e3 = v128.load_ext<i8>(other, 24);
    const scale0 = v128.load_splat<f32>(s);
    const scale1 = v128.load_splat<f32>(s + between);
    let a = q;
    let da = d;
    if (group == 16) {
      const scale2 = v128.load_splat<f32>(s, 4);
      const scale3 = v128.load_splat<f32>(s + between, 4);
      for (let to = partial; to < end; to += 32) {
        const a0 = v128.load(a);
        const a1 = v128.load(a, 16);
        const a2 = v128.load(a, 32);
        const a3 = v128.load(a, 48);
        const dr = v128.load_splat<f32>(da);
        const sum0 = addScaled(products16(c0, c1, a0, a1), f32x4.mul(scale0, dr), v128.load(to));
        v128.store(to, addScaled(products16(c2, c3, a2, a3), f32x4.mul(scale2, dr), sum0));
        const sum1 = addScaled(products16(e0, e1, a0, a1), f32x4.mul(scale1, dr), v128.load(to, 16));
        v128.store(to, addScaled(products16(e2, e3, a2, a3), f32x4.mul(scale3, dr), sum1), 16);
        a += qStride;
        da += dStride;
      }
    } else {
      for (let to = partial; to < end; to += 32) {
        const a0 = v128.load(a);
        const a1 = v128.load(a, 16);
        const a2 = v128.load(a, 32);
        const a3 = v128.load(a, 48);
        const dr = v128.load_splat<f32>(da);
        const p0 = i32x4.add(products16(c0, c1, a0, a1), products16(c2, c3, a2, a3));
        v128.store(to, addScaled(p0, f32x4.mul(scale0, dr), v128.load(to)));
        const p1 = i32x4.add(products16(e0, e1, a0, a1), products16(e2, e3, a2, a3));
        v128.store(to, addScaled(p1, f32x4.mul(scale1, dr), v128.load(to, 16)), 16);
        a += qStride;
        da += dStride;
      }
    }
    codes += 32;
    s += scaleBytes;
    q += 64;
    d += 4;
  }
}
