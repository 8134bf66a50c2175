import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { Runtime, Vector } from "../runtime.js";
import { attentionSegments, type SequenceRows } from "./attention.js";
import type { FusedDecoderLayer } from "./decoder-layer.js";
import type { DecoderStackParameters } from "./kernels.js";
import { requireLastDim, runOp } from "./run.js";

/** The layers of a decoder that the device runs in one call. */
export class FusedDecoderStack {
  readonly #parameters: DecoderStackParameters<unknown, unknown>;
  readonly #hidden: number;

  private constructor(layers: readonly FusedDecoderLayer[], norms: readonly Vector[]) {
    this.#hidden = layers[0]!.hidden;
    const fits = (norm: Vector) => norm.length === this.#hidden;
    if (norms.length !== layers.length + 1 || !norms.every(fits)) {
      throw new ConfigError(
        `decoderStack: ${layers.length} layers of width ${this.#hidden} cannot have norms of [${norms.map(({ length }) => length).join(", ")}]`,
      );
    }
    this.#parameters = {
      layers: layers.map(({ parameters }) => parameters),
      norms: norms.map(({ data }) => data),
    };
  }

  /**
   * @param layers of the same sizes
   * @param norms gains before each layer's attention and, last, of the result, `[hidden]` each
   * @returns null where the runtime's device has no such kernel
   * @throws ConfigError if the norms do not fit the layers
   */
  static create(
    runtime: Runtime,
    layers: readonly FusedDecoderLayer[],
    norms: readonly Vector[],
  ): FusedDecoderStack | null {
    return runtime.device.fused?.decoderStack === undefined || layers.length === 0
      ? null
      : new FusedDecoderStack(layers, norms);
  }

  /**
   * Embeddings x `[rows, hidden]` → states after the last norm, of the same shape. Keys and values of the rows are
   * appended to the caches, all layers.
   * @throws ConfigError if shapes do not fit or a cache is too small
   */
  forward(x: Tensor2D, positions: Int32Array, sequences: readonly SequenceRows[]): Tensor2D {
    requireLastDim("decoderStack", x, this.#hidden);
    if (positions.length !== x.shape[0]) {
      throw new ConfigError(`decoderStack: ${positions.length} positions for [${x.shape.join(", ")}]`);
    }
    return runOp<Tensor2D>(
      "VoxDecoderStack",
      { x },
      { stack: this.#parameters, positions, segments: attentionSegments(sequences, x.shape[0]) },
    );
  }
}
