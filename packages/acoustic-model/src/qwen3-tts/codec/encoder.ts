import { elu, pad2d, reshape, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  add,
  addScaled,
  cachedAttention,
  forwardTogether,
  gelu,
  headNormRope,
  type KvCache,
  type LinearLayer,
  type Runtime,
  type Vector,
} from "@voxquant/quant-core";
import { LayerNorm, loadLinear, loadVector, type WeightSource } from "@voxquant/nn";
import { CausalConv, type StreamMemory } from "./causal-conv.js";
import { seanetLayers, type CodecEncoderConfig, type SeanetLayer } from "./config.js";
import type { StageTrace } from "./stage-trace.js";
import { CODEC_PREFIX } from "./tensors.js";

type RunnableLayer =
  | { readonly kind: "elu"; readonly name: string }
  | { readonly kind: "conv"; readonly name: string; readonly stride: number; readonly conv: CausalConv }
  | {
      readonly kind: "residual";
      readonly name: string;
      readonly conv1: CausalConv;
      readonly conv3: CausalConv;
    };

/** The convolutions of the encoder: waveform → features at twice the frame rate (modeling_mimi.py `MimiEncoder`). */
export class Seanet {
  readonly #layers: readonly RunnableLayer[];

  private constructor(layers: readonly RunnableLayer[]) {
    this.#layers = layers;
  }

  static async load(runtime: Runtime, source: WeightSource, config: CodecEncoderConfig): Promise<Seanet> {
    const layers: RunnableLayer[] = [];
    for (const layer of seanetLayers(config)) layers.push(await loadLayer(runtime, source, layer));
    return new Seanet(layers);
  }

  /**
   * The next samples `[rows, 1]` of a clip → features `[rows / product of the strides, hidden]`. Pieces before the last
   * one must be multiples of that product; a layer of the last piece that its stride does not divide gets zeros behind
   * its input (not the waveform behind its end, which would give other features).
   */
  forward(samples: Tensor2D, memory: StreamMemory, trace: StageTrace | null): Tensor2D {
    let x = samples;
    for (const layer of this.#layers) {
      if (layer.kind === "elu") {
        x = elu(x);
      } else if (layer.kind === "conv") {
        x = layer.conv.forward(strided(x, layer.stride), memory);
      } else {
        const hidden = layer.conv1.forward(elu(x), memory);
        trace?.signal(`${layer.name}.block.1`, hidden);
        const branch = layer.conv3.forward(elu(hidden), memory);
        trace?.signal(`${layer.name}.block.3`, branch);
        x = add(x, branch);
      }
      trace?.signal(layer.name, x);
    }
    return x;
  }
}

async function loadLayer(runtime: Runtime, source: WeightSource, layer: SeanetLayer): Promise<RunnableLayer> {
  const name = `seanet.${layer.index}`;
  if (layer.kind === "elu") return { kind: "elu", name };
  const weights = `${CODEC_PREFIX}${name}`;
  if (layer.kind === "conv") {
    // A kernel of two strides over single samples is one of two taps over groups of a stride.
    const { inChannels, outChannels: out, kernel, stride } = layer;
    const size = { in: stride * inChannels, out, kernel: kernel / stride };
    return { kind: "conv", name, stride, conv: await CausalConv.load(runtime, source, weights, size) };
  }
  const { channels, inner, kernel, dilation } = layer;
  return {
    kind: "residual",
    name,
    conv1: await CausalConv.load(runtime, source, `${weights}.block.1`, {
      in: channels,
      out: inner,
      kernel,
      dilation,
    }),
    conv3: await CausalConv.load(runtime, source, `${weights}.block.3`, {
      in: inner,
      out: channels,
      kernel: 1,
    }),
  };
}

/** x `[rows, channels]` as groups of `stride` rows, `[ceil(rows / stride), stride · channels]`. */
function strided(x: Tensor2D, stride: number): Tensor2D {
  if (stride === 1) return x;
  const [rows, channels] = x.shape;
  const groups = Math.ceil(rows / stride);
  const missing = groups * stride - rows;
  const whole =
    missing === 0
      ? x
      : pad2d(x, [
          [0, missing],
          [0, 0],
        ]);
  return reshape(whole, [groups, stride * channels]);
}

