import type { Tensor } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { Vector } from "../runtime.js";
import { requireLastDim, requireSameShape, runOp } from "./run.js";

/** `a + b` of equal shapes. */
export function add<T extends Tensor>(a: T, b: T): T {
  requireSameShape("add", a, b);
  return runOp<T>("VoxAdd", { a, b }, {});
}

/** `gate · sigmoid(gate) · up` of equal shapes: the gate of a SwiGLU MLP. */
export function siluMul<T extends Tensor>(gate: T, up: T): T {
  requireSameShape("siluMul", gate, up);
  return runOp<T>("VoxSiluMul", { gate, up }, {});
}

/** Exact GELU, `x/2 · (1 + erf(x/√2))`. */
export function gelu<T extends Tensor>(x: T): T {
  return runOp<T>("VoxGelu", { x }, {});
}

/**
 * SnakeBeta, `x + sin²(x · alpha) · inverseBeta` with parameters per channel (the last dimension). Checkpoints hold
 * logarithms: `alpha = exp(a)`, `inverseBeta = 1 / (exp(b) + 1e-9)`.
 * @throws ConfigError if the parameters are not one per channel
 */
export function snake<T extends Tensor>(x: T, alpha: Vector, inverseBeta: Vector): T {
  requireLastDim("snake", x, alpha.length);
  if (inverseBeta.length !== alpha.length) {
    throw new ConfigError(`snake: ${alpha.length} alphas, but ${inverseBeta.length} betas`);
  }
  return runOp<T>("VoxSnake", { x }, { alpha: alpha.data, inverseBeta: inverseBeta.data });
}

/** `x + scale · y` of equal shapes with a scale per channel: a residual branch with layer scale. */
export function addScaled<T extends Tensor>(x: T, y: T, scale: Vector): T {
  requireSameShape("addScaled", x, y);
  requireLastDim("addScaled", x, scale.length);
  return runOp<T>("VoxAddScaled", { x, y }, { scale: scale.data });
}
