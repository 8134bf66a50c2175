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
import { traceTensor, type TraceSink } from "./trace.js";
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
  forward(
    x: Tensor2D,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    layer: number,
    trace?: TraceSink,
  ): Tensor2D {
    const { heads, kvHeads, headDim, normEps: eps, ropeTheta: theta } = this.#config;
    const queryHeads = { heads, headDim, eps, theta };
    const keyHeads = { heads: kvHeads, headDim, eps, theta };
    const [q, k, v] = forwardTogether([this.query, this.key, this.value], x);
    const rotatedQ = headNormRope(q!, this.queryNorm, positions, queryHeads);
    const rotatedK = headNormRope(k!, this.keyNorm, positions, keyHeads);
    const mixed = cachedAttention(rotatedQ, rotatedK, v!, sequences, layer, heads, headDim ** -0.5);
    const out = this.output.forward(mixed);
    if (trace !== undefined) {
      const unrotated = new Int32Array(positions.length); // at position 0 a rotation does nothing
      traceTensor(trace, "q_proj", q!);
      traceTensor(trace, "k_proj", k!);
      traceTensor(trace, "v_proj", v!);
      traceTensor(trace, "q_norm", headNormRope(q!, this.queryNorm, unrotated, queryHeads));
      traceTensor(trace, "k_norm", headNormRope(k!, this.keyNorm, unrotated, keyHeads));
      traceTensor(trace, "q_rope", rotatedQ);
      traceTensor(trace, "k_rope", rotatedK);
      if (positions[0] === 0) trace("probs", lastRowProbabilities(rotatedQ, rotatedK, this.#config));
      traceTensor(trace, "attn", mixed);
      traceTensor(trace, "o_proj", out);
    }
    return out;
  }
}

/** What the last row of a prompt attends to, per head `[heads, rows]`; the kernels never keep it. */
function lastRowProbabilities(
  q: Tensor2D,
  k: Tensor2D,
  { heads, kvHeads, headDim }: CachedSelfAttentionConfig,
): { shape: readonly number[]; data: Float32Array } {
  const rows = q.shape[0];
  const queries = q.dataSync();
  const keys = k.dataSync();
  const data = new Float32Array(heads * rows);
  for (let head = 0; head < heads; head++) {
    const queryAt = ((rows - 1) * heads + head) * headDim;
    const kvHead = Math.floor((head * kvHeads) / heads);
    const scores = Array.from({ length: rows }, (_, row) => {
      const keyAt = (row * kvHeads + kvHead) * headDim;
      let dot = 0;
      for (let i = 0; i < headDim; i++) dot += queries[queryAt + i]! * keys[keyAt + i]!;
      return dot / Math.sqrt(headDim);
    });
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    weights.forEach((weight, row) => (data[head * rows + row] = weight / sum));
  }
  return { shape: [heads, rows], data };
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
