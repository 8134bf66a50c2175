import { qwen3LayerShapes, type Qwen3Sizes, type TensorRole, type TensorShape } from "@voxquant/cli-core";

/** Sizes of a Qwen3-ASR checkpoint, under the names of its config.json. */
export interface Qwen3AsrSizes extends Qwen3Sizes {
  readonly d_model: number;
  readonly encoder_layers: number;
  readonly encoder_attention_heads: number;
  readonly encoder_ffn_dim: number;
  readonly output_dim: number;
  readonly downsample_hidden_size: number;
  readonly num_mel_bins: number;
  readonly vocab_size: number;
  readonly tie_word_embeddings: boolean;
}

const SHARED = {
  downsample_hidden_size: 480,
  num_mel_bins: 128,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 151936,
  tie_word_embeddings: true,
} as const;

/** The published checkpoints (their config.json). */
export const SYNTHETIC_SIZES = {
  "qwen3-asr-0.6b": {
    ...SHARED,
    d_model: 896,
    encoder_layers: 18,
    encoder_attention_heads: 14,
    encoder_ffn_dim: 3584,
    output_dim: 1024,
    hidden_size: 1024,
    intermediate_size: 3072,
  },
  "qwen3-asr-1.7b": {
    ...SHARED,
    d_model: 1024,
    encoder_layers: 24,
    encoder_attention_heads: 16,
    encoder_ffn_dim: 4096,
    output_dim: 2048,
    hidden_size: 2048,
    intermediate_size: 6144,
  },
} as const satisfies Record<string, Qwen3AsrSizes>;

export type SyntheticName = keyof typeof SYNTHETIC_SIZES;

/** Every tensor of a checkpoint of these sizes, the stored copy of a tied head included. */
export function qwen3AsrShapes(sizes: Qwen3AsrSizes): TensorShape[] {
  return [...encoderShapes(sizes), ...decoderShapes(sizes)];
}

function encoderShapes(sizes: Qwen3AsrSizes): TensorShape[] {
  const { d_model: dim, encoder_ffn_dim: ffn, downsample_hidden_size: channels } = sizes;
  const tower = "thinker.audio_tower.";
  const layerNorm = (name: string): TensorShape[] => [
    { name: `${name}.weight`, role: "norm", shape: [dim] },
    { name: `${name}.bias`, role: "bias", shape: [dim] },
  ];
  const withBias = (name: string, role: TensorRole, shape: readonly number[]): TensorShape[] => [
    { name: `${name}.weight`, role, shape },
    { name: `${name}.bias`, role: "bias", shape: [shape[0]!] },
  ];
  const melRows = Math.ceil(sizes.num_mel_bins / 8); // three convolutions of stride 2
  const list = [
    ...withBias(`${tower}conv2d1`, "conv2d", [channels, 1, 3, 3]),
    ...withBias(`${tower}conv2d2`, "conv2d", [channels, channels, 3, 3]),
    ...withBias(`${tower}conv2d3`, "conv2d", [channels, channels, 3, 3]),
    { name: `${tower}conv_out.weight`, role: "linear", shape: [dim, channels * melRows] } as const,
  ];
  for (let i = 0; i < sizes.encoder_layers; i++) {
    const layer = `${tower}layers.${i}.`;
    list.push(...layerNorm(`${layer}self_attn_layer_norm`));
    for (const name of ["q_proj", "k_proj", "v_proj"]) {
      list.push(...withBias(`${layer}self_attn.${name}`, "linear", [dim, dim]));
    }
    list.push(...withBias(`${layer}self_attn.out_proj`, "attention-output", [dim, dim]));
    list.push(...layerNorm(`${layer}final_layer_norm`));
    list.push(...withBias(`${layer}fc1`, "linear", [ffn, dim]));
    list.push(...withBias(`${layer}fc2`, "mlp-output", [dim, ffn]));
  }
  list.push(...layerNorm(`${tower}ln_post`));
  list.push(...withBias(`${tower}proj1`, "linear", [dim, dim]));
  list.push(...withBias(`${tower}proj2`, "linear", [sizes.output_dim, dim]));
  return list;
}

function decoderShapes(sizes: Qwen3AsrSizes): TensorShape[] {
  const shape = [sizes.vocab_size, sizes.hidden_size];
  return [
    { name: "thinker.model.embed_tokens.weight", role: "embedding", shape },
    ...qwen3LayerShapes("thinker.model.", sizes),
    { name: "thinker.lm_head.weight", role: "linear", shape },
  ];
}
