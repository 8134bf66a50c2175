import type { Qwen3TtsConfig } from "./config.js";
import {
  CODE_PREDICTOR_PREFIX,
  CODEC_EMBEDDING_NAME,
  CODEC_HEAD_NAME,
  groupEmbeddingName,
  groupHeadName,
  PREDICTOR_PROJECTION_NAME,
  SPEAKER_ENCODER_PREFIX,
  TALKER_PREFIX,
  TEXT_EMBEDDING_NAME,
  TEXT_PROJECTION_NAME,
} from "./weights.js";

const DECODER_LAYER = [
  ...["input_layernorm", "post_attention_layernorm"],
  ...["q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"].map((name) => `self_attn.${name}`),
  ...["gate_proj", "up_proj", "down_proj"].map((name) => `mlp.${name}`),
].map((name) => `${name}.weight`);

/** Names of all tensors that talker, code predictor and speaker encoder of this config need (official layout). */
export function expectedTensors({ talker, predictor, codeGroups, speakerEncoder }: Qwen3TtsConfig): string[] {
  const names = [TEXT_EMBEDDING_NAME, CODEC_EMBEDDING_NAME, `${CODEC_HEAD_NAME}.weight`];
  for (const layer of ["linear_fc1", "linear_fc2"])
    names.push(...parameters(`${TEXT_PROJECTION_NAME}.${layer}`));
  names.push(...stack(`${TALKER_PREFIX}model.`, talker.layers));
  names.push(...stack(`${CODE_PREDICTOR_PREFIX}model.`, predictor.layers));
  if (talker.hiddenSize !== predictor.hiddenSize) names.push(...parameters(PREDICTOR_PROJECTION_NAME));
  for (let group = 1; group < codeGroups; group++) {
    names.push(groupEmbeddingName(group), `${groupHeadName(group)}.weight`);
  }
  if (speakerEncoder !== null) {
    const { channels, res2netScale } = speakerEncoder;
    const last = channels.length - 1;
    const convs = ["blocks.0.conv", "mfa.conv", "asp.tdnn.conv", "asp.conv", "fc"];
    for (let i = 1; i < last; i++) {
      const block = ["tdnn1.conv", "tdnn2.conv", "se_block.conv1", "se_block.conv2"];
      for (let j = 0; j < res2netScale - 1; j++) block.push(`res2net_block.blocks.${j}.conv`);
      convs.push(...block.map((name) => `blocks.${i}.${name}`));
    }
    names.push(...convs.flatMap((name) => parameters(SPEAKER_ENCODER_PREFIX + name)));
  }
  return names;
}

function parameters(name: string): string[] {
  return [`${name}.weight`, `${name}.bias`];
}

function stack(prefix: string, layers: number): string[] {
  const names = [`${prefix}norm.weight`];
  for (let i = 0; i < layers; i++) names.push(...DECODER_LAYER.map((name) => `${prefix}layers.${i}.${name}`));
  return names;
}
