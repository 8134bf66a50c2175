import {
  ConfigError,
  GENERIC_PROFILE,
  MODEL_FILES,
  qwen3Layout,
  type BpeVocabulary,
  type LlamaCppLayout,
  type ModelFiles,
  type QuantizeProfile,
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
  if (configJson === null)
    throw new ConfigError(`${files.location}: config.json is missing, which tells whether the head is tied`);
  const config = parseQwen3AsrConfig(
    configJson,
    await files.readText("generation_config.json"),
    files.location,
  );
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

/** The decoder as a plain Qwen3 language model; null without tokenizer files, without which it is of no use. */
async function llamaCppLayout(
  files: ModelFiles,
  config: Qwen3AsrConfig,
  configJson: string,
): Promise<LlamaCppLayout | null> {
  const vocabulary = await readVocabulary(files, config.endIds);
  if (vocabulary === null) return null;
  const { decoder } = config;
  return qwen3Layout(
    DECODER_PREFIX,
    `${HEAD_NAME}.weight`,
    {
      layers: decoder.layers,
      hiddenSize: decoder.hiddenSize,
      feedForwardSize: decoder.intermediateSize,
      heads: decoder.heads,
      kvHeads: decoder.kvHeads,
      headDim: decoder.headDim,
      contextLength: contextLength(configJson),
      ropeTheta: decoder.ropeTheta,
      rmsNormEps: decoder.normEps,
      vocabSize: decoder.vocabSize,
    },
    vocabulary,
  );
}

/** Upstream's value, where the config does not say. */
const DEFAULT_CONTEXT_LENGTH = 65536;

function contextLength(configJson: string): number {
  const config = JSON.parse(configJson) as {
    thinker_config: { text_config: { max_position_embeddings?: unknown } };
  };
  const length = config.thinker_config.text_config.max_position_embeddings;
  return typeof length === "number" && Number.isSafeInteger(length) && length > 0
    ? length
    : DEFAULT_CONTEXT_LENGTH;
}

async function readVocabulary(files: ModelFiles, endIds: readonly number[]): Promise<BpeVocabulary | null> {
  const read = await readTokenizer(files);
  if (read === null) return null;
  const { tokenizer, merges } = read;
  const added = tokenizer.addedTokens;
  const addedIds = new Set(added.map(({ id }) => id));
  const vocab = new Map<string, number>();
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const token = tokenizer.tokenOf(id);
    if (token !== undefined && !addedIds.has(id)) vocab.set(token, id);
  }
  const eosId = tokenizer.idOf("<|im_end|>") ?? endIds[0]!;
  return { vocab, merges, added, eosId, padId: tokenizer.idOf("<|endoftext|>") ?? eosId };
}

async function readTokenizer(
  files: ModelFiles,
): Promise<{ tokenizer: ByteLevelBpe; merges: readonly string[] } | null> {
  const json = await files.readText("tokenizer.json");
  if (json !== null) {
    const tokenizer = ByteLevelBpe.fromTokenizerJson(json);
    const { model } = JSON.parse(json) as { model: { merges: (string | [string, string])[] } };
    const merges = model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
    return { tokenizer, merges };
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
