import {
  chooseGguf,
  isNode,
  nodeBuiltin,
  parseJsonObject,
  ResourceError,
  UnsupportedError,
} from "@voxquant/quant-core";
import { detectModelFamily } from "@voxquant/nn";
import { CODEC_FOLDER, GGUF_CHOICE, openTtsModel, type OpenedTtsModel } from "./open-model.js";
import { CODEC_CONFIG_FILE } from "./qwen3-tts/codec/config.js";
import { CodecWeights, codecTensors } from "./qwen3-tts/codec/weights.js";
import { expectedTensors } from "./qwen3-tts/tensor-names.js";

/** Whether a model folder or file is complete, and what it has. */
export interface TtsModelCheck {
  /** Title of the model's family, null if it cannot be told. */
  readonly family: string | null;
  /** The small files of a model folder. */
  readonly parts: readonly { readonly name: string; readonly present: boolean; readonly optional: boolean }[];
  readonly safetensors: { readonly files: readonly string[]; readonly byteLength: number };
  /** `chosen`: the one that `auto` would take. */
  readonly gguf: { readonly files: readonly string[]; readonly chosen: string | null };
  /** What is missing or wrong, one sentence each. */
  readonly problems: readonly string[];
  /** The model is complete and this library can run it. */
  readonly synthesize: boolean;
  /** There is a checkpoint to quantize. */
  readonly quantize: boolean;
}

const REQUIRED_FILES = [
  "config.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  CODEC_CONFIG_FILE,
];
const OPTIONAL_FILES = [
  "generation_config.json",
  "preprocessor_config.json",
  `${CODEC_FOLDER}/preprocessor_config.json`,
];

/**
 * Checks whether a model folder or a GGUF file is complete, from names, headers and configs alone: no weights are read.
 * @throws ResourceError if there is nothing at the path, UnsupportedError outside Node
 */
export async function checkTtsModel(path: string): Promise<TtsModelCheck> {
  if (!isNode) throw new UnsupportedError("model folders are checked in Node only");
  const names = await listFolder(path);
  const folder = names ?? [];
  const safetensors = folder.filter((name) => name.endsWith(".safetensors"));
  const ggufs = folder.filter((name) => name.toLowerCase().endsWith(".gguf")).sort();
  const problems: string[] = [];
  let opened: OpenedTtsModel | null = null;
  try {
    opened = await openTtsModel(path);
    problems.push(...(await contentProblems(opened)));
  } catch (error) {
    problems.push((error as Error).message);
  }
  try {
    const isComplete = problems.length === 0;
    return {
      family: await familyTitle(path, opened),
      parts: await checkParts(path, opened),
      safetensors: { files: safetensors, byteLength: await totalBytes(path, safetensors) },
      gguf: { files: ggufs, chosen: chosenGguf(path, ggufs, safetensors) },
      problems,
      synthesize: isComplete,
      quantize: isComplete,
    };
  } finally {
    await opened?.close();
  }
}

/** Base names in a folder, null for a file. */
async function listFolder(path: string): Promise<string[] | null> {
  const { readdir, stat } = nodeBuiltin("node:fs/promises");
  try {
    return (await stat(path)).isDirectory() ? await readdir(path) : null;
  } catch (cause) {
    throw new ResourceError(`${path}: ${(cause as Error).message}`, { cause });
  }
}

async function contentProblems(opened: OpenedTtsModel): Promise<string[]> {
  const { location, files, config, weights, codec, codecConfig } = opened;
  const problems: string[] = [];
  const lacks = (where: string, missing: readonly string[]) => {
    if (missing.length === 0) return;
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
    problems.push(`${where}: tensor ${missing[0]}${more} missing`);
  };
  lacks(
    weights.location,
    expectedTensors(config).filter((name) => !weights.tensors.has(name)),
  );
  const codecWeights = new CodecWeights(codec, codecConfig);
  const canClone = config.speakerEncoder !== null;
  lacks(
    codec.location,
    codecTensors(codecConfig)
      .filter(({ name, part }) => (canClone || part === "decoder") && !codecWeights.has(name))
      .map(({ name, sources }) => (codec === weights ? name : sources[0]!)),
  );
  for (const name of REQUIRED_FILES) {
    if ((await files.readText(name)) === null) problems.push(`${location}: ${name} is missing`);
  }
  return problems;
}

async function familyTitle(path: string, opened: OpenedTtsModel | null): Promise<string | null> {
  if (opened !== null) return "Qwen3-TTS";
  const { readFile } = nodeBuiltin("node:fs/promises");
  try {
    const config = parseJsonObject(
      await readFile(nodeBuiltin("node:path").join(path, "config.json"), "utf8"),
    );
    return detectModelFamily(config)?.title ?? null;
  } catch {
    return null;
  }
}

async function checkParts(path: string, opened: OpenedTtsModel | null): Promise<TtsModelCheck["parts"]> {
  const { existsSync } = nodeBuiltin("node:fs");
  const { join } = nodeBuiltin("node:path");
  const parts: { name: string; present: boolean; optional: boolean }[] = [];
  for (const name of [...REQUIRED_FILES, ...OPTIONAL_FILES]) {
    const present =
      existsSync(join(path, name)) || (opened !== null && (await opened.files.readText(name)) !== null);
    parts.push({ name, present, optional: OPTIONAL_FILES.includes(name) });
  }
  return parts;
}

function chosenGguf(
  location: string,
  ggufs: readonly string[],
  safetensors: readonly string[],
): string | null {
  try {
    return chooseGguf({ location, ggufs, hasSafetensors: safetensors.length > 0, ...GGUF_CHOICE }).name;
  } catch {
    return null; // among the problems already
  }
}

async function totalBytes(folder: string, names: readonly string[]): Promise<number> {
  const { stat } = nodeBuiltin("node:fs/promises");
  const { join } = nodeBuiltin("node:path");
  let total = 0;
  for (const name of names) total += (await stat(join(folder, name))).size;
  return total;
}
