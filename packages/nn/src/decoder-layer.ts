import type { Tensor2D } from "@tensorflow/tfjs-core";
import { FusedDecoderLayer, type Runtime, type SequenceRows } from "@voxquant/quant-core";
import { CachedSelfAttention, type CachedSelfAttentionConfig } from "./attention.js";
import { SwigluMlp } from "./mlp.js";
import { RmsNorm } from "./norms.js";
import { traceTensor, within, type TraceSink } from "./trace.js";
import type { WeightSource } from "./weight-source.js";

export interface DecoderLayerConfig extends CachedSelfAttentionConfig {
  readonly intermediateSize: number;
}

/** A pre-norm layer of the Qwen3 decoder (modeling_qwen3.py `Qwen3DecoderLayer`). */
export class DecoderLayer {
  readonly inputNorm: RmsNorm;
  /** The layer as one op; null where the device has none. */
  readonly fused: FusedDecoderLayer | null;
  readonly #runtime: Runtime;
  readonly #index: number;
  readonly #attention: CachedSelfAttention;
  readonly #mlpNorm: RmsNorm;
  readonly #mlp: SwigluMlp;

  private constructor(
    runtime: Runtime,
    index: number,
    config: DecoderLayerConfig,
    parts: { inputNorm: RmsNorm; attention: CachedSelfAttention; mlpNorm: RmsNorm; mlp: SwigluMlp },
  ) {
    const { attention, mlp } = parts;
    this.#runtime = runtime;
    this.#index = index;
    this.inputNorm = parts.inputNorm;
    this.#attention = attention;
    this.#mlpNorm = parts.mlpNorm;
    this.#mlp = mlp;
    this.fused = FusedDecoderLayer.create(runtime, {
      query: attention.query,
      key: attention.key,
      value: attention.value,
      output: attention.output,
      gate: mlp.gate,
      up: mlp.up,
      down: mlp.down,
      queryNorm: attention.queryNorm,
      keyNorm: attention.keyNorm,
      mlpNorm: parts.mlpNorm.gamma,
      heads: config.heads,
      kvHeads: config.kvHeads,
      headDim: config.headDim,
      eps: config.normEps,
      theta: config.ropeTheta,
    });
  }

  /** Layer `index` of a checkpoint, whose tensors' names begin with `name`. */
  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    index: number,
    config: DecoderLayerConfig,
  ): Promise<DecoderLayer> {
    const { hiddenSize, intermediateSize, normEps } = config;
    const norm = (part: string) => RmsNorm.load(runtime, source, `${name}.${part}`, hiddenSize, normEps);
    return new DecoderLayer(runtime, index, config, {
      inputNorm: await norm("input_layernorm"),
      attention: await CachedSelfAttention.load(runtime, source, `${name}.self_attn`, config),
      mlpNorm: await norm("post_attention_layernorm"),
      mlp: await SwigluMlp.load(runtime, source, `${name}.mlp`, hiddenSize, intermediateSize),
    });
  }

  /**
   * x (the residual stream) and its norm `[rows, hidden]` → the stream after this layer and that stream's `nextNorm`.
   * One fused op where the device has it, unless someone watches what happens inside.
   */
  forward(
    x: Tensor2D,
    normed: Tensor2D,
    nextNorm: RmsNorm,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    trace?: TraceSink,
  ): [sum: Tensor2D, normed: Tensor2D] {
    if (this.fused !== null && trace === undefined && this.#runtime.observe === null) {
      return this.fused.forward(x, normed, nextNorm.gamma, positions, sequences, this.#index);
    }
    const name = `layer${this.#index}`;
    traceTensor(trace, `${name}.input_norm`, normed);
    const inside = trace && within(trace, name);
    const mixed = this.#attention.forward(normed, positions, sequences, this.#index, inside);
    const [sum, forMlp] = this.#mlpNorm.addForward(x, mixed);
    traceTensor(trace, `${name}.post_norm`, forMlp);
    const mlp = this.#mlp.forward(forMlp);
    traceTensor(trace, `${name}.mlp`, mlp);
    const next = nextNorm.addForward(sum, mlp);
    traceTensor(trace, name, next[0]);
    return next;
  }
}
