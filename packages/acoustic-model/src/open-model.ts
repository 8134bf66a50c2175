import {
  chooseGguf,
  ConfigError,
  deriveTensors,
  describeSource,
  hasSafetensors,
  layerCheckpoints,
  listGgufs,
  locateModel,
  openModelFiles,
  openTogether,
  parseJsonObject,
  resolveInFolder,
  ResourceError,
  type Checkpoint,
  type DecoderWeights,
  type ModelFiles,
  type ModelSource,
  type OpenCheckpoint,
  type OpenOptions,
} from "@voxquant/quant-core";
import { requireConfig, requireFamily, type ExpectedFamily } from "@voxquant/nn";
import { CODEC_CONFIG_FILE, parseCodecConfig, type CodecConfig } from "./qwen3-tts/codec/config.js";
import { CODEC_PREFIX, codecTensors, hasCodecTensors, type CodecTensor } from "./qwen3-tts/codec/weights.js";
import { parseQwen3TtsConfig, type Qwen3TtsConfig } from "./qwen3-tts/config.js";
import { CODE_PREDICTOR_PREFIX, SPEAKER_ENCODER_PREFIX } from "./qwen3-tts/weights.js";

/** The speech tokenizer's folder in a model folder. */
export const CODEC_FOLDER = "speech_tokenizer";

/** Names looked for in a model folder, best first (RustTTS `quantize.rs`, its loader's order). */
export const GGUF_CHOICE = {
  preference: ["model.gguf", "model-q8_0.gguf", "model-q4_0.gguf"],
  part: "talker",
} as const;

