import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { LinearLayer } from "../linear.js";
import type { Runtime, Vector } from "../runtime.js";
import { attentionSegments, type SequenceRows } from "./attention.js";
import type { DecoderLayerParameters } from "./kernels.js";
import { requireLastDim, requireSameShape, runOp } from "./run.js";

/** Parts of a pre-norm decoder layer, all without biases; `queryNorm` and `keyNorm` `[headDim]`, `mlpNorm` `[hidden]`. */
export interface DecoderLayerParts {
  readonly query: LinearLayer;
  readonly key: LinearLayer;
  readonly value: LinearLayer;
  readonly output: LinearLayer;
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;
  readonly queryNorm: Vector | null;
  readonly keyNorm: Vector | null;
  readonly mlpNorm: Vector;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly theta: number;
}

/** A decoder layer that the device runs in one call. */
export class FusedDecoderLayer {
  readonly parameters: DecoderLayerParameters<unknown, unknown>;
  /** Width of the residual stream. */
  readonly hidden: number;

  private constructor(parts: DecoderLayerParts) {
    const { query, key, value, output, gate, up, down, queryNorm, keyNorm, mlpNorm, ...sizes } = parts;
    this.hidden = output.outFeatures;
    this.parameters = {
      ...sizes,
      query: query.weight,
      key: key.weight,
      value: value.weight,
      output: output.weight,
      gate: gate.weight,
      up: up.weight,
      down: down.weight,
      queryNorm: queryNorm?.data ?? null,
      keyNorm: keyNorm?.data ?? null,
      mlpNorm: mlpNorm.data,
      scale: sizes.headDim ** -0.5,
      precision: query.precision,
    };
  }

  /** Null where the runtime's device has no such kernel. */
  static create(runtime: Runtime, parts: DecoderLayerParts): FusedDecoderLayer | null {
    return runtime.device.fused === undefined ? null : new FusedDecoderLayer(parts);
  }

  /**
   * x (the residual stream) and its norm `[rows, hidden]` → the stream after the layer and that stream's RMS norm with
   * gain `nextNorm`. Keys and values of the rows are appended to the caches at layer `index`.
   * @throws ConfigError if shapes do not fit or a cache is too small
   */
  forward(
    x: Tensor2D,
    normed: Tensor2D,
    nextNorm: Vector,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    index: number,
  ): [sum: Tensor2D, normed: Tensor2D] {
    requireLastDim("decoderLayer", x, this.hidden);
    requireSameShape("decoderLayer", x, normed);
    if (positions.length !== x.shape[0] || nextNorm.length !== this.hidden) {
      throw new ConfigError(
        `decoderLayer: ${positions.length} positions and a norm of ${nextNorm.length} for [${x.shape.join(", ")}]`,
      );
    }
    return runOp<[Tensor2D, Tensor2D]>(
      "VoxDecoderLayer",
      { x, normed },
      {
        layer: this.parameters,
        nextNorm: nextNorm.data,
        positions,
        segments: attentionSegments(sequences, x.shape[0]),
        index,
      },
    );
  }

  /**
   * Only the keys and values of `normed` `[rows, hidden]`, to the caches at layer `index`: all that later rows need of rows
   * that are not asked for after the last layer.
   * @throws ConfigError if shapes do not fit or a cache is too small
   */
  appendKeys(
    normed: Tensor2D,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    index: number,
  ): void {
    requireLastDim("decoderKeys", normed, this.hidden);
    if (positions.length !== normed.shape[0]) {
      throw new ConfigError(`decoderKeys: ${positions.length} positions for [${normed.shape.join(", ")}]`);
    }
    runOp<Tensor2D[]>(
      "VoxDecoderKeys",
      { normed },
      { layer: this.parameters, positions, segments: attentionSegments(sequences, normed.shape[0]), index },
    );
  }
}
