import {
  elementCount,
  quantizeRows,
  type Device,
  type GgmlType,
  type KvCacheShape,
  type Precision,
} from "@voxquant/quant-core";
import type { Qwen3DecoderConfig } from "./qwen3-decoder.js";
import type { WeightSource } from "./weight-source.js";

/** Reproducible values, roughly normal. */
export function gaussian(count: number, seed: number, scale: number): Float32Array {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => scale * (next() + next() + next() + next() - 2));
}

/** Types of a decoder's projections. */
export interface DecoderTypes {
  readonly queryValue: GgmlType;
  readonly key: GgmlType;
  readonly mlp: GgmlType;
}

/** A random decoder's tensors, named `model.…` and `lm_head`. */
export function randomDecoder(
  config: Qwen3DecoderConfig,
  types: DecoderTypes = { queryValue: "F32", key: "F16", mlp: "Q8_0" },
): WeightSource {
  const { vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const tensors = new Map<string, { dtype: GgmlType; shape: number[]; values: Float32Array }>();
  const add = (name: string, dtype: GgmlType, shape: number[], scale = 0.25) => {
    const values = gaussian(elementCount(shape), 7 + tensors.size, scale);
    tensors.set(name, { dtype, shape, values: shape.length === 1 ? values.map((x) => 1 + x) : values });
  };
  add("model.embed_tokens.weight", "BF16", [vocabSize, hiddenSize], 1);
  add("lm_head.weight", "F32", [vocabSize, hiddenSize]);
  add("model.norm.weight", "F32", [hiddenSize]);
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    add(`${layer}.input_layernorm.weight`, "F32", [hiddenSize]);
    add(`${layer}.post_attention_layernorm.weight`, "F32", [hiddenSize]);
    add(`${layer}.self_attn.q_norm.weight`, "F32", [headDim]);
    add(`${layer}.self_attn.k_norm.weight`, "F32", [headDim]);
    add(`${layer}.self_attn.q_proj.weight`, types.queryValue, [heads * headDim, hiddenSize]);
    add(`${layer}.self_attn.k_proj.weight`, types.key, [kvHeads * headDim, hiddenSize]);
    add(`${layer}.self_attn.v_proj.weight`, types.queryValue, [kvHeads * headDim, hiddenSize]);
    add(`${layer}.self_attn.o_proj.weight`, types.queryValue, [hiddenSize, heads * headDim]);
    add(`${layer}.mlp.gate_proj.weight`, types.mlp, [intermediateSize, hiddenSize]);
    add(`${layer}.mlp.up_proj.weight`, types.mlp, [intermediateSize, hiddenSize]);
    add(`${layer}.mlp.down_proj.weight`, types.mlp, [hiddenSize, intermediateSize]);
  }
  return {
    has: (name) => tensors.has(name),
    read: (name) => {
      const { dtype, shape, values } = tensors.get(name)!;
      return Promise.resolve({ name, dtype, shape, bytes: quantizeRows(dtype, values, shape.at(-1)!) });
    },
    readVector: (name) => Promise.resolve(tensors.get(name)!.values),
  };
}

/** A device that counts the caches that are alive. */
export class CountedCaches {
  alive = 0;

  wrap(device: Device): Device {
    return {
      ...device,
      createKvCache: (shape: KvCacheShape, precision?: Precision) => {
        this.alive++;
        return device.createKvCache(shape, precision);
      },
      releaseKvCache: (cache) => {
        this.alive--;
        device.releaseKvCache(cache);
      },
    };
  }
}
