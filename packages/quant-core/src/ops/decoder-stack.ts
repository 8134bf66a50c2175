import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { Runtime, Vector } from "../runtime.js";
import { attentionSegments, type SequenceRows } from "./attention.js";
import type { FusedDecoderLayer } from "./decoder-layer.js";
import type { AttentionSegment, DecoderStackParameters, Device } from "./kernels.js";
import { requireLastDim, requireSameShape, runOp } from "./run.js";

/** The layers of a decoder that the device runs in one call. */
export class FusedDecoderStack {
  readonly #device: Device;
  readonly #parameters: DecoderStackParameters<unknown, unknown>;
  readonly #hidden: number;

  private constructor(runtime: Runtime, layers: readonly FusedDecoderLayer[], norms: readonly Vector[]) {
    this.#device = runtime.device;
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
    return runtime.device.fused === undefined || layers.length === 0
      ? null
      : new FusedDecoderStack(runtime, layers, norms);
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

  /**
   * Rows of prompts before layer `layer`: the residual stream and its norm `[rows, hidden]`, which the pass overwrites with those
   * before later layers; they stay the caller's and share their memory with no other tensor. The layers append keys and values
   * of the rows to the caches.
   * @throws ConfigError if shapes do not fit or a cache is too small
   */
  begin(
    stream: Tensor2D,
    normed: Tensor2D,
    layer: number,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
  ): DecoderPass {
    requireLastDim("decoderLayers", stream, this.#hidden);
    requireSameShape("decoderLayers", stream, normed);
    if (positions.length !== stream.shape[0]) {
      throw new ConfigError(`decoderLayers: ${positions.length} positions for [${stream.shape.join(", ")}]`);
    }
    const segments = attentionSegments(sequences, stream.shape[0]);
    return new DecoderPass(this.#device, this.#parameters, [stream, normed], layer, positions, segments);
  }
}

/** Rows of prompts on their way through the layers of a FusedDecoderStack, some layers at a time. */
export class DecoderPass {
  readonly #device: Device;
  readonly #stack: DecoderStackParameters<unknown, unknown>;
  readonly #positions: Int32Array;
  readonly #segments: readonly AttentionSegment<unknown>[];
  readonly #state: readonly [stream: Tensor2D, normed: Tensor2D];
  #layer: number;

  /** For FusedDecoderStack. */
  constructor(
    device: Device,
    stack: DecoderStackParameters<unknown, unknown>,
    state: readonly [stream: Tensor2D, normed: Tensor2D],
    layer: number,
    positions: Int32Array,
    segments: readonly AttentionSegment<unknown>[],
  ) {
    this.#device = device;
    this.#stack = stack;
    this.#state = state;
    this.#layer = layer;
    this.#positions = positions;
    this.#segments = segments;
  }

  /** The layer that comes next. */
  get layer(): number {
    return this.#layer;
  }

  /** The next `count` layers. The event loop waits for all of them. @throws ConfigError if the stack has fewer */
  advance(count: number): void {
    const from = this.#layer;
    const to = from + count;
    if (!(count > 0 && to <= this.#stack.layers.length)) {
      throw new ConfigError(`decoderLayers: no layers ${from}…${to - 1} in ${this.#stack.layers.length}`);
    }
    const { fused } = this.#device;
    const [stream, normed] = this.#state.map((tensor) => this.#device.read(tensor));
    fused!.decoderLayers(stream, normed, this.#stack, from, to, this.#positions, this.#segments);
    this.#layer = to;
  }
}