/** A model's files, opened; nothing of the weights was read. */
export interface OpenedTtsModel {
  /** Path or URL, for messages. */
  readonly location: string;
  /** Small text files: config.json, tokenizer and so on; those of the codec as `speech_tokenizer/NAME`. */
  readonly files: ModelFiles;
  readonly config: Qwen3TtsConfig;
  readonly codecConfig: CodecConfig;
  /** Talker, code predictor and speaker encoder, under their official names. */
  readonly weights: Checkpoint;
  /** The codec, for CodecWeights: the official speech tokenizer, or a GGUF with its tensors as the codec takes them. */
  readonly codec: Checkpoint;
  /** @throws ResourceError if a file changed since it was opened */
  verifyUnchanged(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenTtsOptions {
  /** Where a model folder's talker comes from; `auto` (default) takes a GGUF of a known name before the safetensors. */
  readonly talkerWeights?: DecoderWeights;
  /** Path of the talker's GGUF; relative ones count from the model folder. */
  readonly talkerGguf?: string;
  readonly signal?: AbortSignal;
  onLog?(message: string): void;
}

/** The talker proper: a GGUF of `--scope predictor` does not have it. */
const TALKER_MODEL_PREFIX = "talker.model.";

/**
 * Opens a Qwen3-TTS checkpoint: a folder with safetensors and `speech_tokenizer/`, the same with the talker in a GGUF, a
 * GGUF with the whole model, or a talker's GGUF that lies in its model's folder.
 * @throws ResourceError for what is missing, ConfigError for another family's checkpoint (the message names it and its
 *   command), parts that do not belong together or contradictory options, UnsupportedError for a 25 Hz model, FormatError
 */
export async function openTtsModel(
  source: ModelSource,
  options: OpenTtsOptions = {},
): Promise<OpenedTtsModel> {
  const { signal } = options;
  const { parts, ...together } = await openTogether({ ...(signal && { signal }) }, async (open) => {
    const place = await locateModel(source);
    const found =
      place.kind === "file"
        ? await openFile(place.source, place.folder, open, options)
        : await openFolder(place.folder, open, options);
    const { location, files, folder, weights } = found;
    const config = await readConfig(found);
    const codecConfig = await readCodecConfig(files, config);
    const codec = hasCodecTensors(weights) ? weights : await openCodec(folder, location, open);
    return { location, files, config, codecConfig, weights, codec };
  });
  return { ...parts, ...together };
}

/**
 * Opens what is to be quantized as one checkpoint: the input, and for a scope with the codec its tensors in the form that
 * the decoder takes.
 * @param scope `all` or a prefix of tensor names
 * @throws as openTtsModel
 */
export async function openForQuantizing(
  input: string,
  scope: string,
  options: OpenOptions,
): Promise<Checkpoint> {
  const { parts } = await openTogether(options, async (open) => {
    const given = await open(input);
    if (scope !== "all" && (!scope.startsWith(CODEC_PREFIX) || hasCodecTensors(given))) return given;
    const { folder } = await locateModel(input);
    const files = await openModelFiles(input, given);
    const { location } = given;
    const { weights } = scope === "all" ? await completed(given, files, folder, open) : { weights: given };
    if (hasCodecTensors(weights)) return weights;
    const config = await readConfig({ location, files, folder, weights });
    const codecConfig = await readCodecConfig(files, config);
    const official = await openCodec(folder, location, open);
    const codec = await deriveCodec(official, codecConfig, config.speakerEncoder !== null);
    return layerCheckpoints(weights, { checkpoint: codec, folder: CODEC_FOLDER });
  });
  return parts;
}

interface Parts {
  readonly location: string;
  readonly files: ModelFiles;
  /** The model's folder, null for content without a place. */
  readonly folder: string | null;
  readonly weights: Checkpoint;
}

async function openFile(
  source: ModelSource,
  folder: string | null,
  open: OpenCheckpoint,
  options: OpenTtsOptions,
): Promise<Parts> {
  if (options.talkerGguf !== undefined || (options.talkerWeights ?? "auto") !== "auto") {
    throw new ConfigError(
      `${describeSource(source)}: the talker's weights can be chosen for a model folder only, not for a single file`,
    );
  }
  const file = await open(source);
  return completed(file, await openModelFiles(source, file), folder, open);
}

async function openFolder(folder: string, open: OpenCheckpoint, options: OpenTtsOptions): Promise<Parts> {
  const files = await openModelFiles(folder);
  // Before the weights: another family's folder may have none that could be opened.
  const config = parseJsonObject(await files.readText("config.json"));
  if (config !== null) requireFamily(folder, config, QWEN3_TTS);
  const choice = chooseGguf(
    {
      location: folder,
      ggufs: await listGgufs(folder),
      hasSafetensors: await hasSafetensors(folder),
      ...GGUF_CHOICE,
    },
    options.talkerWeights,
    options.talkerGguf,
  );
  if (choice.reason !== null) options.onLog?.(choice.reason);
  if (choice.name === null) return { location: folder, files, folder, weights: await open(folder) };
  const path = resolveInFolder(folder, choice.name);
  const gguf = await open(path);
  const isElsewhere = options.talkerGguf !== undefined && !hasCodecTensors(gguf);
  return completed(gguf, isElsewhere ? files : await openModelFiles(path, gguf), folder, open);
}

/** A file with all that the config asks for, else with the rest from the safetensors of its model's folder. */
async function completed(
  file: Checkpoint,
  files: ModelFiles,
  folder: string | null,
  open: OpenCheckpoint,
): Promise<Parts> {
  const { location } = file;
  const parts = { location, files, folder, weights: file };
  const { speakerEncoder } = await readConfig(parts);
  const needed = [TALKER_MODEL_PREFIX, CODE_PREDICTOR_PREFIX];
  if (speakerEncoder !== null) needed.push(SPEAKER_ENCODER_PREFIX);
  const lacking = needed.filter((prefix) => !has(file, prefix));
  if (lacking.length === 0) return parts;
  if (folder === null || file.format !== "gguf" || !(await hasSafetensors(folder))) {
    throw new ResourceError(
      `${location}: has no tensors ${lacking.map((prefix) => `${prefix}…`).join(", ")}, and the model's safetensors are not ` +
        "in its folder; give the model folder, or quantize with --scope all",
    );
  }
  return { ...parts, weights: layerCheckpoints(file, { checkpoint: await open(folder), folder: "" }) };
}

function has(checkpoint: Checkpoint, prefix: string): boolean {
  for (const name of checkpoint.tensors.keys()) if (name.startsWith(prefix)) return true;
  return false;
}

/** The config of a Qwen3-TTS checkpoint. @throws ConfigError for another family, ResourceError if there is none */
async function readConfig({ location, files, weights }: Parts): Promise<Qwen3TtsConfig> {
  const configJson = requireConfig(location, await files.readText("config.json"), weights, QWEN3_TTS);
  return parseQwen3TtsConfig(configJson, await files.readText("generation_config.json"), location);
}

/** What this package runs; others are refused by their names. */
export const QWEN3_TTS: ExpectedFamily = {
  family: "qwen3-tts",
  supported: '"qwen3_tts" (Qwen3-TTS, 12 Hz)',
  instead: ({ family, cli }, location) => {
    if (cli === "asr-cli") {
      return `, which transcribes and does not speak: use asr-cli transcribe AUDIO --model ${location}`;
    }
    if (family === "qwen3-tts-codec") {
      return `, the codec alone: give the Qwen3-TTS model folder that has it as ${CODEC_FOLDER}/`;
    }
    return "; this version speaks with Qwen3-TTS models only";
  },
};

/** @throws ResourceError if the codec is missing, ConfigError if it is another model's */
async function readCodecConfig(files: ModelFiles, { codeGroups }: Qwen3TtsConfig): Promise<CodecConfig> {
  const json = await files.readText(CODEC_CONFIG_FILE);
  if (json === null) throw new ResourceError(missingCodec(files.location, CODEC_CONFIG_FILE));
  const codec = parseCodecConfig(json, files.location);
  if (codeGroups !== codec.groups) {
    throw new ConfigError(
      `${files.location}: talker_config.num_code_groups is ${codeGroups}, but the codec in ` +
        `${CODEC_FOLDER}/ takes ${codec.groups} codes per frame (decoder_config.num_quantizers); fetch both from one model`,
    );
  }
  return codec;
}

function missingCodec(location: string, what: string): string {
  return (
    `${location}: ${what} is missing, the codec that turns codes into sound; fetch the whole model folder with its ` +
    `${CODEC_FOLDER}/, or give one complete .gguf (tts-cli quantize --scope all)`
  );
}

/** The codec's official weights. */
async function openCodec(folder: string | null, location: string, open: OpenCheckpoint): Promise<Checkpoint> {
  if (folder === null) throw new ResourceError(missingCodec(location, `${CODEC_PREFIX}… (tensors)`));
  return open(resolveInFolder(folder, `${CODEC_FOLDER}/`));
}

/** The codec's tensors as it takes them: without the encoder where nothing can use it, and no codebook twice. */
async function deriveCodec(
  official: Checkpoint,
  config: CodecConfig,
  withEncoder: boolean,
): Promise<Checkpoint> {
  const used = codecTensors(config).filter(({ part }) => withEncoder || part === "decoder");
  const all = deriveTensors(official, used);
  const stored: CodecTensor[] = [];
  for (const tensor of used) {
    const isSame = tensor.sharedWith !== null && (await sameValues(all, tensor.name, tensor.sharedWith));
    if (!isSame) stored.push(tensor);
  }
  return deriveTensors(official, stored);
}

async function sameValues(checkpoint: Checkpoint, a: string, b: string): Promise<boolean> {
  const [left, right] = [await checkpoint.read(a), await checkpoint.read(b)];
  if (left.bytes.length !== right.bytes.length) return false;
  return left.bytes.every((byte, i) => byte === right.bytes[i]);
}
