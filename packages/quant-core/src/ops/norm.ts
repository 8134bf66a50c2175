import type { Tensor } from "@tensorflow/tfjs-core";
import type { Vector } from "../runtime.js";
import { requireLastDim, requireSameShape, runOp } from "./run.js";

/** `gamma · x / sqrt(mean(x²) + eps)` over the last dimension. x `[..., dim]`, gamma `[dim]`. */
export function rmsNorm<T extends Tensor>(x: T, gamma: Vector, eps: number): T {
  requireLastDim("rmsNorm", x, gamma.length);
  return runOp<T>("VoxRmsNorm", { x }, { gamma: gamma.data, eps });
}

/** `[x + residual, rmsNorm(x + residual)]` in one pass over memory. */
export function addRmsNorm<T extends Tensor>(
  x: T,
  residual: T,
  gamma: Vector,
  eps: number,
): [sum: T, normed: T] {
  requireLastDim("addRmsNorm", x, gamma.length);
  requireSameShape("addRmsNorm", x, residual);
  return runOp<[T, T]>("VoxAddRmsNorm", { x, residual }, { gamma: gamma.data, eps });
}

/** `gamma · (x − mean) / sqrt(var + eps) + beta` over the last dimension. x `[..., dim]`, gamma and beta `[dim]`. */
export function layerNorm<T extends Tensor>(x: T, gamma: Vector, beta: Vector, eps: number): T {
  requireLastDim("layerNorm", x, gamma.length);
  return runOp<T>("VoxLayerNorm", { x }, { gamma: gamma.data, beta: beta.data, eps });
}

/** `[x + residual, layerNorm(x + residual)]` in one pass over memory. */
export function addLayerNorm<T extends Tensor>(
  x: T,
  residual: T,
  gamma: Vector,
  beta: Vector,
  eps: number,
): [sum: T, normed: T] {
  requireLastDim("addLayerNorm", x, gamma.length);
  requireSameShape("addLayerNorm", x, residual);
  return runOp<[T, T]>("VoxAddLayerNorm", { x, residual }, { gamma: gamma.data, beta: beta.data, eps });
}
