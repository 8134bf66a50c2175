import { join } from "node:path";
import { qwen3TtsQuantizeProfile } from "@voxquant/acoustic-model";
import {
  byteLevelVocabulary,
  keptRandomModel,
  type RandomModel,
  type RandomModelOptions,
} from "@voxquant/cli-core";
import {
  EMBEDDED_FILE_PREFIX,
  fileTypeOf,
  quantizationType,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import {
  CODEC_HEAD,
  SYNTHETIC_SIZES,
  qwen3TtsShapes,
  type Qwen3TtsSizes,
  type SyntheticName,
} from "./shapes.js";

/** Part of the file name: a change of what is written must not meet files of before. */
const FORM = 1;

/** Text ids of the published vocabulary (tokenizer_config.json of Qwen3-TTS). */
const TEXT_IDS = {
  endOfText: 151643,
  turnStart: 151644,
  turnEnd: 151645,
  ttsPad: 151671,
  ttsBos: 151672,
  ttsEos: 151673,
} as const;

/** Control ids of the published codec vocabulary, and the one language and speaker that are needed. */
const CODEC_IDS = {
  codec_pad_id: 2148,
  codec_bos_id: 2149,
  codec_eos_token_id: 2150,
  codec_think_id: 2154,
  codec_nothink_id: 2155,
  codec_think_bos_id: 2156,
  codec_think_eos_id: 2157,
  codec_language_id: { english: 2050 },
  spk_id: { ryan: 3061 },
  spk_is_dialect: { ryan: false },
} as const;

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
  return keptRandomModel(path, () => randomQwen3Tts(SYNTHETIC_SIZES[name], qtype), qtype, options);
}

/**
 * A whole model of random weights of these sizes, with a voice of its own. It does not end by itself: the row of the end
 * code in the codec head is zero, and among random logits a zero is never one of the likely ones.
 */
export async function randomQwen3Tts(sizes: Qwen3TtsSizes, qtype: string): Promise<RandomModel> {
  const files = filesOf(sizes);
  const profile = await qwen3TtsQuantizeProfile({
    location: "synthetic model",
    readText: (name) => Promise.resolve(files.get(name) ?? null),
  });
  const metadata = new Map<string, WritableMetadataValue>([
    ["general.architecture", "qwen3-tts"],
    ["general.name", "random weights"],
    ["general.file_type", { type: "u32", value: fileTypeOf(quantizationType(qtype)) }],
    ["general.quantization_version", { type: "u32", value: 2 }],
  ]);
  for (const [file, text] of files) metadata.set(EMBEDDED_FILE_PREFIX + file, text);
  return {
    tensors: qwen3TtsShapes(sizes),
    profile,
    metadata,
    zeroRows: new Map([[CODEC_HEAD, [CODEC_IDS.codec_eos_token_id]]]),
  };
}

/** The small files of a model folder. */
function filesOf(sizes: Qwen3TtsSizes): ReadonlyMap<string, string> {
  const { vocabJson, mergesTxt, tokenizerConfigJson } = byteLevelVocabulary({
    size: TEXT_IDS.endOfText,
    words: ["assistant", "user"],
    added: [
      { id: TEXT_IDS.endOfText, content: "<|endoftext|>", special: true },
      { id: TEXT_IDS.turnStart, content: "<|im_start|>", special: true },
      { id: TEXT_IDS.turnEnd, content: "<|im_end|>", special: true },
      { id: TEXT_IDS.ttsPad, content: "<tts_pad>", special: true },
      { id: TEXT_IDS.ttsBos, content: "<tts_text_bos>", special: true },
      { id: TEXT_IDS.ttsEos, content: "<tts_text_eod>", special: true },
    ],
  });
  return new Map([
    ["config.json", JSON.stringify(configOf(sizes))],
    // Defaults of the published generation_config.json, but for the limit.
    ["generation_config.json", JSON.stringify({ max_new_tokens: 8192 })],
    ["tokenizer_config.json", tokenizerConfigJson],
    ["vocab.json", vocabJson],
    ["merges.txt", mergesTxt],
    ["speech_tokenizer/config.json", JSON.stringify(sizes.codec)],
  ]);
}

function configOf({ talker, predictor }: Qwen3TtsSizes): object {
  const common = { rms_norm_eps: 1e-6, rope_theta: 1e6, hidden_act: "silu" };
  return {
    model_type: "qwen3_tts",
    tokenizer_type: "qwen3_tts_tokenizer_12hz",
    tts_model_size: talker.hidden_size === predictor.hidden_size ? "0b6" : "1b7",
    tts_model_type: "custom_voice",
    im_start_token_id: TEXT_IDS.turnStart,
    im_end_token_id: TEXT_IDS.turnEnd,
    assistant_token_id: 77091,
    tts_pad_token_id: TEXT_IDS.ttsPad,
    tts_bos_token_id: TEXT_IDS.ttsBos,
    tts_eos_token_id: TEXT_IDS.ttsEos,
    talker_config: {
      ...talker,
      ...common,
      ...CODEC_IDS,
      max_position_embeddings: 32768,
      code_predictor_config: { ...predictor, ...common },
    },
  };
}
