import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError, FormatError } from "./errors.js";
import type { Precision } from "./ops/kernels.js";
import { requireLastDim, runOp } from "./ops/run.js";
import type { Runtime, Vector } from "./runtime.js";
import { elementCount, isDense, weightByteLength, type GgmlType, type Weight } from "./weight.js";

/**
 * A matrix with an optional bias, `x · Wᵀ + b`. `StandardLinear` holds dense F32, F16 or BF16, `QuantizedLinear` ggml
 * blocks, both exactly as they lie in the file; quantizing a model is choosing other Weights. A convolution's filter is
 * one too: `[out, in · kh · kw]`.
 */
export abstract class LinearLayer {
  readonly name: string;
  readonly dtype: GgmlType;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly precision: Precision;
  /** The weight and bias as the runtime's device holds them. */
  readonly weight: unknown;
  readonly bias: unknown;
  readonly runtime: Runtime;

  protected constructor(runtime: Runtime, weight: Weight, bias: Vector | null, precision: Precision) {
    const outFeatures = weight.shape[0] ?? 0;
    const inFeatures = elementCount(weight.shape.slice(1));
    checkWeight(weight, 2);
    if (bias !== null && bias.length !== outFeatures) {
      throw new FormatError(`${weight.name}: ${outFeatures} outputs, but a bias of ${bias.length}`);
    }
    this.name = weight.name;
    this.dtype = weight.dtype;
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.precision = precision;
    this.weight = runtime.prepareWeight({ ...weight, shape: [outFeatures, inFeatures] });
    this.bias = bias?.data ?? null;
    this.runtime = runtime;
  }

  /**
   * The layer for a weight `[out, in]` (or `[out, in, kh, kw]`), dense or quantized as the weight is.
   * @param precision the runtime's, unless this layer needs another
   * @throws FormatError if shape, bytes or bias do not fit
   */
  static create(
    runtime: Runtime,
    weight: Weight,
    bias: Vector | null = null,
    precision: Precision = runtime.precision,
  ): LinearLayer {
    return isDense(weight.dtype)
      ? new StandardLinear(runtime, weight, bias, precision)
      : new QuantizedLinear(runtime, weight, bias, precision);
  }

  /** x `[rows, in]` → `[rows, out]`. */
  forward(x: Tensor2D): Tensor2D {
    return forwardTogether([this], x)[0]!;
  }

  /** Index of the largest output of each row, without keeping the outputs; ties give the lowest. x `[rows, in]`. */
  argmax(x: Tensor2D): Int32Array {
    requireLastDim(this.name, x, this.inFeatures);
    const { device } = this.runtime;
    this.runtime.observe?.(this.name, x);
    const out = new Int32Array(x.shape[0]);
    device.kernels.linearArgmax(device.read(x), x.shape[0], this.weight, out, this.precision);
    return out;
  }
}

/** Dense weights. */
export class StandardLinear extends LinearLayer {
  constructor(runtime: Runtime, weight: Weight, bias: Vector | null, precision: Precision) {
    super(runtime, weight, bias, precision);
  }
}

/** ggml block-quantized weights. */
export class QuantizedLinear extends LinearLayer {
  constructor(runtime: Runtime, weight: Weight, bias: Vector | null, precision: Precision) {
    super(runtime, weight, bias, precision);
  }
}

/**
 * Several layers of the same input in one op (q, k and v; gate and up): the input is read and quantized once.
 * x `[rows, in]` → one `[rows, out_i]` per layer.
 */
export function forwardTogether(layers: readonly LinearLayer[], x: Tensor2D): Tensor2D[] {
  for (const layer of layers) {
    requireLastDim(layer.name, x, layer.inFeatures);
    layer.runtime.observe?.(layer.name, x);
  }
  return runOp<Tensor2D[]>(
    "VoxLinear",
    { x },
    {
      weights: layers.map((layer) => layer.weight),
      biases: layers.map((layer) => layer.bias),
      outFeatures: layers.map((layer) => layer.outFeatures),
      precision: layers[0]!.precision,
    },
  );
}

/** A table of rows, dense or quantized; a lookup dequantizes the wanted rows only. */
export class Embedding {
  readonly name: string;
  readonly dtype: GgmlType;
  readonly count: number;
  readonly dim: number;
  readonly #weight: unknown;

  /** weight `[count, dim]` */
  constructor(runtime: Runtime, weight: Weight) {
    checkWeight(weight, 2);
    this.name = weight.name;
    this.dtype = weight.dtype;
    this.count = weight.shape[0]!;
    this.dim = weight.shape[1]!;
    this.#weight = runtime.prepareWeight(weight);
  }

  /** Rows `ids` as `[ids.length, dim]`. @throws ConfigError for an id outside the table */
  lookup(ids: readonly number[] | Int32Array): Tensor2D {
    const wanted = Int32Array.from(ids);
    for (const id of wanted) {
      if (id < 0 || id >= this.count)
        throw new ConfigError(`${this.name}: id ${id} is outside 0…${this.count - 1}`);
    }
    return runOp<Tensor2D>("VoxEmbedding", {}, { ids: wanted, weight: this.#weight, dim: this.dim });
  }
}

function checkWeight(weight: Weight, leastRank: number): void {
  if (weight.shape.length < leastRank || weight.shape.some((dim) => dim < 1)) {
    throw new FormatError(`${weight.name}: shape [${weight.shape.join(", ")}] is not that of a matrix`);
  }
  const expected = weightByteLength(
    weight.dtype,
    [weight.shape[0]!, elementCount(weight.shape.slice(1))],
    weight.name,
  );
  if (weight.bytes.byteLength !== expected) {
    throw new FormatError(
      `${weight.name}: ${weight.dtype} [${weight.shape.join(", ")}] takes ${expected} bytes, found ${weight.bytes.byteLength}`,
    );
  }
}
