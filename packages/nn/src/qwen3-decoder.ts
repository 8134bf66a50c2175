import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  ConfigError,
  Embedding,
  LinearLayer,
  type KvCache,
  type Runtime,
  type SequenceRows,
} from "@voxquant/quant-core";
import { DecoderStack, type DecoderStackConfig } from "./decoder-stack.js";
import type { EventLoopBreak } from "./event-loop.js";
import type { TraceSink } from "./trace.js";
import type { WeightSource } from "./weight-source.js";

export interface Qwen3DecoderConfig extends DecoderStackConfig {
  readonly vocabSize: number;
}

/** Tensor names of a decoder in its checkpoint: `model` before `layers.0…`, `head` null where the embedding is the head. */
export interface Qwen3DecoderNames {
  readonly model: string;
  readonly head: string | null;
}

/** The Qwen3 text decoder (transformers `modeling_qwen3.py`): token embedding, pre-norm layers, final norm, head. */
export class Qwen3Decoder {
  readonly config: Qwen3DecoderConfig;
  readonly embedding: Embedding;
  readonly head: LinearLayer;
  readonly #stack: DecoderStack;

  private constructor(
    config: Qwen3DecoderConfig,
    embedding: Embedding,
    head: LinearLayer,
    stack: DecoderStack,
  ) {
    this.config = config;
    this.embedding = embedding;
    this.head = head;
    this.#stack = stack;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    names: Qwen3DecoderNames,
    config: Qwen3DecoderConfig,
  ) {
    const { hiddenSize } = config;
    const table = await source.read(`${names.model}embed_tokens.weight`);
    const embedding = new Embedding(runtime, table);
    if (embedding.dim !== hiddenSize) {
      throw new ConfigError(
        `${table.name} has rows of ${embedding.dim}, the model's config asks for ${hiddenSize}`,
      );
    }
    const head = LinearLayer.create(
      runtime,
      names.head === null ? table : await source.read(`${names.head}.weight`),
    );
    const stack = await DecoderStack.load(runtime, source, names.model, config);
    return new Qwen3Decoder(config, embedding, head, stack);
  }

  /** A cache for one sequence of up to `capacity` tokens. */
  createCache(capacity: number): KvCache {
    return this.#stack.createCache(capacity);
  }

  /**
   * Hidden states after the final norm, `[rows, hidden]`. `embeds` `[rows, hidden]` is consumed (disposed). The rows of
   * each sequence continue it at its `position`; sequences may have any number of rows, there is no padding.
   * @param trace receives `dec_attn_N`, `dec_layer_N` and `dec_norm`
   */
  forward(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    return this.#stack.forward(embeds, sequences, pause, trace && recogniserNames(trace));
  }

  /**
   * The same for prompts of which only each sequence's last row is asked for, `[sequences, hidden]`: less work in the last
   * layer, same values.
   */
  prefill(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    return this.#stack.prefill(embeds, sequences, pause, trace && recogniserNames(trace));
  }

  /** A decode step: hidden states of each sequence's next row. `embeds` is consumed. */
  decode(embeds: Tensor2D, sequences: readonly SequenceRows[], pause: EventLoopBreak): Promise<Tensor2D> {
    return this.#stack.decode(embeds, sequences, pause);
  }

  /** Row `rows[i]` of x `[n, hidden]` for each i. */
  pickRows(x: Tensor2D, rows: readonly number[]): Tensor2D {
    return this.#stack.pickRows(x, rows);
  }
}

/** The stack's stages under the names that the recogniser's reference vectors have; the others are left out. */
function recogniserNames(trace: TraceSink): TraceSink {
  return (name, tensor) => {
    const stage = /^layer(\d+)(\.o_proj)?$/.exec(name);
    if (stage !== null) trace(`dec_${stage[2] === undefined ? "layer" : "attn"}_${stage[1]}`, tensor);
    if (name === "norm_out") trace("dec_norm", tensor);
  };
}
