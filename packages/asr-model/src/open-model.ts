import {
  chooseGguf,
  ConfigError,
  describeSource,
  hasSafetensors,
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
} from "@voxquant/quant-core";
import { refuseOtherFamily, requireConfig, requireFamily, type ExpectedFamily } from "@voxquant/nn";

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
  const { signal } = options;
  const expected = expectedFamily(wanted);
  const { parts, ...together } = await openTogether({ ...(signal && { signal }) }, async (open) => {
    const place = await locateModel(source);
    const found =
      place.kind === "file"
        ? await openFile(place.source, place.folder, expected, open, options)
        : await openFolder(place.folder, expected, open, options);
    const { location, files, main } = found;
    const configJson = requireConfig(location, await files.readText("config.json"), main, expected);
    return { ...found, configJson };
  });
  return { ...parts, ...together };
}

interface Parts {
  readonly location: string;
  readonly files: ModelFiles;
  readonly main: Checkpoint;
  readonly decoder: Checkpoint | null;
}

async function openFile(
  source: ModelSource,
  folder: string | null,
  expected: ExpectedFamily,
  open: OpenCheckpoint,
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
  refuseOtherFamily(main, expected);
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
  expected: ExpectedFamily,
  open: OpenCheckpoint,
  options: OpenModelOptions,
): Promise<Parts> {
  const files = await openModelFiles(folder);
  // Before the weights: another family's folder may have none that could be opened.
  const config = parseJsonObject(await files.readText("config.json"));
  if (config !== null) requireFamily(folder, config, expected);
  const ggufs = await listGgufs(folder);
  const safetensors = await hasSafetensors(folder);
  const found = { location: folder, ggufs, hasSafetensors: safetensors, ...GGUF_CHOICE };
  const choice = chooseGguf(found, options.decoderWeights, options.decoderGguf);
  if (choice.reason !== null) options.onLog?.(choice.reason);
  if (choice.name === null) return { location: folder, files, main: await open(folder), decoder: null };
  const gguf = await open(resolveInFolder(folder, choice.name));
  if (!hasEncoder(gguf)) {
    if (safetensors) return { location: folder, files, main: await open(folder), decoder: gguf };
    refuseOtherFamily(gguf, expected);
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

/** What is refused, and what is said then. */
function expectedFamily(wanted: Wanted): ExpectedFamily {
  return {
    family: wanted,
    supported: '"qwen3_asr" (Qwen3-ASR and Qwen3-ForcedAligner)',
    sameTensors: "qwen3-asr",
    instead: ({ family, cli }, location) => {
      if (cli === "tts-cli") {
        return `, which speaks and does not transcribe: use tts-cli synthesize --model ${location}`;
      }
      if (family === "qwen3-forced-aligner") {
        return ", which gives times to words that are known: use it as --aligner with --timestamps word, and a Qwen3-ASR model as --model";
      }
      if (family === "qwen3-asr") {
        return ", not a forced aligner: give a Qwen3-ForcedAligner checkpoint as the aligner";
      }
      return "; this version transcribes with Qwen3-ASR models only";
    },
  };
}
