import { FormatError, UnsupportedError } from "../errors.js";
import { GGML_TYPES, ggmlTypeOfId, type GgmlType } from "../weight.js";
import { parsePrefix, quoted, type ByteSource } from "./byte-source.js";
import type { MetadataValue, TensorInfo } from "./checkpoint.js";
import { foreignFile } from "./foreign.js";
import {
  GGUF_ARRAY_TYPE,
  GGUF_SCALAR_BYTES,
  GGUF_SCALAR_TYPES,
  GgufCursor,
  type GgufScalarType,
  type GgufValueType,
} from "./gguf-values.js";

export const GGUF_MAGIC = [0x47, 0x47, 0x55, 0x46] as const;
export const GGUF_DEFAULT_ALIGNMENT = 32;
/** Largest alignment accepted: above any page size, small enough that padding stays nothing. */
const MAX_ALIGNMENT = 2 ** 20;
/** A header is read into memory whole; the largest vocabularies make one of some 20 MB. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;
/** The format's limit for keys. */
export const MAX_KEY_BYTES = 65535;
/** Checkpoint names reach 70 bytes; ggml itself stops at 63. */
const MAX_TENSOR_NAME_BYTES = 1024;
export const MAX_TENSOR_DIMS = 4;
/** Key length, type and a one-byte value. */
const MIN_METADATA_BYTES = 13;
/** Name length, rank, type and offset. */
const MIN_TENSOR_INFO_BYTES = 24;

/** Dtype of a tensor of a GGUF file is always a ggml type. */
export interface GgufTensorInfo extends TensorInfo {
  readonly dtype: GgmlType;
}

export interface GgufHeader {
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly metadataTypes: ReadonlyMap<string, GgufValueType>;
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  /** Position of the data section in the file. */
  readonly dataStart: number;
}

/** `n` rounded up to a multiple of `alignment`; exact to 2^53, unlike bit tricks. */
export function alignUp(n: number, alignment: number): number {
  return Math.ceil(n / alignment) * alignment;
}

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian: as little of the file as that takes.
 * Every count is proven to fit the file before anything is allocated for it.
 * @throws FormatError for a damaged, truncated or foreign file, UnsupportedError for version 1, later versions, big-endian
 *   files, nested arrays and unknown tensor types
 */
export function parseGgufHeader(source: ByteSource): Promise<GgufHeader> {
  return parsePrefix(source, MAX_HEADER_BYTES, (prefix) => parse(source, prefix));
}

function parse(source: ByteSource, prefix: Uint8Array): GgufHeader {
  const { location } = source;
  if (!GGUF_MAGIC.every((byte, i) => prefix[i] === byte)) throw foreignFile(location, "GGUF", prefix);
  const cursor = new GgufCursor(source, prefix);
  cursor.u32("magic");
  const version = cursor.u32("version");
  checkVersion(version, location);
  const tensorCount = cursor.count("tensor count", MIN_TENSOR_INFO_BYTES);
  const metadataCount = cursor.count("metadata count", MIN_METADATA_BYTES);
  const { metadata, metadataTypes } = parseMetadata(cursor, metadataCount);
  const alignment = alignmentOf(metadata, metadataTypes, location);
  const infos = parseTensorInfos(cursor, tensorCount);
  const dataStart = tensorCount === 0 ? cursor.position : alignUp(cursor.position, alignment);
  const tensors = placeTensors(infos, dataStart, alignment, source);
  return { version, alignment, metadata, metadataTypes, tensors, dataStart };
}

function checkVersion(version: number, location: string): void {
  if (version === 2 || version === 3) return;
  if (version === 0) throw new FormatError(`${location}: GGUF version 0 does not exist, the file is damaged`);
  if ((version & 0xffff) === 0) {
    throw new UnsupportedError(
      `${location}: a big-endian GGUF file; only little-endian ones are read, convert it first`,
    );
  }
  throw new UnsupportedError(
    `${location}: GGUF version ${version}, versions 2 and 3 are read` +
      (version === 1 ? "; write it anew with a current llama.cpp" : "; a newer release may read it"),
  );
}

function parseMetadata(cursor: GgufCursor, count: number) {
  const metadata = new Map<string, MetadataValue>();
  const metadataTypes = new Map<string, GgufValueType>();
  for (let i = 0; i < count; i++) {
    const key = cursor.name(`metadata key ${i}`, MAX_KEY_BYTES);
    if (key === "") throw new FormatError(`${cursor.location}: metadata key ${i} is empty`);
    if (metadata.has(key))
      throw new FormatError(`${cursor.location}: metadata key ${quoted(key)} occurs twice`);
    const what = `metadata ${quoted(key)}`;
    const id = cursor.u32(`type of ${what}`);
    if (id === GGUF_ARRAY_TYPE) {
      const elementId = cursor.u32(`element type of ${what}`);
      if (elementId === GGUF_ARRAY_TYPE) {
        throw new UnsupportedError(
          `${cursor.location}: ${what} is an array of arrays, which ggml does not read either`,
        );
      }
      const type = scalarType(elementId, what, cursor.location);
      const length = cursor.count(what, GGUF_SCALAR_BYTES[type]);
      metadata.set(key, cursor.array(type, length, what));
      metadataTypes.set(key, `${type}[]`);
    } else {
      const type = scalarType(id, what, cursor.location);
      metadata.set(key, cursor.scalar(type, what));
      metadataTypes.set(key, type);
    }
  }
  return { metadata, metadataTypes };
}

