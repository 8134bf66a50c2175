import { loadAddon } from "../backends/native/addon.js";
import { FormatError, ResourceError, UnsupportedError } from "../errors.js";
import { isNode } from "../platform.js";
import { quoted, type ByteSource } from "./byte-source.js";
import { SourceCheckpoint, type Checkpoint, type MetadataValue, type TensorInfo } from "./checkpoint.js";
import type { FileMapper } from "./file-source.js";
import { locate, plainFileName, type ModelSource, type SourceFolder } from "./folder.js";
import { SIGNATURE_BYTES } from "./foreign.js";
import { GGUF_MAGIC, parseGgufHeader, type GgufHeader } from "./gguf.js";
import { parseSafetensorsHeader } from "./safetensors.js";

export interface OpenOptions {
  /** Map local files into memory where the native addon can, instead of reading them at positions. Default true. */
  readonly map?: boolean;
  /** Ends the opening and, of URLs, also later reads. */
  readonly signal?: AbortSignal;
  /** For URLs, default the global one. */
  readonly fetch?: typeof fetch;
}

/** An index of 100,000 tensors takes some 10 MB. */
const MAX_INDEX_BYTES = 64 * 2 ** 20;

/** Most files that one checkpoint may be cut into: numbers have five digits, but every file is held open. */
const MAX_SHARDS = 1024;

/**
 * Opens a checkpoint and reads its header: of a GGUF file (for a split one: the first part), of a safetensors file, of
 * the shards of a `model.safetensors.index.json`, or of what a model folder has (`model.safetensors`, else the index,
 * else `model-*-of-*.safetensors`). Of a remote file the header alone is fetched.
 * @throws ResourceError for a missing or unreadable file, FormatError for a damaged, truncated or foreign one,
 *   UnsupportedError for a valid one that cannot be read
 */
export async function openCheckpoint(source: ModelSource, options: OpenOptions = {}): Promise<Checkpoint> {
  options.signal?.throwIfAborted();
  const mapper: FileMapper | null = (options.map ?? true) && isNode ? loadAddon() : null;
  const located = locate(source, mapper, options);
  const opened: ByteSource[] = [];
  try {
    if (located.folder === null) {
      opened.push(located.source);
      return await openFile(located.source, null, opened);
    }
    const folder = keepOpened(located.folder, opened);
    if (located.name === null) return await openFolder(folder, opened);
    return await openFile(await openExisting(folder, located.name), folder, opened);
  } catch (error) {
    for (const file of opened) await file.close();
    throw error;
  }
}

/** The folder, with every file that it opens added to `opened`. */
function keepOpened(folder: SourceFolder, opened: ByteSource[]): SourceFolder {
  return {
    location: folder.location,
    list: () => folder.list(),
    open: async (name) => {
      const source = await folder.open(name);
      if (source !== null) opened.push(source);
      return source;
    },
  };
}

async function openExisting(folder: SourceFolder, name: string): Promise<ByteSource> {
  const source = await folder.open(name);
  if (source === null) throw new ResourceError(`${join(folder, name)}: there is no such file`);
  return source;
}

function join(folder: SourceFolder, name: string): string {
  return folder.location.endsWith("/") ? folder.location + name : `${folder.location}/${name}`;
}

async function openFile(
  file: ByteSource,
  folder: SourceFolder | null,
  opened: ByteSource[],
): Promise<Checkpoint> {
  const head = await file.read(0, Math.min(SIGNATURE_BYTES, file.byteLength));
  if (GGUF_MAGIC.every((byte, i) => head[i] === byte) || file.name.endsWith(".gguf")) {
    return openGguf(file, folder, opened);
  }
  if (folder !== null && file.name.endsWith(".index.json")) return openIndex(file, folder, opened);
  const header = await parseSafetensorsHeader(file);
  return new SourceCheckpoint([file], { format: "safetensors", location: file.location, ...header });
}

