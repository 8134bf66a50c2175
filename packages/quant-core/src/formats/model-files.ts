import { ConfigError, FormatError } from "../errors.js";
import type { ByteSource } from "./byte-source.js";
import type { Checkpoint } from "./checkpoint.js";
import { locate, plainPath, type ModelSource } from "./folder.js";
import type { UrlOptions } from "./url-source.js";

/** The small text files of a model: config.json, vocab.json, merges.txt and the like. */
export interface ModelFiles {
  /** Path, URL or description, for messages. */
  readonly location: string;
  /**
   * The content of a file, null if the model does not have it. A file of a sub-folder is named `folder/name`.
   * @throws ResourceError if it cannot be read, FormatError if it is not UTF-8 text
   */
  readText(name: string): Promise<string | null>;
}

/** Metadata keys of a GGUF file that carries its model's files: this and the file's name. */
export const EMBEDDED_FILE_PREFIX = "voxquant.file.";

/** The largest, tokenizer.json, has 35 MB in the largest vocabularies. */
const MAX_TEXT_BYTES = 128 * 2 ** 20;

/**
 * The text files that belong to a model: those embedded in the checkpoint's metadata where it has them, else those of
 * the folder or URL that the model was given by.
 * @throws ResourceError if a local path is not there
 */
export async function openModelFiles(
  source: ModelSource,
  checkpoint?: Pick<Checkpoint, "metadata">,
  options: UrlOptions = {},
): Promise<ModelFiles> {
  const located = locate(source, null, options);
  return {
    location: located.folder?.location ?? "the given data",
    readText: async (name) => {
      plainPath(name, "the model");
      const embedded = checkpoint?.metadata.get(EMBEDDED_FILE_PREFIX + name);
      if (typeof embedded === "string") return embedded;
      const file = (await located.folder?.open(name)) ?? null;
      if (file === null) return null;
      try {
        return await readText(file);
      } finally {
        await file.close();
      }
    },
  };
}

/** The content of a file that a model must have. @throws ConfigError if it does not, and as `readText` */
export async function requireText(files: ModelFiles, name: string): Promise<string> {
  const text = await files.readText(name);
  if (text !== null) return text;
  throw new ConfigError(
    `${files.location}: ${name} is missing; it belongs to the model and comes with its download`,
  );
}

async function readText(file: ByteSource): Promise<string> {
  if (file.byteLength > MAX_TEXT_BYTES) {
    throw new FormatError(
      `${file.location}: ${file.byteLength} bytes, a text file of a model has at most ${MAX_TEXT_BYTES}`,
    );
  }
  const bytes = await file.read(0, file.byteLength);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${file.location}: not a UTF-8 text file`, { cause });
  }
}
