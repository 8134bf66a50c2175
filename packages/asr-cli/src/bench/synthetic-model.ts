import { join } from "node:path";
import { QWEN3_ASR_QUANTIZE_PROFILE } from "@voxquant/asr-model";
import { keptRandomModel, type RandomModel, type RandomModelOptions } from "@voxquant/cli-core";
import {
  EMBEDDED_FILE_PREFIX,
  fileTypeOf,
  quantizationType,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import { SYNTHETIC_SIZES, qwen3AsrShapes, type Qwen3AsrSizes, type SyntheticName } from "./shapes.js";
import { SYNTHETIC_TOKENS, syntheticVocabulary } from "./synthetic-vocabulary.js";

/** Part of the file name: a change of what is written must not meet files of before. */
const FORM = 1;

const EMBEDDING = "thinker.model.embed_tokens.weight";
const TIED_HEAD = { head: "thinker.lm_head.weight", embedding: EMBEDDING };

/**
 * The file of a published model's sizes, kept in `folder` and used again.
 * @returns its path
 * @throws ConfigError for an unknown type, ResourceError if the file cannot be written
 */
export function syntheticModel(
  name: SyntheticName,
  qtype: string,
  folder: string,
  options: RandomModelOptions,
): Promise<string> {
  const path = join(folder, `synthetic-${name}-${qtype.toLowerCase()}-${FORM}.gguf`);
  return keptRandomModel(path, () => randomQwen3Asr(SYNTHETIC_SIZES[name], qtype), qtype, options);
}

/**
 * A whole model of random weights of these sizes. It never ends by itself: the embedding rows of the end tokens, which
 * are their head rows too, are zero.
 */
export function randomQwen3Asr(sizes: Qwen3AsrSizes, qtype: string): RandomModel {
  return {
    tensors: qwen3AsrShapes(sizes),
    profile: { ...QWEN3_ASR_QUANTIZE_PROFILE, tiedHead: TIED_HEAD },
    metadata: metadataOf(sizes, qtype),
    zeroRows: new Map([[EMBEDDING, [SYNTHETIC_TOKENS.endOfText, SYNTHETIC_TOKENS.turnEnd]]]),
  };
}

function metadataOf(sizes: Qwen3AsrSizes, qtype: string): Map<string, WritableMetadataValue> {
  const { vocabJson, mergesTxt, tokenizerConfigJson } = syntheticVocabulary();
  const entries = new Map<string, WritableMetadataValue>([
    ["general.architecture", "qwen3-asr"],
    ["general.name", "random weights"],
    ["general.file_type", { type: "u32", value: fileTypeOf(quantizationType(qtype)) }],
    ["general.quantization_version", { type: "u32", value: 2 }],
  ]);
  const files = {
    "config.json": JSON.stringify(configOf(sizes)),
    "generation_config.json": JSON.stringify({
      eos_token_id: [SYNTHETIC_TOKENS.endOfText, SYNTHETIC_TOKENS.turnEnd],
    }),
    "tokenizer_config.json": tokenizerConfigJson,
    "vocab.json": vocabJson,
    "merges.txt": mergesTxt,
  };
  for (const [file, text] of Object.entries(files)) entries.set(EMBEDDED_FILE_PREFIX + file, text);
  return entries;
}

function configOf(sizes: Qwen3AsrSizes): object {
  const { audioStart, audioEnd, audioPad } = SYNTHETIC_TOKENS;
  return {
    model_type: "qwen3_asr",
    support_languages: ["English"],
    thinker_config: {
      model_type: "qwen3_asr_thinker",
      audio_token_id: audioPad,
      audio_start_token_id: audioStart,
      audio_end_token_id: audioEnd,
      audio_config: { ...sizes, n_window: 50, n_window_infer: 800 },
      text_config: { ...sizes, rms_norm_eps: 1e-6, rope_theta: 1e6, max_position_embeddings: 65536 },
    },
  };
}
