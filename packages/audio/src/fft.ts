const { cos, sin, PI } = Math;

/**
 * Power spectra of real frames through a complex FFT of half the length: even samples as real parts, odd ones as
 * imaginary parts, split apart by symmetry afterwards. Mixed radix (4, 2, 3, 5) Stockham steps, float64 throughout,
 * because log-mel values near the floor magnify rounding.
 */
export class RealFft {
  readonly size: number;
  readonly #steps: readonly { radix: number; length: number; stride: number; twiddles: Float64Array }[];
  #re: Float64Array;
  #im: Float64Array;
  #re2: Float64Array;
  #im2: Float64Array;
  /** cos and −sin of 2πk/size. */
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;

  /** @param size even, and size/2 of prime factors 2, 3 and 5 only */
  constructor(size: number) {
    this.size = size;
    const half = size / 2;
    this.#re = new Float64Array(half);
    this.#im = new Float64Array(half);
    this.#re2 = new Float64Array(half);
    this.#im2 = new Float64Array(half);
    this.#cos = Float64Array.from({ length: half + 1 }, (_, k) => cos((2 * PI * k) / size));
    this.#sin = Float64Array.from({ length: half + 1 }, (_, k) => -sin((2 * PI * k) / size));
    let length = half;
    let stride = 1;
    const steps = [];
    while (length > 1) {
      const radix = [4, 2, 3, 5].find((r) => length % r === 0);
      if (radix === undefined)
        throw new RangeError(`FFT of size ${size}: only even sizes of prime factors 2, 3, 5`);
      steps.push({ radix, length, stride, twiddles: twiddlesOf(radix, length) });
      length /= radix;
      stride *= radix;
    }
    this.#steps = steps;
  }

  /** |X|² of bins 0 … size/2 of a real frame of `size` samples into `power` (size/2 + 1). */
  powerSpectrum(frame: Float64Array, power: Float64Array): void {
    const half = this.size / 2;
    let re = this.#re;
    let im = this.#im;
    let re2 = this.#re2;
    let im2 = this.#im2;
    for (let i = 0; i < half; i++) {
      re[i] = frame[2 * i]!;
      im[i] = frame[2 * i + 1]!;
    }
    for (const { radix, length, stride, twiddles } of this.#steps) {
      if (radix === 4) radix4(length / 4, stride, twiddles, re, im, re2, im2);
      else if (radix === 5) radix5(length / 5, stride, twiddles, re, im, re2, im2);
      else if (radix === 3) radix3(length / 3, stride, twiddles, re, im, re2, im2);
      else radix2(length / 2, stride, twiddles, re, im, re2, im2);
      [re, re2] = [re2, re];
      [im, im2] = [im2, im];
    }
    this.#re = re;
    this.#im = im;
    this.#re2 = re2;
    this.#im2 = im2;
    const cosines = this.#cos;
    const sines = this.#sin;
    for (let k = 0; k <= half; k++) {
      const a = k === half ? 0 : k;
      const b = k === 0 ? 0 : half - k;
      const evenRe = (re[a]! + re[b]!) / 2;
      const evenIm = (im[a]! - im[b]!) / 2;
      const oddRe = (im[a]! + im[b]!) / 2;
      const oddIm = (re[b]! - re[a]!) / 2;
      const x = evenRe + oddRe * cosines[k]! - oddIm * sines[k]!;
      const y = evenIm + oddRe * sines[k]! + oddIm * cosines[k]!;
      power[k] = x * x + y * y;
    }
  }
}

/** For p in 0 … length/radix − 1 and j in 1 … radix − 1: cos, −sin of 2πjp/length. */
function twiddlesOf(radix: number, length: number): Float64Array {
  const columns = length / radix;
  const twiddles = new Float64Array(columns * (radix - 1) * 2);
  let at = 0;
  for (let p = 0; p < columns; p++) {
    for (let j = 1; j < radix; j++) {
      twiddles[at++] = cos((2 * PI * j * p) / length);
      twiddles[at++] = -sin((2 * PI * j * p) / length);
    }
  }
  return twiddles;
}

// One Stockham step: y[q + s(r·p + j)] = w^(jp) · Σ_k x[q + s(p + m·k)] · e^(−2πi jk/r), for p < m and q < s.

function radix2(
  m: number,
  s: number,
  w: Float64Array,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
) {
  for (let p = 0; p < m; p++) {
    const wr = w[2 * p]!;
    const wi = w[2 * p + 1]!;
    for (let q = 0; q < s; q++) {
      const i0 = q + s * p;
      const i1 = i0 + s * m;
      const o = q + s * 2 * p;
      const dr = xr[i0]! - xr[i1]!;
      const di = xi[i0]! - xi[i1]!;
      yr[o] = xr[i0]! + xr[i1]!;
      yi[o] = xi[i0]! + xi[i1]!;
      yr[o + s] = dr * wr - di * wi;
      yi[o + s] = dr * wi + di * wr;
    }
  }
}

const SIN60 = sin(PI / 3);