async function openFolder(folder: SourceFolder, opened: ByteSource[]): Promise<Checkpoint> {
  const single = await folder.open("model.safetensors");
  if (single !== null) return openFile(single, folder, opened);
  const index = await folder.open("model.safetensors.index.json");
  if (index !== null) return openIndex(index, folder, opened);
  const names = folder.list() ?? [];
  const shards = shardNames(folder, names);
  if (shards !== null) {
    const headers = await openShards(folder, shards, "the numbers in the names of the other shards");
    return mergeSafetensors(folder.location, headers, null, opened);
  }
  const others = names.filter((name) => /\.(gguf|safetensors|bin|pt|pth|nemo)$/.test(name));
  throw new ResourceError(
    `${folder.location}: there is no model.safetensors, model.safetensors.index.json or model-00001-of-0000N.safetensors` +
      (others.length === 0
        ? ""
        : `; to open another file, give its path (found: ${others.slice(0, 8).map(quoted).join(", ")})`),
  );
}

/** The complete list of `model-*-of-*.safetensors`, null if there is none. */
function shardNames(folder: SourceFolder, names: readonly string[]): string[] | null {
  const totals = new Set<string>();
  for (const name of names) {
    const match = /^model-\d{5}-of-(\d{5})\.safetensors$/.exec(name);
    if (match !== null) totals.add(match[1]!);
  }
  if (totals.size === 0) return null;
  const [total] = totals;
  if (totals.size > 1) {
    throw new FormatError(
      `${folder.location}: shards of different sets (of ${[...totals].join(", of ")}); keep one set`,
    );
  }
  const count = Number(total);
  checkShardCount(count, folder.location);
  return Array.from(
    { length: count },
    (_, i) => `model-${String(i + 1).padStart(5, "0")}-of-${total}.safetensors`,
  );
}

function checkShardCount(count: number, location: string): void {
  if (count >= 1 && count <= MAX_SHARDS) return;
  throw new FormatError(`${location}: a checkpoint in ${count} files, 1 to ${MAX_SHARDS} are expected`);
}

