import type { Tensor } from "@tensorflow/tfjs-core";

/** Receives named stage tensors while a model runs. The names are those of the reference vectors. */
export type TraceSink = (
  name: string,
  tensor: { readonly shape: readonly number[]; readonly data: Float32Array | Int32Array },
) => void;

/** Gives a tensor's values to the sink, as a copy that outlives the tensor. */
export function traceTensor(sink: TraceSink | undefined, name: string, tensor: Tensor): void {
  sink?.(name, { shape: tensor.shape, data: Float32Array.from(tensor.dataSync()) });
}

/** A sink whose names get `scope.` before them. */
export function within(sink: TraceSink, scope: string): TraceSink {
  return (name, tensor) => sink(`${scope}.${name}`, tensor);
}