function scalarType(id: number, what: string, location: string): GgufScalarType {
  const type = GGUF_SCALAR_TYPES[id];
  if (type == null)
    throw new FormatError(`${location}: ${what} has value type ${id}, 0 to 12 exist: the file is damaged`);
  return type;
}

function alignmentOf(
  metadata: ReadonlyMap<string, MetadataValue>,
  types: ReadonlyMap<string, GgufValueType>,
  location: string,
): number {
  const value = metadata.get("general.alignment");
  if (value === undefined) return GGUF_DEFAULT_ALIGNMENT;
  const type = types.get("general.alignment")!;
  if (type !== "u32" || typeof value !== "number") {
    throw new FormatError(`${location}: general.alignment has type ${type}, expected u32`);
  }
  if (value < 8 || value > MAX_ALIGNMENT || (value & (value - 1)) !== 0) {
    throw new FormatError(
      `${location}: general.alignment is ${value}, expected a power of two from 8 to ${MAX_ALIGNMENT}`,
    );
  }
  return value;
}

interface RawTensorInfo {
  readonly name: string;
  readonly dtype: GgmlType;
  readonly shape: number[];
  readonly byteLength: number;
  readonly offset: number;
}

function parseTensorInfos(cursor: GgufCursor, count: number): RawTensorInfo[] {
  const infos: RawTensorInfo[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const name = cursor.name(`name of tensor ${i}`, MAX_TENSOR_NAME_BYTES);
    if (names.has(name)) throw new FormatError(`${cursor.location}: tensor ${quoted(name)} occurs twice`);
    names.add(name);
    const what = `${cursor.location}: tensor ${quoted(name)}`;
    const rank = cursor.u32(`rank of tensor ${quoted(name)}`);
    if (rank > MAX_TENSOR_DIMS) {
      throw new FormatError(`${what} has ${rank} dimensions, at most ${MAX_TENSOR_DIMS} are allowed`);
    }
    const shape: number[] = [];
    for (let d = 0; d < rank; d++) shape.unshift(cursor.u64(`dimension ${d} of tensor ${quoted(name)}`));
    const dtype = ggmlTypeOfId(cursor.u32(`type of tensor ${quoted(name)}`), what);
    const offset = cursor.u64(`offset of tensor ${quoted(name)}`);
    infos.push({ name, dtype, shape, byteLength: checkedByteLength(dtype, shape, what), offset });
  }
  return infos;
}

function checkedByteLength(dtype: GgmlType, shape: readonly number[], what: string): number {
  const { block, bytes } = GGML_TYPES[dtype];
  const row = shape.at(-1) ?? 1;
  if (row % block !== 0) {
    throw new FormatError(`${what}: row length ${row} is not a multiple of ${dtype}'s block of ${block}`);
  }
  let length = (row / block) * bytes;
  // Checked at every step: a product that overflows can come back into range by a later zero.
  for (const dim of shape.slice(0, -1)) length = Number.isSafeInteger(length) ? length * dim : Infinity;
  if (!Number.isSafeInteger(length))
    throw new FormatError(`${what}: shape [${shape.join(", ")}] is too large for any file`);
  return length;
}

/** Absolute positions in info order, after the check that the tensors fill the data section without holes or overlaps. */
function placeTensors(
  infos: readonly RawTensorInfo[],
  dataStart: number,
  alignment: number,
  source: ByteSource,
): Map<string, GgufTensorInfo> {
  let expected = 0;
  const byOffset = [...infos].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  for (const { name, offset, byteLength } of byOffset) {
    const what = `${source.location}: tensor ${quoted(name)}`;
    if (offset % alignment !== 0) {
      throw new FormatError(`${what} has offset ${offset}, not a multiple of the alignment ${alignment}`);
    }
    const end = dataStart + offset + byteLength;
    if (end > source.byteLength) {
      throw new FormatError(
        `${what} ends at byte ${end}, the file at ${source.byteLength}: it is truncated or damaged, fetch it again`,
      );
    }
    if (offset !== expected) {
      throw new FormatError(
        `${what} has offset ${offset}, expected ${expected}: tensors ${offset < expected ? "overlap" : "leave a hole"}`,
      );
    }
    expected = alignUp(offset + byteLength, alignment);
  }
  return new Map(
    infos.map((info) => [info.name, { ...info, file: source.name, offset: dataStart + info.offset }]),
  );
}
