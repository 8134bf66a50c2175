import {
  chooseGguf,
  ConfigError,
  describeSource,
  hasSafetensors,
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
} from "@voxquant/quant-core";
import { detectModelFamily, familyOfCheckpoint, type ModelFamily } from "@voxquant/nn";

/** Families that this package runs. */
export type Wanted = "qwen3-asr" | "qwen3-forced-aligner";

/** A model's files, opened; nothing of the weights was read. */
export interface OpenedModel {
  /** Path or URL, for messages. */
  readonly location: string;
  /** Small text files: config.json, tokenizer and so on. */
  readonly files: ModelFiles;
  readonly configJson: string;
  /** Whole model, or all but the decoder where `decoder` is set. */
  readonly main: Checkpoint;
  /** The decoder's weights where they have a file of their own. */
  readonly decoder: Checkpoint | null;
  /** @throws ResourceError if a file changed since it was opened */
  verifyUnchanged(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenModelOptions {
  readonly decoderWeights?: DecoderWeights;
  /** Path of the decoder's GGUF; relative ones count from the model folder. */
  readonly decoderGguf?: string;
  readonly signal?: AbortSignal;
  onLog?(message: string): void;
}

/** Names looked for in a model folder, best first (RustASR `asr-core/src/model_files.rs`). */
export const GGUF_CHOICE = {
  preference: ["model-q8_0.gguf", "model-q6k.gguf", "model-q6_k.gguf", "model-q4_0.gguf", "model.gguf"],
  part: "decoder",
} as const;

/** Tensors of the audio encoder: a GGUF that has them is a whole model. */
const ENCODER_PREFIX = "thinker.audio_tower.";

/**
 * Opens a Qwen3-ASR family checkpoint: a folder with safetensors, the same with the decoder in a GGUF, a GGUF with the
 * whole model, or a decoder's GGUF that lies in its model's folder.
 * @param wanted what the caller can run; any other family's checkpoint is refused by its name
 * @throws ResourceError for what is missing, ConfigError for another family or contradictory options, FormatError
 */
export async function openModel(
  source: ModelSource,
  wanted: Wanted,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
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
        ? await openFile(place.source, place.folder, wanted, open, options)
        : await openFolder(place.folder, wanted, open, options);
    const configJson = await requireConfig(parts, wanted);
    return {
      location: parts.location,
      files: parts.files,
      configJson,
      main: parts.main,
      decoder: parts.decoder,
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

interface Parts {
  readonly location: string;
  readonly files: ModelFiles;
  readonly main: Checkpoint;
  readonly decoder: Checkpoint | null;
}

type Open = (from: ModelSource) => Promise<Checkpoint>;

async function openFile(
  source: ModelSource,
  folder: string | null,
  wanted: Wanted,
  open: Open,
  options: OpenModelOptions,
): Promise<Parts> {
  if (options.decoderGguf !== undefined || (options.decoderWeights ?? "auto") !== "auto") {
    throw new ConfigError(
      `${describeSource(source)}: the decoder's weights can be chosen for a model folder only, not for a single file`,
    );
  }
  const main = await open(source);
  const { location } = main;
  const files = await openModelFiles(source, main);
  if (hasEncoder(main) || folder === null) return { location, files, main, decoder: null };
  // A decoder alone, as the source system writes it: the rest of the model lies beside it.
  refuseOtherFamily(main, wanted);
  if ((await files.readText("config.json")) === null || !(await hasSafetensors(folder))) {
    throw new ConfigError(
      `${location}: has no audio encoder, and the rest of the model (config.json, safetensors) is not in its folder; ` +
        "give the model folder and this file as its decoder GGUF, or quantize with --scope all",
    );
  }
  return { location, files, main: await open(folder), decoder: main };
}

async function openFolder(
  folder: string,
  wanted: Wanted,
  open: Open,
  options: OpenModelOptions,
): Promise<Parts> {
  const files = await openModelFiles(folder);
  // Before the weights: another family's folder may have none that could be opened.
  const config = parseJsonObject(await files.readText("config.json"));
  if (config !== null) requireFamily(folder, config, wanted);
  const ggufs = await listGgufs(folder);
  const safetensors = await hasSafetensors(folder);
  const found = { location: folder, ggufs, hasSafetensors: safetensors, ...GGUF_CHOICE };
  const choice = chooseGguf(found, options.decoderWeights, options.decoderGguf);
  if (choice.reason !== null) options.onLog?.(choice.reason);
  if (choice.name === null) return { location: folder, files, main: await open(folder), decoder: null };
  const gguf = await open(resolveInFolder(folder, choice.name));
  if (!hasEncoder(gguf)) {
    if (safetensors) return { location: folder, files, main: await open(folder), decoder: gguf };
    refuseOtherFamily(gguf, wanted);
    throw new ResourceError(
      `${gguf.location}: has the decoder alone; the audio encoder's safetensors are missing in ${folder}`,
    );
  }
  // A GGUF with the whole model carries its files; what it lacks is read from beside it.
  const own = await openModelFiles(resolveInFolder(folder, choice.name), gguf);
  return { location: gguf.location, files: own, main: gguf, decoder: null };
}

function hasEncoder(checkpoint: Checkpoint): boolean {
  for (const name of checkpoint.tensors.keys()) if (name.startsWith(ENCODER_PREFIX)) return true;
  return false;
}

/** The config of a checkpoint of the wanted family. @throws ConfigError, ResourceError */
async function requireConfig({ location, files, main }: Parts, wanted: Wanted): Promise<string> {
  const configJson = await files.readText("config.json");
  if (configJson === null) {
    refuseOtherFamily(main, wanted);
    throw new ResourceError(
      `${location}: config.json is missing${main.format === "gguf" ? " (neither in the file nor beside it)" : ""}; ` +
        "fetch the whole model folder, or quantize it with --scope all into one file",
    );
  }
  const config = parseJsonObject(configJson);
  if (config !== null) requireFamily(location, config, wanted);
  return configJson;
}

function requireFamily(location: string, config: object, wanted: Wanted): void {
  const found = detectModelFamily(config);
  if (found?.family === wanted) return;
  if (found !== null) throw new ConfigError(otherFamily(location, found, wanted));
  const type = JSON.stringify((config as { model_type?: unknown }).model_type) ?? "no model_type";
  throw new ConfigError(
    `${location}: config.json has ${type}; supported: "qwen3_asr" (Qwen3-ASR and Qwen3-ForcedAligner)`,
  );
}

/** For a checkpoint without config. */
function refuseOtherFamily(checkpoint: Checkpoint, wanted: Wanted): void {
  const found = familyOfCheckpoint(checkpoint);
  // Tensor names do not tell a recogniser from an aligner.
  if (found === null || found.family === "qwen3-asr" || found.family === wanted) return;
  throw new ConfigError(otherFamily(checkpoint.location, found, wanted));
}

/** Says what a checkpoint is instead, and what to do with it. */
export function otherFamily(location: string, found: ModelFamily, wanted: Wanted): string {
  const is = `${location} is a ${found.title} model`;
  if (found.cli === "tts-cli") {
    return `${is}, which speaks and does not transcribe: use tts-cli synthesize --model ${location}`;
  }
  if (found.family === "qwen3-forced-aligner") {
    return `${is}, which gives times to words that are known: use it as --aligner with --timestamps word, and a Qwen3-ASR model as --model`;
  }
  if (found.family === "qwen3-asr" && wanted === "qwen3-forced-aligner") {
    return `${is}, not a forced aligner: give a Qwen3-ForcedAligner checkpoint as the aligner`;
  }
  return `${is}; this version transcribes with Qwen3-ASR models only`;
}
