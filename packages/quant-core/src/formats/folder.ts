import { FormatError, ResourceError } from "../errors.js";
import { isNode, nodeBuiltin } from "../platform.js";
import { BlobSource, MemorySource, quoted, type ByteSource } from "./byte-source.js";
import { fileError, FileSource, type FileMapper } from "./file-source.js";
import { displayUrl, fileNameOf, UrlSource, type UrlOptions } from "./url-source.js";

/** What a checkpoint or model can be opened from: a path, an http(s) or file URL, or content at hand. */
export type ModelSource = string | URL | Blob | ArrayBuffer | Uint8Array;

/** The files of one local folder or below one URL. */
export interface SourceFolder {
  readonly location: string;
  /**
   * @param name of a file in it, or below it: segments separated by `/`, checked by the caller
   * @returns null if there is no such file
   */
  open(name: string): Promise<ByteSource | null>;
  /** Names of its files, null where they cannot be listed. */
  list(): string[] | null;
}

/** A file in its folder, a folder alone, or content without a folder. */
export type Located =
  | { readonly folder: SourceFolder; readonly name: string | null }
  | { readonly folder: null; readonly source: ByteSource };

/** @throws ResourceError if a local path is not there */
export function locate(source: ModelSource, mapper: FileMapper | null, options: UrlOptions): Located {
  if (typeof source === "string") {
    if (/^(https?|file):\/\//i.test(source)) return locate(new URL(source), mapper, options);
    return locatePath(source, mapper);
  }
  if (ArrayBuffer.isView(source)) return { folder: null, source: new MemorySource(source) };
  if ("arrayBuffer" in source) return { folder: null, source: new BlobSource(source) };
  if ("byteLength" in source) return { folder: null, source: new MemorySource(source) };
  if (source.protocol === "file:") return locatePath(nodeBuiltin("node:url").fileURLToPath(source), mapper);
  const name = fileNameOf(source);
  const isFile = /\.(gguf|safetensors|json)$/.test(name);
  return { folder: new UrlFolder(source, isFile, options), name: isFile ? name : null };
}

function locatePath(path: string, mapper: FileMapper | null): Located {
  if (!isNode) {
    throw new ResourceError(
      `${path}: paths can be opened in Node only; give a URL, a Blob or an ArrayBuffer`,
    );
  }
  const { basename, dirname } = nodeBuiltin("node:path");
  try {
    if (nodeBuiltin("node:fs").statSync(path).isDirectory()) {
      return { folder: new LocalFolder(path, mapper), name: null };
    }
  } catch (error) {
    throw fileError(path, error);
  }
  return { folder: new LocalFolder(dirname(path), mapper), name: basename(path) };
}

class LocalFolder implements SourceFolder {
  readonly location: string;
  readonly #mapper: FileMapper | null;

  constructor(path: string, mapper: FileMapper | null) {
    this.location = path;
    this.#mapper = mapper;
  }

  async open(name: string): Promise<ByteSource | null> {
    const path = nodeBuiltin("node:path").join(this.location, name);
    if (!nodeBuiltin("node:fs").existsSync(path)) return null;
    return FileSource.open(path, this.#mapper);
  }

  list(): string[] {
    try {
      return nodeBuiltin("node:fs").readdirSync(this.location).sort();
    } catch (error) {
      throw fileError(this.location, error);
    }
  }
}

class UrlFolder implements SourceFolder {
  readonly location: string;
  readonly #base: URL;
  readonly #options: UrlOptions;

  /** `url` is one of the folder's files, or the folder itself. Its query goes along: some hosts keep access rights there. */
  constructor(url: URL, isFile: boolean, options: UrlOptions) {
    this.#base = new URL(url);
    if (isFile) this.#base.pathname = url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1);
    else if (!url.pathname.endsWith("/")) this.#base.pathname += "/";
    this.location = displayUrl(this.#base);
    this.#options = options;
  }

  open(name: string): Promise<ByteSource | null> {
    const url = new URL(this.#base);
    url.pathname += name.split("/").map(encodeURIComponent).join("/");
    return UrlSource.open(url, this.#options);
  }

  list(): null {
    return null;
  }
}

/**
 * Checks a file name that a file gave, so that it cannot lead out of the folder.
 * @throws FormatError if it is not a plain file name
 */
export function plainFileName(name: string, givenBy: string): string {
  const isPlain = name !== "" && name !== "." && name !== ".." && !/[/\\:\u0000-\u001f]/.test(name);
  if (isPlain) return name;
  throw new FormatError(
    `${givenBy}: names the file ${quoted(name)}, expected a plain file name in the same folder`,
  );
}

/**
 * Checks the path of a model's file, relative to the model: plain file names separated by `/`.
 * @throws FormatError if it leads elsewhere
 */
export function plainPath(path: string, givenBy: string): string {
  for (const segment of path.split("/")) plainFileName(segment, givenBy);
  return path;
}
