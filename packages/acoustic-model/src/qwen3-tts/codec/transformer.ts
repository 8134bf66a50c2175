import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  addScaled,
  cachedAttention,
  forwardTogether,
  headNormRope,
  type KvCache,
  type LinearLayer,
  type Runtime,
  type SequenceRows,
  type Vector,
} from "@voxquant/quant-core";
import { loadLinear, loadVector, RmsNorm, SwigluMlp, type WeightSource } from "@voxquant/nn";
import type { CodecDecoderConfig } from "./config.js";
import type { StageTrace } from "./stage-trace.js";

/** Rows of one stream at their place in it. */
export interface TransformerRows {
  /** Positions in the whole stream, for the rotary embedding. */
  readonly positions: Int32Array;
  /** The same rows in the stream's cache, which has forgotten what no window reaches. */
  readonly sequences: readonly SequenceRows[];
}

/** A step over a signal; its input is the step before's output. */
export type Step = (x: Tensor2D) => Tensor2D;

/** The transformer between the first convolution and the upsampling (`…V2DecoderTransformerModel`). */
export class CodecTransformer {
  readonly #config: CodecDecoderConfig;
  readonly #inputProj: LinearLayer;
  readonly #layers: readonly CodecTransformerLayer[];
  readonly #norm: RmsNorm;
  readonly #outputProj: LinearLayer;

  private constructor(
    config: CodecDecoderConfig,
    layers: readonly CodecTransformerLayer[],
    norm: RmsNorm,
    [inputProj, outputProj]: readonly [LinearLayer, LinearLayer],
  ) {
    this.#config = config;
    this.#layers = layers;
    this.#norm = norm;
    this.#inputProj = inputProj;
    this.#outputProj = outputProj;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    config: CodecDecoderConfig,
  ): Promise<CodecTransformer> {
    const { hiddenSize, latentDim, normEps } = config;
    const bias = { bias: true };
    const inputSize = { in: latentDim, out: hiddenSize };
    const outputSize = { in: hiddenSize, out: latentDim };
    const inputProj = await loadLinear(runtime, source, "codec.pt.input_proj", inputSize, bias);
    const layers: CodecTransformerLayer[] = [];
    for (let i = 0; i < config.layers; i++) {
      layers.push(await CodecTransformerLayer.load(runtime, source, i, config));
    }
    const norm = await RmsNorm.load(runtime, source, "codec.pt.norm", hiddenSize, normEps);
    const outputProj = await loadLinear(runtime, source, "codec.pt.output_proj", outputSize, bias);
    return new CodecTransformer(config, layers, norm, [inputProj, outputProj]);
  }

  /** A cache that takes `rows` at once while it keeps what their windows reach back to. */
  createCache(runtime: Runtime, rows: number): KvCache {
    const { layers, kvHeads, headDim, window } = this.#config;
    return runtime.createKvCache({ layers, kvHeads, headDim, capacity: window - 1 + rows });
  }

  /** x `[rows, latent]` → `[rows, latent]`, layer by layer; keys and values of the rows go to the cache. */
  steps(rows: TransformerRows, trace: StageTrace | null): Step[] {
    return [
      (x) => {
        const hidden = this.#inputProj.forward(x);
        trace?.rows("pt.input_proj", hidden);
        return hidden;
      },
      ...this.#layers.map(
        (layer): Step =>
          (x) =>
            layer.forward(x, rows, trace),
      ),
      (x) => {
        const normed = this.#norm.forward(x);
        trace?.rows("pt.norm", normed);
        const latent = this.#outputProj.forward(normed);
        trace?.rows("pt.output_proj", latent);
        return latent;
      },
    ];
  }
}

interface LayerParts {
  readonly attentionNorm: RmsNorm;
  readonly query: LinearLayer;
  readonly key: LinearLayer;
  readonly value: LinearLayer;
  readonly output: LinearLayer;
  readonly attentionScale: Vector;
  readonly mlpNorm: RmsNorm;
  readonly mlp: SwigluMlp;
  readonly mlpScale: Vector;
}

/** A pre-norm layer with sliding-window attention, whose branches are scaled per channel before they are added. */
class CodecTransformerLayer {
  readonly #index: number;
  readonly #config: CodecDecoderConfig;
  readonly #parts: LayerParts;

  private constructor(index: number, config: CodecDecoderConfig, parts: LayerParts) {
    this.#index = index;
    this.#config = config;
    this.#parts = parts;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    index: number,
    config: CodecDecoderConfig,
  ): Promise<CodecTransformerLayer> {
    const name = `codec.pt.${index}`;
    const { hiddenSize, normEps, attentionBias: bias } = config;
    const qDim = config.heads * config.headDim;
    const kvDim = config.kvHeads * config.headDim;
    const norm = (part: string) => RmsNorm.load(runtime, source, `${name}.${part}`, hiddenSize, normEps);
    const project = (part: string, inputs: number, out: number) =>
      loadLinear(runtime, source, `${name}.attn.${part}`, { in: inputs, out }, { bias });
    return new CodecTransformerLayer(index, config, {
      attentionNorm: await norm("input_layernorm"),
      query: await project("q_proj", hiddenSize, qDim),
      key: await project("k_proj", hiddenSize, kvDim),
      value: await project("v_proj", hiddenSize, kvDim),
      output: await project("o_proj", qDim, hiddenSize),
      attentionScale: await loadVector(runtime, source, `${name}.attn.scale`, hiddenSize),
      mlpNorm: await norm("post_attention_layernorm"),
      mlp: await SwigluMlp.load(runtime, source, `${name}.mlp`, hiddenSize, config.intermediateSize),
      mlpScale: await loadVector(runtime, source, `${name}.mlp.scale`, hiddenSize),
    });
  }

  /** x `[rows, hidden]` → `[rows, hidden]` */
  forward(x: Tensor2D, rows: TransformerRows, trace: StageTrace | null): Tensor2D {
    const { attentionNorm, attentionScale, mlpNorm, mlp, mlpScale } = this.#parts;
    const name = `pt.${this.#index}`;
    const normed = attentionNorm.forward(x);
    trace?.rows(`${name}.input_layernorm`, normed);
    const mixed = this.#attend(normed, rows);
    trace?.rows(`${name}.attn`, mixed);
    const attended = addScaled(x, mixed, attentionScale);
    const widened = mlp.forward(mlpNorm.forward(attended));
    trace?.rows(`${name}.mlp`, widened);
    const result = addScaled(attended, widened, mlpScale);
    trace?.rows(name, result);
    return result;
  }

  #attend(x: Tensor2D, { positions, sequences }: TransformerRows): Tensor2D {
    const { heads, kvHeads, headDim, normEps: eps, ropeTheta: theta, window } = this.#config;
    const { query, key, value, output } = this.#parts;
    const [q, k, v] = forwardTogether([query, key, value], x);
    const rotatedQ = headNormRope(q!, null, positions, { heads, headDim, eps, theta });
    const rotatedK = headNormRope(k!, null, positions, { heads: kvHeads, headDim, eps, theta });
    const scale = headDim ** -0.5;
    return output.forward(
      cachedAttention(rotatedQ, rotatedK, v!, sequences, this.#index, heads, scale, window),
    );
  }
}
