const { cos, pow, sin, sqrt } = Math;

/** `out = gamma · x / sqrt(mean(x²) + eps)` per row of `dim`. */
export function rmsNorm(
  x: Float32Array,
  gamma: Float32Array,
  eps: number,
  dim: number,
  out: Float32Array,
): void {
  for (let base = 0; base < x.length; base += dim) {
    let squares = 0;
    for (let i = 0; i < dim; i++) squares += x[base + i]! * x[base + i]!;
    const inverse = 1 / sqrt(squares / dim + eps);
    for (let i = 0; i < dim; i++) out[base + i] = x[base + i]! * inverse * gamma[i]!;
  }
}

/** `out = gamma · (x − mean) / sqrt(var + eps) + beta` per row of `dim`. */
export function layerNorm(
  x: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  eps: number,
  dim: number,
  out: Float32Array,
): void {
  for (let base = 0; base < x.length; base += dim) {
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += x[base + i]!;
    const mean = sum / dim;
    let squares = 0;
    for (let i = 0; i < dim; i++) squares += (x[base + i]! - mean) ** 2;
    const inverse = 1 / sqrt(squares / dim + eps);
    for (let i = 0; i < dim; i++) out[base + i] = (x[base + i]! - mean) * inverse * gamma[i]! + beta[i]!;
  }
}

export function add(a: Float32Array, b: Float32Array, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = a[i]! + b[i]!;
}

/** RMS norm per head (none without gamma), then half-split rotary embedding; angles in double precision. */
export function headNormRope(
  x: Float32Array,
  gamma: Float32Array | null,
  positions: Int32Array,
  heads: number,
  headDim: number,
  eps: number,
  theta: number,
  out: Float32Array,
): void {
  const half = headDim / 2;
  if (gamma === null) out.set(x);
  else rmsNorm(x, gamma, eps, headDim, out);
  for (let row = 0; row < positions.length; row++) {
    for (let i = 0; i < half; i++) {
      const angle = positions[row]! * pow(theta, (-2 * i) / headDim);
      const c = cos(angle);
      const s = sin(angle);
      for (let head = 0; head < heads; head++) {
        const base = (row * heads + head) * headDim;
        const a = out[base + i]!;
        const b = out[base + half + i]!;
        out[base + i] = a * c - b * s;
        out[base + half + i] = b * c + a * s;
      }
    }
  }
}
