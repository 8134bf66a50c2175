import type { Tensor } from "@tensorflow/tfjs-core";
import { requireSameShape, runOp } from "./run.js";

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