interface TransformerLayer {
  readonly attentionNorm: LayerNorm;
  readonly qkv: readonly LinearLayer[];
  readonly out: LinearLayer;
  readonly attentionScale: Vector;
  readonly mlpNorm: LayerNorm;
  readonly fc1: LinearLayer;
  readonly fc2: LinearLayer;
  readonly mlpScale: Vector;
}

/**
 * The transformer over the features (modeling_mimi.py `MimiTransformerModel`). Every feature frame sees all before it:
 * the config's window is not applied by the release of transformers that the official package pins.
 */
export class EncoderTransformer {
  readonly #config: CodecEncoderConfig;
  readonly #layers: readonly TransformerLayer[];

  private constructor(config: CodecEncoderConfig, layers: readonly TransformerLayer[]) {
    this.#config = config;
    this.#layers = layers;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    config: CodecEncoderConfig,
  ): Promise<EncoderTransformer> {
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim, normEps } = config;
    const layers: TransformerLayer[] = [];
    for (let i = 0; i < config.layers; i++) {
      const prefix = `${CODEC_PREFIX}enc_tr.${i}`;
      const linear = (name: string, inputs: number, out: number) =>
        loadLinear(runtime, source, `${prefix}.${name}`, { in: inputs, out });
      const norm = (name: string) =>
        LayerNorm.load(runtime, source, `${prefix}.${name}`, hiddenSize, normEps);
      layers.push({
        attentionNorm: await norm("input_layernorm"),
        qkv: [
          await linear("attn.q_proj", hiddenSize, heads * headDim),
          await linear("attn.k_proj", hiddenSize, kvHeads * headDim),
          await linear("attn.v_proj", hiddenSize, kvHeads * headDim),
        ],
        out: await linear("attn.o_proj", heads * headDim, hiddenSize),
        attentionScale: await loadVector(runtime, source, `${prefix}.attn.scale`, hiddenSize),
        mlpNorm: await norm("post_attention_layernorm"),
        fc1: await linear("mlp.fc1", hiddenSize, intermediateSize),
        fc2: await linear("mlp.fc2", intermediateSize, hiddenSize),
        mlpScale: await loadVector(runtime, source, `${prefix}.mlp.scale`, hiddenSize),
      });
    }
    return new EncoderTransformer(config, layers);
  }

  /** A cache for a clip of this many feature frames. */
  createCache(runtime: Runtime, capacity: number): KvCache {
    const { layers, kvHeads, headDim } = this.#config;
    return runtime.createKvCache({ layers, kvHeads, headDim, capacity });
  }

  /** The next feature frames `[rows, hidden]`, the first of them at `position` → `[rows, hidden]`. */
  forward(features: Tensor2D, cache: KvCache, position: number, trace: StageTrace | null): Tensor2D {
    const { heads, kvHeads, headDim, normEps: eps, ropeTheta: theta } = this.#config;
    const count = features.shape[0];
    const positions = Int32Array.from({ length: count }, (_, i) => position + i);
    const sequence = { cache, start: 0, count, position };
    let x = features;
    this.#layers.forEach((layer, i) => {
      const [q, k, v] = forwardTogether(layer.qkv, layer.attentionNorm.forward(x));
      const rotatedQ = headNormRope(q!, null, positions, { heads, headDim, eps, theta });
      const rotatedK = headNormRope(k!, null, positions, { heads: kvHeads, headDim, eps, theta });
      const mixed = cachedAttention(rotatedQ, rotatedK, v!, [sequence], i, heads, headDim ** -0.5);
      const attended = layer.out.forward(mixed);
      trace?.rows(`enc_tr.${i}.attn`, attended);
      x = addScaled(x, attended, layer.attentionScale);
      const widened = layer.fc2.forward(gelu(layer.fc1.forward(layer.mlpNorm.forward(x))));
      trace?.rows(`enc_tr.${i}.mlp`, widened);
      x = addScaled(x, widened, layer.mlpScale);
      trace?.rows(`enc_tr.${i}`, x);
    });
    return x;
  }
}
