import {
  ConfigError,
  GENERIC_PROFILE,
  MODEL_FILES,
  type LlamaCppLayout,
  type ModelFiles,
  type QuantizeProfile,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import { ByteLevelBpe } from "@voxquant/text";
import { parseQwen3AsrConfig, type Qwen3AsrConfig } from "./config.js";
import { DECODER_PREFIX, HEAD_NAME } from "./weights.js";

/**
 * How this family is quantized, as far as names tell: what holds for every checkpoint. `qwen3AsrQuantizeProfile` adds what
 * a checkpoint's own files say (the tied head, llama.cpp's layout).
 */
export const QWEN3_ASR_QUANTIZE_PROFILE: QuantizeProfile = {
  ...GENERIC_PROFILE,
  architecture: "qwen3-asr",
  // RustASR's default: the decoder alone, the encoder stays in the safetensors.
  defaultScope: DECODER_PREFIX,
  isEmbedding: (name) => name.endsWith("embed_tokens.weight"),
  files: MODEL_FILES,
};

/**
 * The profile of one checkpoint, from its config and tokenizer.
 * @throws ConfigError for a config that is missing or incomplete
 */
export async function qwen3AsrQuantizeProfile(files: ModelFiles): Promise<QuantizeProfile> {
  const configJson = await files.readText("config.json");
  if (configJson === null) throw new ConfigError(`${files.location}: config.json is missing, which tells whether the head is tied`);
  const config = parseQwen3AsrConfig(configJson, await files.readText("generation_config.json"), files.location);
  return {
    ...QWEN3_ASR_QUANTIZE_PROFILE,
    architecture: config.aligner === null ? "qwen3-asr" : "qwen3-forced-aligner",
    tiedHead: config.tiedHead
      ? { head: `${HEAD_NAME}.weight`, embedding: `${DECODER_PREFIX}embed_tokens.weight` }
      : null,
    // An aligner's head gives time classes, not tokens: no language model is left without it.
    llamaCpp: config.aligner === null ? await llamaCppLayout(files, config, configJson) : null,
  };
}

const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** A decoder tensor's name in llama.cpp (`src/llama-arch.cpp`), null for one of another part. */
function llamaCppName(name: string): string | null {
  if (name === `${HEAD_NAME}.weight`) return "output.weight";
  if (!name.startsWith(DECODER_PREFIX)) return null;
  const rest = name.slice(DECODER_PREFIX.length);
  if (rest === "embed_tokens.weight") return "token_embd.weight";
  if (rest === "norm.weight") return "output_norm.weight";
  const [, layer, part] = /^layers\.(\d+)\.(.+)\.weight$/.exec(rest) ?? [];
  const mapped = part === undefined ? undefined : LAYER_NAMES[part];
  return mapped === undefined ? null : `blk.${layer}.${mapped}.weight`;
}

/** Null without tokenizer files: a language model is of no use without them. */
async function llamaCppLayout(
  files: ModelFiles,
  config: Qwen3AsrConfig,
  configJson: string,
): Promise<LlamaCppLayout | null> {
  const read = await readTokenizer(files);
  if (read === null) return null;
  const { decoder } = config;
  const float = (value: number): WritableMetadataValue => ({ type: "f32", value });
  const metadata = new Map<string, WritableMetadataValue>([
    ["qwen3.block_count", decoder.layers],
    ["qwen3.context_length", contextLength(configJson)],
    ["qwen3.embedding_length", decoder.hiddenSize],
    ["qwen3.feed_forward_length", decoder.intermediateSize],
    ["qwen3.attention.head_count", decoder.heads],
    ["qwen3.attention.head_count_kv", decoder.kvHeads],
    ["qwen3.attention.key_length", decoder.headDim],
    ["qwen3.attention.value_length", decoder.headDim],
    ["qwen3.attention.layer_norm_rms_epsilon", float(decoder.normEps)],
    ["qwen3.rope.freq_base", float(decoder.ropeTheta)],
    ...tokenizerMetadata(read, decoder.vocabSize, config.endIds),
  ]);
  return { architecture: "qwen3", nameOf: llamaCppName, metadata };
}

/** Upstream's value where the config does not say. */
const DEFAULT_CONTEXT_LENGTH = 65536;

function contextLength(configJson: string): number {
  const config = JSON.parse(configJson) as {
    thinker_config: { text_config: { max_position_embeddings?: unknown } };
  };
  const length = config.thinker_config.text_config.max_position_embeddings;
  return typeof length === "number" && Number.isSafeInteger(length) && length > 0 ? length : DEFAULT_CONTEXT_LENGTH;
}

/** Token types of llama.cpp (`include/llama.h`, `llama_token_type`). */
const TOKEN_TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** `tokenizer.ggml.*` of a Qwen2 tokenizer, one token per row of the embedding. */
function tokenizerMetadata(
  { tokenizer, merges }: ReadTokenizer,
  rows: number,
  endIds: readonly number[],
): [string, WritableMetadataValue][] {
  const added = new Map(tokenizer.addedTokens.map((token) => [token.id, token]));
  const tokens: string[] = [];
  const types = new Int32Array(rows);
  for (let id = 0; id < rows; id++) {
    const token = tokenizer.tokenOf(id);
    const flags = added.get(id);
    tokens.push(token ?? `[PAD${id}]`);
    if (token === undefined) types[id] = TOKEN_TYPE.unused;
    else if (flags === undefined) types[id] = TOKEN_TYPE.normal;
    else types[id] = flags.special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
  }
  const end = tokenizer.idOf("<|im_end|>") ?? endIds[0]!;
  const pad = tokenizer.idOf("<|endoftext|>") ?? end;
  return [
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "qwen2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", types],
    ["tokenizer.ggml.merges", [...merges]],
    ["tokenizer.ggml.eos_token_id", end],
    ["tokenizer.ggml.padding_token_id", pad],
    ["tokenizer.ggml.bos_token_id", pad],
    ["tokenizer.ggml.add_bos_token", false],
  ];
}

interface ReadTokenizer {
  readonly tokenizer: ByteLevelBpe;
  /** Each as "left right". */
  readonly merges: readonly string[];
}

async function readTokenizer(files: ModelFiles): Promise<ReadTokenizer | null> {
  const json = await files.readText("tokenizer.json");
  if (json !== null) {
    const tokenizer = ByteLevelBpe.fromTokenizerJson(json);
    const { model } = JSON.parse(json) as { model: { merges: (string | [string, string])[] } };
    return { tokenizer, merges: model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" "))) };
  }
  const vocabJson = await files.readText("vocab.json");
  const mergesTxt = await files.readText("merges.txt");
  const tokenizerConfigJson = await files.readText("tokenizer_config.json");
  if (vocabJson === null || mergesTxt === null || tokenizerConfigJson === null) return null;
  const lines = mergesTxt.split(/\r?\n/).filter((line) => line !== "");
  return {
    tokenizer: ByteLevelBpe.fromFiles({ vocabJson, mergesTxt, tokenizerConfigJson }),
    merges: lines[0]?.startsWith("#version") === true ? lines.slice(1) : lines,
  };
}
