import { ResourceError, UnsupportedError } from "../errors.js";
import { isNode, nodeBuiltin } from "../platform.js";
import { chooseGguf, type FolderWeights } from "./gguf-choice.js";
import type { ModelFiles } from "./model-files.js";
import { hasSafetensors, listGgufs, parseJsonObject } from "./model-folder.js";

/** What a model folder or file has and lacks. */
export interface ModelFileCheck {
  /** Title of the model's family, null if it cannot be told. */
  readonly family: string | null;
  /** The small files of a model folder. */
  readonly parts: readonly { readonly name: string; readonly present: boolean; readonly optional: boolean }[];
  readonly safetensors: { readonly files: readonly string[]; readonly byteLength: number };
  /** `chosen`: the one that `auto` would take. */
  readonly gguf: { readonly files: readonly string[]; readonly chosen: string | null };
  /** What is missing or wrong, one sentence each. */
  readonly problems: readonly string[];
}

/** A small file of a model. */
export interface SmallFile {
  readonly name: string;
  /** Whether it may lack; the name of another file: where the model has that. */
  readonly optional: boolean | string;
}

/** What must be known of a family's models to check one. */
export interface CheckedFamily<Opened extends OpenedModelFiles> {
  open(path: string): Promise<Opened>;
  /** Title of the family that a config is of, null for one that is not known. */
  titleOf(config: unknown): string | null;
  readonly smallFiles: readonly SmallFile[];
  /** Tensors that the model needs and does not have. */
  missingTensors(opened: Opened): Promise<readonly MissingTensors[]>;
  readonly ggufChoice: Pick<FolderWeights, "preference" | "part">;
}

/** Names of tensors that should be in a file or folder. */
export interface MissingTensors {
  readonly location: string;
  readonly names: readonly string[];
}

interface OpenedModelFiles {
  readonly location: string;
  readonly files: ModelFiles;
  close(): Promise<void>;
}

/**
 * Checks whether a model folder or a GGUF file is complete, from names, headers and configs alone: no weights are read.
 * @throws ResourceError if there is nothing at the path, UnsupportedError outside Node
 */
export async function checkModelFiles<Opened extends OpenedModelFiles>(
  path: string,
  family: CheckedFamily<Opened>,
): Promise<ModelFileCheck> {
  if (!isNode) throw new UnsupportedError("model folders are checked in Node only");
  const names = await listFolder(path);
  const safetensors = names.filter((name) => name.endsWith(".safetensors"));
  const problems: string[] = [];
  let opened: Opened | null = null;
  try {
    opened = await family.open(path);
    for (const { location, names: missing } of await family.missingTensors(opened)) {
      if (missing.length === 0) continue;
      const more = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
      problems.push(`${location}: tensor ${missing[0]}${more} missing`);
    }
  } catch (error) {
    problems.push((error as Error).message);
  }
  try {
    const parts = await checkSmallFiles(path, family.smallFiles, opened);
    if (opened !== null) {
      const missing = parts.filter(({ present, optional }) => !present && !optional);
      problems.push(...missing.map(({ name }) => `${opened!.location}: ${name} is missing`));
    }
    return {
      family: await titleAt(path, family, opened),
      parts,
      safetensors: { files: safetensors, byteLength: await totalBytes(path, safetensors) },
      gguf: {
        files: names.filter((name) => name.toLowerCase().endsWith(".gguf")).sort(),
        chosen: names.length === 0 ? null : await chosenGguf(path, family.ggufChoice),
      },
      problems,
    };
  } finally {
    await opened?.close();
  }
}

/** Base names in a folder, none for a file. */
async function listFolder(path: string): Promise<string[]> {
  const { readdir, stat } = nodeBuiltin("node:fs/promises");
  try {
    return (await stat(path)).isDirectory() ? await readdir(path) : [];
  } catch (cause) {
    throw new ResourceError(`${path}: ${(cause as Error).message}`, { cause });
  }
}

async function checkSmallFiles(
  path: string,
  files: readonly SmallFile[],
  opened: OpenedModelFiles | null,
): Promise<ModelFileCheck["parts"]> {
  const { existsSync } = nodeBuiltin("node:fs");
  const { join } = nodeBuiltin("node:path");
  const present = new Set<string>();
  for (const { name } of files) {
    if (existsSync(join(path, name)) || ((await opened?.files.readText(name)) ?? null) !== null) {
      present.add(name);
    }
  }
  return files.map(({ name, optional }) => ({
    name,
    present: present.has(name),
    optional: typeof optional === "string" ? present.has(optional) : optional,
  }));
}

async function titleAt(
  path: string,
  family: Pick<CheckedFamily<never>, "titleOf">,
  opened: OpenedModelFiles | null,
): Promise<string | null> {
  const { readFile } = nodeBuiltin("node:fs/promises");
  const { join } = nodeBuiltin("node:path");
  const read = opened?.files.readText("config.json") ?? readFile(join(path, "config.json"), "utf8");
  const config = await read.catch(() => null);
  return family.titleOf(parseJsonObject(config));
}

async function chosenGguf(
  location: string,
  choice: CheckedFamily<never>["ggufChoice"],
): Promise<string | null> {
  const weights = { ggufs: await listGgufs(location), hasSafetensors: await hasSafetensors(location) };
  try {
    return chooseGguf({ location, ...weights, ...choice }).name;
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
