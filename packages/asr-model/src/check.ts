import { chooseGguf, isNode, nodeBuiltin, ResourceError, UnsupportedError } from "@voxquant/quant-core";
import { detectModelFamily } from "@voxquant/nn";
import { GGUF_CHOICE, openModel, type OpenedModel } from "./open-model.js";
import { parseQwen3AsrConfig } from "./qwen3-asr/config.js";
import { expectedTensors } from "./qwen3-asr/tensor-names.js";

export interface ModelCheck {
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
  readonly transcribe: boolean;
  /** There is a float checkpoint to quantize. */
  readonly quantize: boolean;
}

/** Needed unless there is a tokenizer.json. */
const TOKENIZER_FILES = ["vocab.json", "merges.txt", "tokenizer_config.json"];
const OPTIONAL_FILES = [
  "tokenizer.json",
  "generation_config.json",
  "preprocessor_config.json",
  "chat_template.json",
];

/**
 * Checks whether a model folder or a GGUF file is complete, from names, headers and config alone: no weights are read.
 * @throws ResourceError if there is nothing at the path, UnsupportedError outside Node
 */
export async function checkModel(path: string): Promise<ModelCheck> {
  if (!isNode) throw new UnsupportedError("model folders are checked in Node only");
  const names = await listFolder(path);
  const folder = names ?? [];
  const safetensors = folder.filter((name) => name.endsWith(".safetensors"));
  const ggufs = folder.filter((name) => name.toLowerCase().endsWith(".gguf")).sort();
  const problems: string[] = [];
  let opened: OpenedModel | null = null;
  try {
    opened = await openAny(path);
    problems.push(...(await contentProblems(opened)));
  } catch (error) {
    problems.push((error as Error).message);
  }
  try {
    return {
      family: await familyTitle(path, opened),
      parts: await checkParts(opened, folder),
      safetensors: { files: safetensors, byteLength: await totalBytes(path, safetensors) },
      gguf: { files: ggufs, chosen: chosenGguf(path, ggufs, safetensors) },
      problems,
      transcribe: problems.length === 0,
      quantize: problems.length === 0 && (safetensors.length > 0 || names === null),
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

/** A recogniser or a forced aligner; of two refusals the recogniser's is the one to tell. */
async function openAny(path: string): Promise<OpenedModel> {
  try {
    return await openModel(path, "qwen3-asr");
  } catch (refused) {
    try {
      return await openModel(path, "qwen3-forced-aligner");
    } catch {
      throw refused;
    }
  }
}

async function contentProblems(opened: OpenedModel): Promise<string[]> {
  const { configJson, files, location, main, decoder } = opened;
  const config = parseQwen3AsrConfig(configJson, await files.readText("generation_config.json"), location);
  const problems: string[] = [];
  const missing = expectedTensors(config).filter(
    (name) => !main.tensors.has(name) && decoder?.tensors.has(name) !== true,
  );
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
    problems.push(`${location}: tensor ${missing[0]}${more} missing`);
  }
  if ((await files.readText("tokenizer.json")) === null) {
    for (const name of TOKENIZER_FILES) {
      if ((await files.readText(name)) === null) problems.push(`${location}: ${name} is missing`);
    }
  }
  return problems;
}

async function familyTitle(path: string, opened: OpenedModel | null): Promise<string | null> {
  if (opened !== null) return detectModelFamily(JSON.parse(opened.configJson))?.title ?? null;
  const { readFile } = nodeBuiltin("node:fs/promises");
  try {
    const config: unknown = JSON.parse(
      await readFile(nodeBuiltin("node:path").join(path, "config.json"), "utf8"),
    );
    return detectModelFamily(config)?.title ?? null;
  } catch {
    return null;
  }
}

async function checkParts(
  opened: OpenedModel | null,
  folder: readonly string[],
): Promise<ModelCheck["parts"]> {
  const has = async (name: string) =>
    folder.includes(name) || (opened !== null && (await opened.files.readText(name)) !== null);
  const whole = await has("tokenizer.json");
  const parts: { name: string; present: boolean; optional: boolean }[] = [];
  for (const name of ["config.json", ...TOKENIZER_FILES, ...OPTIONAL_FILES]) {
    const optional = OPTIONAL_FILES.includes(name) || (whole && TOKENIZER_FILES.includes(name));
    parts.push({ name, present: await has(name), optional });
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
