import {
  chooseGguf,
  ConfigError,
  deriveTensors,
  describeSource,
  hasSafetensors,
  layerCheckpoints,
  listGgufs,
  locateModel,
  openCheckpoint,
  openModelFiles,
  parseJsonObject,
  resolveInFolder,
  ResourceError,
  type Checkpoint,
  type DecoderWeights,
  type ModelFiles,
  type ModelSource,
  type OpenOptions,
} from "@voxquant/quant-core";
import { detectModelFamily, familyOfCheckpoint, type ModelFamily } from "@voxquant/nn";
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
  const opened: Checkpoint[] = [];
  try {
    const open = async (from: ModelSource): Promise<Checkpoint> => {
      const checkpoint = await openCheckpoint(
        from,
        options.signal === undefined ? {} : { signal: options.signal },
      );
      opened.push(checkpoint);
      return checkpoint;
    };
    const place = await locateModel(source);
    const parts =
      place.kind === "file"
        ? await openFile(place.source, place.folder, open, options)
        : await openFolder(place.folder, open, options);
    const { location, files, folder, weights } = parts;
    const config = await requireConfig(parts);
    const codecConfig = await readCodecConfig(files, config);
    const codec = hasCodecTensors(weights) ? weights : await openCodec(folder, location, open);
    return {
      location,
      files,
      config,
      codecConfig,
      weights,
      codec,
      verifyUnchanged: async () => {
        for (const checkpoint of opened) await checkpoint.verifyUnchanged();
      },
      close: async () => {
        for (const checkpoint of opened) await checkpoint.close();
      },
    };
  } catch (error) {
    for (const checkpoint of opened) await checkpoint.close();
    throw error;
  }
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
  const opened: Checkpoint[] = [];
  const open = async (from: ModelSource): Promise<Checkpoint> => {
    const checkpoint = await openCheckpoint(from, options);
    opened.push(checkpoint);
    return checkpoint;
  };
  try {
    const given = await open(input);
    if (scope !== "all" && (!scope.startsWith(CODEC_PREFIX) || hasCodecTensors(given))) return given;
    const { folder } = await locateModel(input);
    const files = await openModelFiles(input, given);
    const { location } = given;
    const { weights } = scope === "all" ? await completed(given, files, folder, open) : { weights: given };
    if (hasCodecTensors(weights)) return weights;
    const config = await requireConfig({ location, files, folder, weights });
    const codecConfig = await readCodecConfig(files, config);
    const official = await openCodec(folder, location, open);
    const codec = await deriveCodec(official, codecConfig, config.speakerEncoder !== null);
    return layerCheckpoints(weights, { checkpoint: codec, folder: CODEC_FOLDER });
  } catch (error) {
    for (const checkpoint of opened) await checkpoint.close();
    throw error;
  }
}

interface Parts {
  readonly location: string;
  readonly files: ModelFiles;
  /** The model's folder, null for content without a place. */
  readonly folder: string | null;
  readonly weights: Checkpoint;
}

type Open = (from: ModelSource) => Promise<Checkpoint>;

async function openFile(
  source: ModelSource,
  folder: string | null,
  open: Open,
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

async function openFolder(folder: string, open: Open, options: OpenTtsOptions): Promise<Parts> {
  const files = await openModelFiles(folder);
  // Before the weights: another family's folder may have none that could be opened.
  const config = parseJsonObject(await files.readText("config.json"));
  if (config !== null) requireFamily(folder, config);
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
  open: Open,
): Promise<Parts> {
  const { location } = file;
  const parts = { location, files, folder, weights: file };
  const { speakerEncoder } = await requireConfig(parts);
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
async function requireConfig({ location, files, weights }: Parts): Promise<Qwen3TtsConfig> {
  const configJson = await files.readText("config.json");
  if (configJson === null) {
    const found = familyOfCheckpoint(weights);
    if (found !== null && found.family !== "qwen3-tts") throw new ConfigError(otherFamily(location, found));
    throw new ResourceError(
      `${location}: config.json is missing${weights.format === "gguf" ? " (neither in the file nor beside it)" : ""}; ` +
        "fetch the whole model folder, or quantize it with --scope all into one file",
    );
  }
  const config = parseJsonObject(configJson);
  if (config !== null) requireFamily(location, config);
  return parseQwen3TtsConfig(configJson, await files.readText("generation_config.json"), location);
}

/** @throws ConfigError for the config of another family's model, which it names with its command */
export function requireFamily(location: string, config: Record<string, unknown>): void {
  const found = detectModelFamily(config);
  if (found?.family === "qwen3-tts") return;
  if (found !== null) throw new ConfigError(otherFamily(location, found));
  const type = JSON.stringify(config["model_type"]) ?? "no model_type";
  throw new ConfigError(`${location}: config.json has ${type}; supported: "qwen3_tts" (Qwen3-TTS, 12 Hz)`);
}

/** Says what a checkpoint is instead, and what to do with it. */
function otherFamily(location: string, found: ModelFamily): string {
  const is = `${location} is a ${found.title} model`;
  if (found.cli === "asr-cli") {
    return `${is}, which transcribes and does not speak: use asr-cli transcribe AUDIO --model ${location}`;
  }
  if (found.family === "qwen3-tts-codec") {
    return `${is}, the codec alone: give the Qwen3-TTS model folder that has it as ${CODEC_FOLDER}/`;
  }
  return `${is}; this version speaks with Qwen3-TTS models only`;
}

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
async function openCodec(folder: string | null, location: string, open: Open): Promise<Checkpoint> {
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
