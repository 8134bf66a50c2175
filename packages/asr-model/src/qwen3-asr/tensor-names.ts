import type { Qwen3AsrConfig } from "./config.js";
import { AUDIO_TOWER_PREFIX, DECODER_PREFIX, HEAD_NAME } from "./weights.js";

const ENCODER_LAYER = [
  ...["self_attn_layer_norm", "final_layer_norm", "fc1", "fc2"],
  ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => `self_attn.${name}`),
].flatMap((name) => [`${name}.weight`, `${name}.bias`]);

const DECODER_LAYER = [
  ...["input_layernorm", "post_attention_layernorm"],
  ...["q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"].map((name) => `self_attn.${name}`),
  ...["gate_proj", "up_proj", "down_proj"].map((name) => `mlp.${name}`),
].map((name) => `${name}.weight`);

/** Names of all tensors that a model of this config needs (official layout). */
export function expectedTensors(config: Qwen3AsrConfig): string[] {
  const encoder = ["conv2d1", "conv2d2", "conv2d3", "ln_post", "proj1", "proj2"].flatMap((name) => [
    `${name}.weight`,
    `${name}.bias`,
  ]);
  encoder.push("conv_out.weight");
  for (let i = 0; i < config.encoder.layers; i++)
    encoder.push(...ENCODER_LAYER.map((name) => `layers.${i}.${name}`));
  const decoder = ["embed_tokens.weight", "norm.weight"];
  for (let i = 0; i < config.decoder.layers; i++)
    decoder.push(...DECODER_LAYER.map((name) => `layers.${i}.${name}`));
  return [
    ...encoder.map((name) => AUDIO_TOWER_PREFIX + name),
    ...decoder.map((name) => DECODER_PREFIX + name),
    ...(config.tiedHead ? [] : [`${HEAD_NAME}.weight`]),
  ];
}
