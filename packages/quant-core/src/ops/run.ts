import { engine, type NamedAttrMap, type NamedTensorMap, type Tensor } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";

/** Runs one of our registered ops on the active backend. */
export function runOp<T extends Tensor | Tensor[]>(
  name: string,
  inputs: NamedTensorMap,
  attributes: object,
): T {
  return engine().runKernel(name, inputs, attributes as NamedAttrMap) as T;
}

/** @throws ConfigError unless the tensor's last dimension is `dim`. */
export function requireLastDim(op: string, tensor: Tensor, dim: number): void {
  const last = tensor.shape.at(-1);
  if (last !== dim) {
    throw new ConfigError(
      `${op}: input has shape [${tensor.shape.join(", ")}], its last dimension should be ${dim}`,
    );
  }
}

/** @throws ConfigError unless both tensors have the same shape. */
export function requireSameShape(op: string, a: Tensor, b: Tensor): void {
  if (a.shape.length !== b.shape.length || a.shape.some((dim, i) => dim !== b.shape[i])) {
    throw new ConfigError(`${op}: shapes [${a.shape.join(", ")}] and [${b.shape.join(", ")}] differ`);
  }
}
