import { ResourceError } from "../errors.js";
import { isNode, nodeBuiltin } from "../platform.js";
import type { ModelSource } from "./folder.js";

/** Where a model was given: its folder, or one file of it. */
export type ModelPlace =
  | { readonly kind: "folder"; readonly folder: string }
  /** `folder`: where it lies, null for content without a place. */
  | { readonly kind: "file"; readonly source: ModelSource; readonly folder: string | null };

const WEIGHT_FILE = /\.(gguf|safetensors|safetensors\.index\.json)$/i;

/**
 * Tells a model folder from a file of weights. A URL is judged by its name, a path by what is there.
 * @throws ResourceError if there is nothing at the path, or for a path outside Node
 */
export async function locateModel(source: ModelSource): Promise<ModelPlace> {
  if (typeof source !== "string" && !(source instanceof URL)) return { kind: "file", source, folder: null };
  const text = String(source);
  if (isWebUrl(text)) {
    const path = new URL(text).pathname;
    return WEIGHT_FILE.test(path)
      ? { kind: "file", source: text, folder: new URL(".", text).href }
      : { kind: "folder", folder: text.endsWith("/") ? text : `${text}/` };
  }
  const path = text.startsWith("file:") ? nodeBuiltin("node:url").fileURLToPath(text) : text;
  if (!isNode) throw new ResourceError(`${path}: a browser cannot open a path; give a URL or a File`);
  const { stat } = nodeBuiltin("node:fs/promises");
  const { dirname } = nodeBuiltin("node:path");
  try {
    return (await stat(path)).isDirectory()
      ? { kind: "folder", folder: path }
      : { kind: "file", source: path, folder: dirname(path) };
  } catch (cause) {
    const reason =
      (cause as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file or folder" : String(cause);
    throw new ResourceError(`${path}: ${reason}; give a model folder or a .gguf file`, { cause });
  }
}

function isWebUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** A path or URL of its own, else one relative to the model folder (path or URL). */
export function resolveInFolder(folder: string, name: string): string {
  if (isWebUrl(name)) return name;
  if (isWebUrl(folder)) return new URL(name, folder.endsWith("/") ? folder : `${folder}/`).href;
  const { isAbsolute, join } = nodeBuiltin("node:path");
  return isAbsolute(name) ? name : join(folder, name);
}

/** For messages. */
export function describeSource(source: ModelSource): string {
  return typeof source === "string" || source instanceof URL ? String(source) : "the given model content";
}

/** Base names of the GGUF files in a folder; of a split one its first part. A remote folder cannot be listed: none. */
export async function listGgufs(folder: string): Promise<string[]> {
  const names = isWebUrl(folder) ? [] : await nodeBuiltin("node:fs/promises").readdir(folder);
  return names
    .filter((name) => name.toLowerCase().endsWith(".gguf") && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(name))
    .sort();
}

/** Whether a folder has safetensors weights. A remote folder cannot be listed and is taken for one that has. */
export async function hasSafetensors(folder: string): Promise<boolean> {
  if (isWebUrl(folder)) return true;
  const names = await nodeBuiltin("node:fs/promises").readdir(folder);
  return names.some((name) =>
    /^model(-\d{5}-of-\d{5})?\.safetensors$|^model\.safetensors\.index\.json$/.test(name),
  );
}

/** Null for text that is no JSON object: the parser of the config that it should be has the better message. */
export function parseJsonObject(text: string | null): Record<string, unknown> | null {
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
