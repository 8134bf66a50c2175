import { ConfigError } from "../errors.js";
import type { WritableMetadataValue } from "../formats/gguf-writer.js";
import type { LlamaCppLayout } from "./recipe.js";

/** Sizes of a Qwen3 text decoder, as in a Hugging Face text config. */
export interface Qwen3Geometry {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly feedForwardSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly contextLength: number;
  readonly ropeTheta: number;
  readonly rmsNormEps: number;
  readonly vocabSize: number;
}

/** A byte-level BPE tokenizer, as in vocab.json, merges.txt and tokenizer_config.json. */
export interface BpeVocabulary {
  /** Token (bytes in the printable GPT-2 alphabet) to id. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Lines "left right" by rank, without the version line. */
  readonly merges: readonly string[];
  /** Added tokens; special ones are never in text. */
  readonly added: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly eosId: number;
  readonly padId: number;
}

/** Values of `tokenizer.ggml.token_type`. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

/** Tensor names inside a layer: checkpoint to llama.cpp. */
const LAYER_NAMES: ReadonlyMap<string, string> = new Map([
  ["input_layernorm.weight", "attn_norm.weight"],
  ["self_attn.q_proj.weight", "attn_q.weight"],
  ["self_attn.k_proj.weight", "attn_k.weight"],
  ["self_attn.v_proj.weight", "attn_v.weight"],
  ["self_attn.o_proj.weight", "attn_output.weight"],
  ["self_attn.q_norm.weight", "attn_q_norm.weight"],
  ["self_attn.k_norm.weight", "attn_k_norm.weight"],
  ["post_attention_layernorm.weight", "ffn_norm.weight"],
  ["mlp.gate_proj.weight", "ffn_gate.weight"],
  ["mlp.up_proj.weight", "ffn_up.weight"],
  ["mlp.down_proj.weight", "ffn_down.weight"],
]);

/**
 * The layout of a Qwen3 decoder for llama.cpp (architecture `qwen3`).
 * @param prefix of the decoder's tensors, such as `thinker.model.`
 * @param head name of the output matrix, written unless the profile says that it is tied
 * @throws ConfigError if the tokenizer has more tokens than the embedding has rows
 */
export function qwen3Layout(
  prefix: string,
  head: string,
  geometry: Qwen3Geometry,
  vocabulary: BpeVocabulary,
): LlamaCppLayout {
  const names = new Map([
    [`${prefix}embed_tokens.weight`, "token_embd.weight"],
    [`${prefix}norm.weight`, "output_norm.weight"],
    [head, "output.weight"],
  ]);
  for (let layer = 0; layer < geometry.layers; layer++) {
    for (const [name, short] of LAYER_NAMES)
      names.set(`${prefix}layers.${layer}.${name}`, `blk.${layer}.${short}`);
  }
  return {
    architecture: "qwen3",
    nameOf: (name) => names.get(name) ?? null,
    metadata: new Map([...geometryMetadata(geometry), ...tokenizerMetadata(vocabulary, geometry.vocabSize)]),
  };
}

function geometryMetadata(geometry: Qwen3Geometry): Map<string, WritableMetadataValue> {
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const f32 = (value: number) => ({ type: "f32", value }) as const;
  return new Map<string, WritableMetadataValue>([
    ["qwen3.block_count", u32(geometry.layers)],
    ["qwen3.context_length", u32(geometry.contextLength)],
    ["qwen3.embedding_length", u32(geometry.hiddenSize)],
    ["qwen3.feed_forward_length", u32(geometry.feedForwardSize)],
    ["qwen3.attention.head_count", u32(geometry.heads)],
    ["qwen3.attention.head_count_kv", u32(geometry.kvHeads)],
    ["qwen3.attention.key_length", u32(geometry.headDim)],
    ["qwen3.attention.value_length", u32(geometry.headDim)],
    ["qwen3.attention.layer_norm_rms_epsilon", f32(geometry.rmsNormEps)],
    ["qwen3.rope.freq_base", f32(geometry.ropeTheta)],
  ]);
}

function tokenizerMetadata(vocabulary: BpeVocabulary, vocabSize: number): Map<string, WritableMetadataValue> {
  // Rows of the embedding that no token has are named like this by llama.cpp's own converter too.
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(vocabSize).fill(UNUSED);
  const set = (id: number, token: string, type: number) => {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabSize)) {
      throw new ConfigError(
        `token ${JSON.stringify(token)} has id ${id}, the embedding has ${vocabSize} rows`,
      );
    }
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of vocabulary.vocab) set(id, token, NORMAL);
  for (const { id, content, special } of vocabulary.added) set(id, content, special ? CONTROL : USER_DEFINED);
  return new Map<string, WritableMetadataValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "qwen2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", types],
    ["tokenizer.ggml.merges", [...vocabulary.merges]],
    ["tokenizer.ggml.eos_token_id", { type: "u32", value: vocabulary.eosId }],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: vocabulary.padId }],
    ["tokenizer.ggml.padding_token_id", { type: "u32", value: vocabulary.padId }],
    ["tokenizer.ggml.add_bos_token", false],
  ]);
}
