import type { Activation } from "../../ops/kernels.js";

const { abs, exp, PI, sin, sqrt } = Math;

/** Error function to double precision: Maclaurin series near zero, continued fraction of erfc beyond. */
export function erf(x: number): number {
  const z = abs(x);
  if (z > 6) return x > 0 ? 1 : -1;
  if (z < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; abs(term) > 1e-17 * abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / sqrt(PI)) * sum;
  }
  let fraction = 0;
  for (let n = 40; n > 0; n--) fraction = n / 2 / (z + fraction);
  const complement = exp(-z * z) / (sqrt(PI) * (z + fraction));
  return x > 0 ? 1 - complement : complement - 1;
}

export function activate(x: number, activation: Activation): number {
  switch (activation) {
    case "none":
      return x;
    case "gelu":
      return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
    case "silu":
      return x / (1 + exp(-x));
  }
}

export function gelu(x: Float32Array, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = activate(x[i]!, "gelu");
}

export function siluMul(gate: Float32Array, up: Float32Array, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = activate(gate[i]!, "silu") * up[i]!;
}

export function snake(
  x: Float32Array,
  alpha: Float32Array,
  inverseBeta: Float32Array,
  channels: number,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) {
    const c = i % channels;
    out[i] = x[i]! + sin(x[i]! * alpha[c]!) ** 2 * inverseBeta[c]!;
  }
}

export function addScaled(
  x: Float32Array,
  y: Float32Array,
  scale: Float32Array,
  channels: number,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) out[i] = x[i]! + scale[i % channels]! * y[i]!;
}
