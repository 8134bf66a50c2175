import { concat2d, slice2d, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  ConfigError,
  Embedding,
  LinearLayer,
  type KvCache,
  type Runtime,
  type SequenceRows,
} from "@voxquant/quant-core";
import { DecoderLayer } from "./decoder-layer.js";
import type { EventLoopBreak } from "./event-loop.js";
import { RmsNorm } from "./norms.js";
import { traceTensor, type TraceSink } from "./trace.js";
import type { WeightSource } from "./weight-source.js";

export interface Qwen3DecoderConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly normEps: number;
  readonly ropeTheta: number;
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
  readonly #runtime: Runtime;
  readonly #layers: readonly DecoderLayer[];
  readonly #norm: RmsNorm;

  private constructor(
    config: Qwen3DecoderConfig,
    runtime: Runtime,
    embedding: Embedding,
    head: LinearLayer,
    layers: readonly DecoderLayer[],
    norm: RmsNorm,
  ) {
    this.config = config;
    this.embedding = embedding;
    this.head = head;
    this.#runtime = runtime;
    this.#layers = layers;
    this.#norm = norm;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    names: Qwen3DecoderNames,
    config: Qwen3DecoderConfig,
  ) {
    const { hiddenSize, normEps } = config;
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
    const layers: DecoderLayer[] = [];
    for (let i = 0; i < config.layers; i++) {
      layers.push(await DecoderLayer.load(runtime, source, `${names.model}layers.${i}`, i, config));
    }
    const norm = await RmsNorm.load(runtime, source, `${names.model}norm`, hiddenSize, normEps);
    return new Qwen3Decoder(config, runtime, embedding, head, layers, norm);
  }

  /** A cache for one sequence of up to `capacity` tokens. */
  createCache(capacity: number): KvCache {
    const { layers, kvHeads, headDim } = this.config;
    return this.#runtime.createKvCache({ layers, kvHeads, headDim, capacity });
  }

  /**
   * Hidden states after the final norm, `[rows, hidden]`. `embeds` `[rows, hidden]` is consumed (disposed). The rows of
   * each sequence continue it at its `position`; sequences may have any number of rows, there is no padding.
   */
  async forward(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    const positions = new Int32Array(embeds.shape[0]);
    for (const { start, count, position } of sequences) {
      for (let i = 0; i < count; i++) positions[start + i] = position + i;
    }
    let x = embeds;
    let normed = this.#runtime.run(() => this.#layers[0]!.inputNorm.forward(x));
    for (let i = 0; i < this.#layers.length; i++) {
      const layer = this.#layers[i]!;
      const nextNorm = this.#layers[i + 1]?.inputNorm ?? this.#norm;
      const next = this.#runtime.run(() => layer.forward(x, normed, nextNorm, positions, sequences, trace));
      x.dispose();
      normed.dispose();
      [x, normed] = next;
      try {
        await pause.pass();
      } catch (error) {
        x.dispose();
        normed.dispose();
        throw error;
      }
    }
    x.dispose();
    traceTensor(trace, "dec_norm", normed);
    return normed;
  }

  /** Row `rows[i]` of x `[n, hidden]` for each i. */
  pickRows(x: Tensor2D, rows: readonly number[]): Tensor2D {
    return this.#runtime.run(() =>
      concat2d(
        rows.map((row) => slice2d(x, [row, 0], [1, x.shape[1]])),
        0,
      ),
    );
  }
}
