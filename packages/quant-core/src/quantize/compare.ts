import { ConfigError } from "../errors.js";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.js";
import { elementCount } from "../weight.js";
import { RowEncoder, isReadable } from "./row-encoder.js";

/** How far a tensor of one checkpoint is from the same tensor of another. */
export interface TensorError {
  readonly name: string;
  /** Type in the source and in the compared checkpoint. */
  readonly from: string;
  readonly to: string;
  readonly shape: readonly number[];
  /** √(Σ(x - x̂)² / Σx²); 0 where both are equal. */
  readonly relativeRmse: number;
  /** max |x - x̂| */
  readonly maxError: number;
  /** 10·log10(Σx² / Σ(x - x̂)²); Infinity where both are equal. */
  readonly snrDb: number;
}

export interface ComparisonReport {
  readonly tensors: readonly TensorError[];
  /** Names that the source does not have, or has with another number of elements, or in a type that cannot be decoded. */
  readonly notCompared: readonly string[];
  /** Over all compared tensors together. */
  readonly relativeRmse: number;
  readonly snrDb: number;
}

export interface CompareOptions {
  readonly signal?: AbortSignal;
  onProgress?(progress: {
    readonly elementsDone: number;
    readonly elementsTotal: number;
    readonly tensor: string;
  }): void;
}

/** Elements decoded at a time; a multiple of every block. */
const CHUNK_ELEMENTS = 2 ** 20;

/** Position of an element at the start of a block. */
function byteOffset(info: TensorInfo, element: number): number {
  return (info.byteLength / elementCount(info.shape)) * element;
}

/**
 * Errors of the tensors of `quantized` against those of the same name in `source`, in pieces of a few MiB. Convolutions
 * may be flattened in one of the two.
 * @throws ConfigError if no tensor can be compared, the signal's reason when aborted
 */
export async function compareCheckpoints(
  source: Checkpoint,
  quantized: Checkpoint,
  options: CompareOptions = {},
): Promise<ComparisonReport> {
  const pairs: { readonly info: TensorInfo; readonly original: TensorInfo }[] = [];
  const notCompared: string[] = [];
  for (const info of quantized.tensors.values()) {
    const original = source.tensors.get(info.name);
    const isPair = original !== undefined && elementCount(original.shape) === elementCount(info.shape);
    if (isPair && isReadable(original.dtype) && isReadable(info.dtype)) pairs.push({ info, original });
    else notCompared.push(info.name);
  }
  if (pairs.length === 0) {
    throw new ConfigError(
      `${quantized.location}: no tensor is comparable with ${source.location}; are both the same model?`,
    );
  }
  const elementsTotal = pairs.reduce((sum, { info }) => sum + elementCount(info.shape), 0);
  const decoder = new RowEncoder(1);
  let elementsDone = 0;
  let allNoise = 0;
  let allSignal = 0;
  const tensors: TensorError[] = [];
  for (const { info, original } of pairs) {
    const count = elementCount(info.shape);
    let noise = 0;
    let signal = 0;
    let maxError = 0;
    for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
      options.signal?.throwIfAborted();
      const end = Math.min(start + CHUNK_ELEMENTS, count);
      const read = async (checkpoint: Checkpoint, tensor: TensorInfo) =>
        decoder.decode(
          tensor.dtype,
          await checkpoint.readRange(tensor.name, byteOffset(tensor, start), byteOffset(tensor, end)),
        );
      const expected = await read(source, original);
      const actual = await read(quantized, info);
      for (let i = 0; i < expected.length; i++) {
        const x = expected[i]!;
        const difference = Math.abs(x - actual[i]!);
        signal += x * x;
        noise += difference * difference;
        if (!(difference <= maxError)) maxError = difference;
      }
      elementsDone += end - start;
      options.onProgress?.({ elementsDone, elementsTotal, tensor: info.name });
    }
    allNoise += noise;
    allSignal += signal;
    tensors.push({
      name: info.name,
      from: original.dtype,
      to: info.dtype,
      shape: info.shape,
      ...ratios(noise, signal),
      maxError,
    });
  }
  return { tensors, notCompared, ...ratios(allNoise, allSignal) };
}

function ratios(noise: number, signal: number): { relativeRmse: number; snrDb: number } {
  if (noise === 0) return { relativeRmse: 0, snrDb: Infinity };
  return { relativeRmse: Math.sqrt(noise / signal), snrDb: 10 * Math.log10(signal / noise) };
}