function radix3(
  m: number,
  s: number,
  w: Float64Array,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
) {
  for (let p = 0; p < m; p++) {
    const t = 4 * p;
    for (let q = 0; q < s; q++) {
      const i0 = q + s * p;
      const i1 = i0 + s * m;
      const i2 = i1 + s * m;
      const o = q + s * 3 * p;
      const sumR = xr[i1]! + xr[i2]!;
      const sumI = xi[i1]! + xi[i2]!;
      const baseR = xr[i0]! - sumR / 2;
      const baseI = xi[i0]! - sumI / 2;
      const turnR = SIN60 * (xi[i1]! - xi[i2]!);
      const turnI = SIN60 * (xr[i2]! - xr[i1]!);
      yr[o] = xr[i0]! + sumR;
      yi[o] = xi[i0]! + sumI;
      const r1 = baseR + turnR;
      const m1 = baseI + turnI;
      const r2 = baseR - turnR;
      const m2 = baseI - turnI;
      yr[o + s] = r1 * w[t]! - m1 * w[t + 1]!;
      yi[o + s] = r1 * w[t + 1]! + m1 * w[t]!;
      yr[o + 2 * s] = r2 * w[t + 2]! - m2 * w[t + 3]!;
      yi[o + 2 * s] = r2 * w[t + 3]! + m2 * w[t + 2]!;
    }
  }
}

function radix4(
  m: number,
  s: number,
  w: Float64Array,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
) {
  for (let p = 0; p < m; p++) {
    const t = 6 * p;
    for (let q = 0; q < s; q++) {
      const i0 = q + s * p;
      const i1 = i0 + s * m;
      const i2 = i1 + s * m;
      const i3 = i2 + s * m;
      const o = q + s * 4 * p;
      const ar = xr[i0]! + xr[i2]!;
      const ai = xi[i0]! + xi[i2]!;
      const br = xr[i0]! - xr[i2]!;
      const bi = xi[i0]! - xi[i2]!;
      const cr = xr[i1]! + xr[i3]!;
      const ci = xi[i1]! + xi[i3]!;
      const dr = xi[i1]! - xi[i3]!;
      const di = xr[i3]! - xr[i1]!;
      yr[o] = ar + cr;
      yi[o] = ai + ci;
      const r1 = br + dr;
      const m1 = bi + di;
      const r2 = ar - cr;
      const m2 = ai - ci;
      const r3 = br - dr;
      const m3 = bi - di;
      yr[o + s] = r1 * w[t]! - m1 * w[t + 1]!;
      yi[o + s] = r1 * w[t + 1]! + m1 * w[t]!;
      yr[o + 2 * s] = r2 * w[t + 2]! - m2 * w[t + 3]!;
      yi[o + 2 * s] = r2 * w[t + 3]! + m2 * w[t + 2]!;
      yr[o + 3 * s] = r3 * w[t + 4]! - m3 * w[t + 5]!;
      yi[o + 3 * s] = r3 * w[t + 5]! + m3 * w[t + 4]!;
    }
  }
}

const COS72 = cos((2 * PI) / 5);
const COS144 = cos((4 * PI) / 5);
const SIN72 = sin((2 * PI) / 5);
const SIN144 = sin((4 * PI) / 5);

function radix5(
  m: number,
  s: number,
  w: Float64Array,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
) {
  for (let p = 0; p < m; p++) {
    const t = 8 * p;
    for (let q = 0; q < s; q++) {
      const i0 = q + s * p;
      const i1 = i0 + s * m;
      const i2 = i1 + s * m;
      const i3 = i2 + s * m;
      const i4 = i3 + s * m;
      const o = q + s * 5 * p;
      const sum14r = xr[i1]! + xr[i4]!;
      const sum14i = xi[i1]! + xi[i4]!;
      const dif14r = xr[i1]! - xr[i4]!;
      const dif14i = xi[i1]! - xi[i4]!;
      const sum23r = xr[i2]! + xr[i3]!;
      const sum23i = xi[i2]! + xi[i3]!;
      const dif23r = xr[i2]! - xr[i3]!;
      const dif23i = xi[i2]! - xi[i3]!;
      yr[o] = xr[i0]! + sum14r + sum23r;
      yi[o] = xi[i0]! + sum14i + sum23i;
      const base1r = xr[i0]! + COS72 * sum14r + COS144 * sum23r;
      const base1i = xi[i0]! + COS72 * sum14i + COS144 * sum23i;
      const base2r = xr[i0]! + COS144 * sum14r + COS72 * sum23r;
      const base2i = xi[i0]! + COS144 * sum14i + COS72 * sum23i;
      const turn1r = SIN72 * dif14i + SIN144 * dif23i;
      const turn1i = -SIN72 * dif14r - SIN144 * dif23r;
      const turn2r = SIN144 * dif14i - SIN72 * dif23i;
      const turn2i = -SIN144 * dif14r + SIN72 * dif23r;
      const r1 = base1r + turn1r;
      const m1 = base1i + turn1i;
      const r2 = base2r + turn2r;
      const m2 = base2i + turn2i;
      const r3 = base2r - turn2r;
      const m3 = base2i - turn2i;
      const r4 = base1r - turn1r;
      const m4 = base1i - turn1i;
      yr[o + s] = r1 * w[t]! - m1 * w[t + 1]!;
      yi[o + s] = r1 * w[t + 1]! + m1 * w[t]!;
      yr[o + 2 * s] = r2 * w[t + 2]! - m2 * w[t + 3]!;
      yi[o + 2 * s] = r2 * w[t + 3]! + m2 * w[t + 2]!;
      yr[o + 3 * s] = r3 * w[t + 4]! - m3 * w[t + 5]!;
      yi[o + 3 * s] = r3 * w[t + 5]! + m3 * w[t + 4]!;
      yr[o + 4 * s] = r4 * w[t + 6]! - m4 * w[t + 7]!;
      yi[o + 4 * s] = r4 * w[t + 7]! + m4 * w[t + 6]!;
    }
  }
}
