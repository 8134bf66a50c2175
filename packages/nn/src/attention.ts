import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  blockAttention,
  cachedAttention,
  forwardTogether,
  headNormRope,
  type LinearLayer,
  type Runtime,
  type SequenceRows,
  type Vector,
} from "@voxquant/quant-core";
import { loadLinear, loadVector, type WeightSource } from "./weight-source.js";

export interface CachedSelfAttentionConfig {
  readonly hiddenSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly normEps: number;
  readonly ropeTheta: number;
}

/** Qwen3's attention: grouped queries, RMS norm per head of q and k before rotary positions, a key-value cache. */
export class CachedSelfAttention {
  readonly #config: CachedSelfAttentionConfig;
  readonly query: LinearLayer;
  readonly key: LinearLayer;
  readonly value: LinearLayer;
  readonly output: LinearLayer;
  readonly queryNorm: Vector;
  readonly keyNorm: Vector;

  private constructor(
    config: CachedSelfAttentionConfig,
    layers: Record<"query" | "key" | "value" | "output", LinearLayer>,
    queryNorm: Vector,
    keyNorm: Vector,
  ) {
    this.#config = config;
    this.query = layers.query;
    this.key = layers.key;
    this.value = layers.value;
    this.output = layers.output;
    this.queryNorm = queryNorm;
    this.keyNorm = keyNorm;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, config: CachedSelfAttentionConfig) {
    const { hiddenSize, headDim } = config;
    const qDim = config.heads * headDim;
    const kvDim = config.kvHeads * headDim;
    const layers = {
      query: await loadLinear(runtime, source, `${name}.q_proj`, { in: hiddenSize, out: qDim }),
      key: await loadLinear(runtime, source, `${name}.k_proj`, { in: hiddenSize, out: kvDim }),
      value: await loadLinear(runtime, source, `${name}.v_proj`, { in: hiddenSize, out: kvDim }),
      output: await loadLinear(runtime, source, `${name}.o_proj`, { in: qDim, out: hiddenSize }),
    };
    const queryNorm = await loadVector(runtime, source, `${name}.q_norm.weight`, headDim);
    const keyNorm = await loadVector(runtime, source, `${name}.k_norm.weight`, headDim);
    return new CachedSelfAttention(config, layers, queryNorm, keyNorm);
  }

  /**
   * x `[rows, hidden]` of one or several sequences, `positions` `[rows]` → `[rows, hidden]` after the output
   * projection; keys and values of the rows are appended to the caches at `layer`.
   */
  forward(x: Tensor2D, positions: Int32Array, sequences: readonly SequenceRows[], layer: number): Tensor2D {
    const { heads, kvHeads, headDim, normEps: eps, ropeTheta: theta } = this.#config;
    const [q, k, v] = forwardTogether([this.query, this.key, this.value], x);
    const rotatedQ = headNormRope(q!, this.queryNorm, positions, { heads, headDim, eps, theta });
    const rotatedK = headNormRope(k!, this.keyNorm, positions, { heads: kvHeads, headDim, eps, theta });
    const mixed = cachedAttention(rotatedQ, rotatedK, v!, sequences, layer, heads, headDim ** -0.5);
    return this.output.forward(mixed);
  }
}

/** An encoder's attention: every head sees its block of rows in both directions; all projections have biases. */
export class BlockSelfAttention {
  readonly #heads: number;
  readonly #headDim: number;
  readonly #qkv: readonly LinearLayer[];
  readonly #out: LinearLayer;

  private constructor(heads: number, headDim: number, qkv: readonly LinearLayer[], out: LinearLayer) {
    this.#heads = heads;
    this.#headDim = headDim;
    this.#qkv = qkv;
    this.#out = out;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, dim: number, heads: number) {
    const size = { in: dim, out: dim };
    const layers: LinearLayer[] = [];
    for (const part of ["q_proj", "k_proj", "v_proj", "out_proj"]) {
      layers.push(await loadLinear(runtime, source, `${name}.${part}`, size, { bias: true }));
    }
    return new BlockSelfAttention(heads, dim / heads, layers.slice(0, 3), layers[3]!);
  }

  /** x `[rows, dim]`, blocks `[offsets[b], offsets[b + 1])` → `[rows, dim]` after the output projection. */
  forward(x: Tensor2D, offsets: Int32Array): Tensor2D {
    const [q, k, v] = forwardTogether(this.#qkv, x);
    return this.#out.forward(blockAttention(q!, k!, v!, offsets, this.#heads, this.#headDim ** -0.5));
  }
}