interface Shard {
  readonly name: string;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

async function openShards(folder: SourceFolder, names: readonly string[], namedBy: string): Promise<Shard[]> {
  const shards: Shard[] = [];
  for (const name of names) {
    const file = await folder.open(name);
    if (file === null) throw missingShard(folder, name, namedBy);
    shards.push({ name, ...(await parseSafetensorsHeader(file)) });
  }
  return shards;
}

function missingShard(folder: SourceFolder, name: string, namedBy: string): ResourceError {
  return new ResourceError(
    `${join(folder, name)}: this shard of the checkpoint is missing (named by ${namedBy}); fetch it into the same folder`,
  );
}

async function openIndex(file: ByteSource, folder: SourceFolder, opened: ByteSource[]): Promise<Checkpoint> {
  const weightMap = await readIndex(file);
  await file.close();
  const names = [...new Set(weightMap.values())].sort();
  checkShardCount(names.length, file.location);
  const shards = await openShards(folder, names, file.name);
  return mergeSafetensors(file.location, shards, weightMap, opened);
}

async function readIndex(file: ByteSource): Promise<Map<string, string>> {
  if (file.byteLength > MAX_INDEX_BYTES) {
    throw new FormatError(
      `${file.location}: ${file.byteLength} bytes, an index has at most ${MAX_INDEX_BYTES}`,
    );
  }
  const text = new TextDecoder().decode(await file.read(0, file.byteLength));
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${file.location}: not valid JSON; fetch the file again`, { cause });
  }
  const weightMap = isObject(index) ? index["weight_map"] : undefined;
  if (!isObject(weightMap)) {
    throw new FormatError(`${file.location}: lacks the object weight_map (tensor name to file name)`);
  }
  const entries = new Map<string, string>();
  for (const [tensor, name] of Object.entries(weightMap)) {
    if (typeof name !== "string") {
      throw new FormatError(`${file.location}: weight_map gives no file name for tensor ${quoted(tensor)}`);
    }
    entries.set(tensor, plainFileName(name, file.location));
  }
  return entries;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One set of tensors: those of the index, each from the file it names, or without an index all. */
function mergeSafetensors(
  location: string,
  shards: readonly Shard[],
  weightMap: ReadonlyMap<string, string> | null,
  opened: readonly ByteSource[],
): Checkpoint {
  const metadata = new Map<string, MetadataValue>();
  for (const shard of shards) {
    for (const [key, value] of shard.metadata) if (!metadata.has(key)) metadata.set(key, value);
  }
  let tensors = new Map<string, TensorInfo>();
  if (weightMap === null) {
    tensors = mergeTensors(location, shards);
  } else {
    const byName = new Map(shards.map((shard) => [shard.name, shard]));
    for (const [name, file] of weightMap) {
      const info = byName.get(file)!.tensors.get(name);
      if (info === undefined) {
        throw new FormatError(
          `${location}: places tensor ${quoted(name)} in ${file}, which does not have it; fetch index and shards of one version`,
        );
      }
      tensors.set(name, info);
    }
  }
  const files = opened.filter((source) => shards.some((shard) => shard.name === source.name));
  return new SourceCheckpoint(files, { format: "safetensors", location, metadata, tensors });
}

function mergeTensors(location: string, shards: readonly Pick<Shard, "tensors">[]): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  for (const shard of shards) {
    for (const [name, info] of shard.tensors) {
      const other = tensors.get(name);
      if (other !== undefined) {
        throw new FormatError(`${location}: tensor ${quoted(name)} is in ${other.file} and in ${info.file}`);
      }
      tensors.set(name, info);
    }
  }
  return tensors;
}

async function openGguf(
  file: ByteSource,
  folder: SourceFolder | null,
  opened: ByteSource[],
): Promise<Checkpoint> {
  const first = await parseGgufHeader(file);
  const { version, alignment, metadataTypes } = first;
  const format = "gguf";
  const { location } = file;
  const count = splitNumber(first, "split.count", location) ?? 1;
  if (count === 1) {
    const { metadata, tensors } = first;
    return new SourceCheckpoint([file], {
      format,
      location,
      metadata,
      tensors,
      gguf: { version, alignment, metadataTypes },
    });
  }
  const parts = [first, ...(await openOtherParts(file, first, count, folder))];
  const tensors = mergeTensors(location, parts);
  const declared = splitNumber(first, "split.tensors.count", location);
  if (declared !== null && declared !== tensors.size) {
    throw new FormatError(
      `${location}: split.tensors.count is ${declared}, its ${count} files have ${tensors.size} tensors`,
    );
  }
  return new SourceCheckpoint(opened, {
    format,
    location,
    metadata: withoutSplit(first.metadata),
    tensors,
    gguf: { version, alignment, metadataTypes: withoutSplit(metadataTypes) },
  });
}

/** The parts 2 to `count` of a split file, opened beside the first (llama.cpp's names and keys). */
async function openOtherParts(
  file: ByteSource,
  first: GgufHeader,
  count: number,
  folder: SourceFolder | null,
): Promise<GgufHeader[]> {
  const { location } = file;
  checkShardCount(count, location);
  if (folder === null) {
    throw new UnsupportedError(`${location}: part of a split file, which can be opened by path or URL only`);
  }
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(file.name);
  if (match === null || Number(match[3]) !== count) {
    throw new FormatError(
      `${location}: a file split in ${count}, but not named NAME-00001-of-${String(count).padStart(5, "0")}.gguf; ` +
        "give the parts their names back",
    );
  }
  const nameOf = (part: number) => `${match[1]}-${String(part + 1).padStart(5, "0")}-of-${match[3]}.gguf`;
  const number = splitNumber(first, "split.no", location);
  if (number !== 0 || Number(match[2]) !== 1) {
    throw new FormatError(
      `${location}: part ${(number ?? 0) + 1} of a split file; open the first, ${nameOf(0)}`,
    );
  }
  const parts: GgufHeader[] = [];
  for (let part = 1; part < count; part++) {
    const other = await folder.open(nameOf(part));
    if (other === null) throw missingShard(folder, nameOf(part), file.name);
    const header = await parseGgufHeader(other);
    const found = splitNumber(header, "split.no", other.location);
    if (found !== part) {
      throw new FormatError(
        `${other.location}: split.no is ${found ?? "missing"}, expected ${part}: parts of different files`,
      );
    }
    parts.push(header);
  }
  return parts;
}

function splitNumber(header: GgufHeader, key: string, location: string): number | null {
  const value = header.metadata.get(key);
  if (value === undefined) return null;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw new FormatError(`${location}: ${key} is not a natural number`);
}

function withoutSplit<T>(entries: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...entries].filter(([key]) => !key.startsWith("split.")));
}
