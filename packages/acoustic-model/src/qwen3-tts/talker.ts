import { tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import type { Embedding, KvCache, LinearLayer, Runtime, SequenceRows } from "@voxquant/quant-core";
import type { DecoderStack, EventLoopBreak, TraceSink } from "@voxquant/nn";
import type { TalkerConfig } from "./config.js";
import type { TextProjection } from "./text-projection.js";

/** Rows of a matrix on the host, one after the other. */
export interface TalkerOutput {
  /** States after the final norm, `[rows, hidden]`: what the code predictor starts from. */
  readonly hidden: Float32Array;
  /** Scores of the codec vocabulary, `[rows, codec vocabulary]`. */
  readonly logits: Float32Array;
}

export interface TalkerParts {
  readonly stack: DecoderStack;
  readonly textEmbedding: Embedding;
  readonly textProjection: TextProjection;
  readonly codecEmbedding: Embedding;
  readonly codecHead: LinearLayer;
}

/**
 * The talker (`Qwen3TTSTalkerForConditionalGeneration`): a text and a codec track, added, in; codebook 0 and a state for the
 * code predictor out. Its three rotary axes always carry the same position, so that they are one.
 */
export class Talker {
  readonly config: TalkerConfig;
  /** Codes of codebook 0, control ids, languages and speakers, `[codec vocabulary, hidden]`. */
  readonly codecEmbedding: Embedding;
  readonly #runtime: Runtime;
  readonly #parts: TalkerParts;

  constructor(config: TalkerConfig, runtime: Runtime, parts: TalkerParts) {
    this.config = config;
    this.codecEmbedding = parts.codecEmbedding;
    this.#runtime = runtime;
    this.#parts = parts;
  }

  /** A cache for one sequence of up to `capacity` positions. */
  createCache(capacity: number): KvCache {
    return this.#parts.stack.createCache(capacity);
  }

  /** Text embeddings after the projection, `[ids.length, hidden]` on the host. */
  embedText(ids: readonly number[]): Float32Array {
    if (ids.length === 0) return new Float32Array(0);
    const { textEmbedding, textProjection } = this.#parts;
    let rows: Float32Array = new Float32Array(0);
    this.#runtime.run(() => {
      rows = hostRows(textProjection.forward(textEmbedding.lookup(ids)));
      return [];
    });
    return rows;
  }

  /**
   * Prompts of several sequences in one pass, without padding: `embeds` `[rows, hidden]` is consumed.
   * @returns the states of each sequence's last row, `[sequences, hidden]`; the caller's to dispose
   */
  prefill(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    return this.#parts.stack.prefill(embeds, sequences, pause, trace);
  }

  /** Output for states `[rows, hidden]`. To be called inside `runtime.run`. */
  output(hidden: Tensor2D): TalkerOutput {
    return { hidden: hostRows(hidden), logits: hostRows(this.#parts.codecHead.forward(hidden)) };
  }

  /** One position more of each sequence, x `[sequences, hidden]`. To be called inside `runtime.run`. */
  step(x: Tensor2D, sequences: readonly SequenceRows[]): TalkerOutput {
    return this.output(this.#parts.stack.step(x, sequences));
  }
}

/** A tensor's values; they stay valid after it. */
export function hostRows(tensor: Tensor2D): Float32Array {
  return tensor.dataSync<"float32">();
}

/** Rows `[rows, dim]` of the host as a tensor. To be called inside `runtime.run`. */
export function rowsTensor(rows: readonly Float32Array[], dim: number): Tensor2D {
  const data = new Float32Array(rows.length * dim);
  rows.forEach((row, i) => data.set(row, i * dim));
  return tensor2d(data, [rows.length, dim]);
}
