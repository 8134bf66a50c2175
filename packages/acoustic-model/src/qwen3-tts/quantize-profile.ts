import {
  ConfigError,
  GENERIC_PROFILE,
  GGML_TYPES,
  isDense,
  MODEL_FILES,
  parseJsonObject,
  type GgmlType,
  type ModelFiles,
  type QuantizeProfile,
  type TensorInfo,
} from "@voxquant/quant-core";
import { requireFamily } from "@voxquant/nn";
import { CODEC_FOLDER, openForQuantizing, QWEN3_TTS } from "../open-model.js";
import { CODEC_CONFIG_FILE, parseCodecConfig, type CodecConfig } from "./codec/config.js";
import { CODEC_PREFIX, codecTensors, type CodecTensor } from "./codec/weights.js";
import { parseQwen3TtsConfig } from "./config.js";
import {
  CODE_PREDICTOR_PREFIX,
  CODEC_EMBEDDING_NAME,
  CODEC_HEAD_NAME,
  PREDICTOR_PROJECTION_NAME,
  SPEAKER_ENCODER_PREFIX,
  TALKER_PREFIX,
  TEXT_EMBEDDING_NAME,
  TEXT_PROJECTION_NAME,
} from "./weights.js";

/** Parts of a model that `--scope` names. `talker` has the code predictor too: all that a talker's GGUF beside a folder replaces. */
const SCOPES: ReadonlyMap<string, string> = new Map([
  ["talker", TALKER_PREFIX],
  ["predictor", CODE_PREDICTOR_PREFIX],
  ["speaker", SPEAKER_ENCODER_PREFIX],
  ["codec", CODEC_PREFIX],
]);

const FILES: readonly string[] = [
  ...MODEL_FILES,
  CODEC_CONFIG_FILE,
  `${CODEC_FOLDER}/preprocessor_config.json`,
  `${CODEC_FOLDER}/configuration.json`,
];

/**
 * How a checkpoint is quantized, from its configs. Types by role; each can be chosen otherwise by name:
 *
 * | role | type |
 * |---|---|
 * | talker's layers | as asked |
 * | code predictor's layers and heads, text projection | as asked, Q8_0 at least: 4 bits there cost half of the codes |
 * | text embedding | the same; with `quantizeEmbeddings` as asked |
 * | codec embeddings, codec head, `small_to_mtp_projection`, speaker encoder | 16 bits (embeddings with `quantizeEmbeddings`: Q8_0) |
 * | codec decoder: transformer, ConvNeXt, convolutions | Q8_0 |
 * | its first convolution, its projections, upsampling in the later blocks; codec encoder | F16 |
 * | its last convolution, RVQ projections, codebooks that encoding needs | F32 (other codebooks F16) |
 * | norms, biases, scales | F32 |
 *
 * 16 bits are BF16 where the source is: lossless at the size of F16, whose range would cut the smallest values off. A
 * dense type that is asked for takes the place of every quantized one here.
 * @throws ConfigError for a config that is missing or unusable, UnsupportedError for a 25 Hz codec
 */
export async function qwen3TtsQuantizeProfile(files: ModelFiles): Promise<QuantizeProfile> {
  const configJson = await files.readText("config.json");
  if (configJson === null) {
    throw new ConfigError(`${files.location}: config.json is missing, which tells the model's variant`);
  }
  const config = parseJsonObject(configJson);
  if (config !== null) requireFamily(files.location, config, QWEN3_TTS);
  const generationJson = await files.readText("generation_config.json");
  const canClone = parseQwen3TtsConfig(configJson, generationJson, files.location).speakerEncoder !== null;
  const codecJson = await files.readText(CODEC_CONFIG_FILE);
  const codec = codecJson === null ? null : parseCodecConfig(codecJson, files.location);
  const codecByName = new Map<string, CodecTensor>();
  if (codec !== null) for (const tensor of codecTensors(codec)) codecByName.set(tensor.name, tensor);
  return {
    ...GENERIC_PROFILE,
    architecture: "qwen3-tts",
    defaultScope: "all",
    scopes: SCOPES,
    files: FILES,
    open: openForQuantizing,
    typeOf: (tensor, type, quantizeEmbeddings) => {
      const part = codecByName.get(tensor.name);
      return part === undefined
        ? talkerType(tensor, type, quantizeEmbeddings)
        : codecType(part, type, codec!, canClone);
    },
  };
}

const CODEC_EMBEDDINGS = [CODEC_EMBEDDING_NAME, `${CODE_PREDICTOR_PREFIX}model.codec_embedding.`];
const SENSITIVE = [CODEC_HEAD_NAME, PREDICTOR_PROJECTION_NAME, SPEAKER_ENCODER_PREFIX];
const EIGHT_BITS = [CODE_PREDICTOR_PREFIX, TEXT_PROJECTION_NAME];

function talkerType(
  { name, shape, dtype }: TensorInfo,
  type: GgmlType,
  quantizeEmbeddings: boolean,
): GgmlType {
  const isOneOf = (prefixes: readonly string[]) => prefixes.some((prefix) => name.startsWith(prefix));
  if (shape.length < 2) return "F32";
  if (name === TEXT_EMBEDDING_NAME) return quantizeEmbeddings ? type : eightBitsAtLeast(type);
  if (isOneOf(CODEC_EMBEDDINGS)) {
    return quantizeEmbeddings ? eightBitsAtLeast(type) : sixteenBits(type, dtype);
  }
  if (isOneOf(SENSITIVE)) return sixteenBits(type, dtype);
  return isOneOf(EIGHT_BITS) ? eightBitsAtLeast(type) : type;
}

function eightBitsAtLeast(type: GgmlType): GgmlType {
  const { block, bytes } = GGML_TYPES[type];
  return bytes >= block ? type : "Q8_0";
}

function sixteenBits(type: GgmlType, source: string): GgmlType {
  if (type === "F32") return "F32";
  return source === "BF16" ? "BF16" : "F16";
}

// By the names of the stages: what errors do depends on where they happen (specification of the codec, sensitivity).
const RVQ_PROJECTION = /^codec\.(q|z)_(sem|ac)\./;
const DIRECT_PATH = /^codec\.(pre_conv|pt\.(in|out)put_proj)\./;
const UPSAMPLING = /^codec\.dec\.(\d+)\.convt\./;
const DECODER_CONV = /^codec\.dec\.(\d+)\.weight$/;

function codecType(
  { name, role, part }: CodecTensor,
  type: GgmlType,
  { decoder }: CodecConfig,
  canClone: boolean,
): GgmlType {
  if (role === "vector" || type === "F32") return "F32";
  // Encoding takes the nearest entry, so that rounded ones give other codes; it shares the decoder's codebooks.
  if (role === "codebook") return canClone || part === "encoder" ? "F32" : "F16";
  if (RVQ_PROJECTION.test(name)) return "F32";
  if (part === "encoder" || DIRECT_PATH.test(name)) return "F16";
  const blocks = decoder.blockRates.length;
  // The one convolution after all blocks makes the waveform.
  if (Number(DECODER_CONV.exec(name)?.[1] ?? 0) > blocks) return "F32";
  // No residual path goes around the upsampling; few channels are left to average its errors in the later blocks.
  if (Number(UPSAMPLING.exec(name)?.[1] ?? 0) > blocks / 2) return "F16";
  return isDense(type) ? "F16" : "Q8_0";
}
