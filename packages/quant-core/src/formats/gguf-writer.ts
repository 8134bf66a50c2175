import { ConfigError, UnsupportedError } from "../errors.js";
import { GGML_TYPES, weightByteLength, type GgmlType } from "../weight.js";
import { quoted } from "./byte-source.js";
import type { ByteSink } from "./byte-sink.js";
import type { Checkpoint, MetadataValue } from "./checkpoint.js";
import { alignUp, GGUF_DEFAULT_ALIGNMENT, GGUF_MAGIC, MAX_KEY_BYTES, MAX_TENSOR_DIMS } from "./gguf.js";
import {
  GGUF_ARRAY_TYPE,
  GGUF_SCALAR_BYTES,
  GGUF_SCALAR_TYPES,
  TYPED_ARRAYS,
  type GgufScalarType,
  type GgufValueType,
} from "./gguf-values.js";

const GGUF_VERSION = 3;

/** ggml and its users (llama.cpp, whisper.cpp) refuse a file with a longer tensor name; gguf-py, candle and we do not. */
export const GGML_MAX_NAME_BYTES = 63;

export interface GgufTensorDeclaration {
  readonly name: string;
  readonly dtype: GgmlType;
  /** Row-major, at most 4 dimensions; written reversed. */
  readonly shape: readonly number[];
}

/** A metadata value with its type in the file. */
export interface TypedMetadataValue {
  readonly type: GgufValueType;
  readonly value: MetadataValue | readonly number[];
}

/**
 * A value to write. Without a type: integers become u32, i32 if negative, u64 or i64 beyond 32 bits; other numbers f32;
 * arrays of numbers i32 or f32; typed arrays keep their type.
 */
export type WritableMetadataValue = MetadataValue | readonly number[] | TypedMetadataValue;

export interface GgufWriteOptions {
  /** In the order of the file. `general.alignment` is written from `alignment`, not from here. */
  readonly metadata?: ReadonlyMap<string, WritableMetadataValue>;
  /** Bytes, a power of two from 8 on; default 32, the only one that candle reads. */
  readonly alignment?: number;
}

/**
 * Writes a GGUF file (version 3) from front to back: tensors are declared first, so that the header is complete, then
 * their data are given in the same order in pieces of any size. Nothing is kept in memory.
 */
export class GgufWriter {
  /** Length of the finished file. */
  readonly byteLength: number;
  /** Declared names that are too long for ggml. */
  readonly longNames: readonly string[];
  readonly #sink: ByteSink;
  readonly #alignment: number;
  readonly #tensors: readonly { readonly name: string; readonly byteLength: number }[];
  readonly #header: Uint8Array;
  /** Tensor that is being written, and its bytes so far. */
  #index = -1;
  #written = 0;

  /**
   * @throws ConfigError for a repeated or empty name, a value that its type cannot hold, or an alignment that is none;
   *   UnsupportedError for more than 4 dimensions; FormatError for a row length that does not fit the type's block
   */
  constructor(sink: ByteSink, tensors: readonly GgufTensorDeclaration[], options: GgufWriteOptions = {}) {
    const { metadata = new Map<string, WritableMetadataValue>(), alignment = GGUF_DEFAULT_ALIGNMENT } =
      options;
    if (!(alignment >= 8 && alignment <= 2 ** 20 && Number.isInteger(Math.log2(alignment)))) {
      throw new ConfigError(`GGUF alignment ${alignment}: expected a power of two from 8 to 2^20`);
    }
    this.#sink = sink;
    this.#alignment = alignment;
    this.#tensors = tensors.map(({ name, dtype, shape }) => ({
      name,
      byteLength: weightByteLength(dtype, shape, `tensor ${quoted(name)}`),
    }));
    this.longNames = tensors
      .map(({ name }) => name)
      .filter((name) => utf8.encode(name).length > GGML_MAX_NAME_BYTES);
    this.#header = encodeHeader(tensors, this.#tensors, metadata, alignment);
    const dataLength = this.#tensors.reduce((sum, { byteLength }) => sum + alignUp(byteLength, alignment), 0);
    this.byteLength = this.#header.length + dataLength;
  }

  /** Writes the next bytes of tensor `name`; the first call writes the header too. */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#begin();
    const tensor = this.#tensors[this.#index];
    if (tensor === undefined || tensor.name !== name || this.#written + bytes.length > tensor.byteLength) {
      throw new Error(
        `GGUF writer: ${bytes.length} bytes of ${quoted(name)} given, expected ` +
          (tensor === undefined
            ? "none after the last tensor"
            : `${tensor.byteLength - this.#written} or fewer of ${quoted(tensor.name)}`),
      );
    }
    await this.#sink.write(bytes);
    this.#written += bytes.length;
    if (this.#written === tensor.byteLength) await this.#next();
  }

  /** Completes the file; a writer without tensors writes its header here. @throws Error if data of a tensor are missing */
  async finish(): Promise<void> {
    await this.#begin();
    const missing = this.#tensors[this.#index];
    if (missing === undefined) return;
    throw new Error(
      `GGUF writer: finished, but ${missing.byteLength - this.#written} bytes of ${quoted(missing.name)} are missing`,
    );
  }

  async #begin(): Promise<void> {
    if (this.#index >= 0) return;
    await this.#sink.write(this.#header);
    this.#index = 0;
    await this.#skipEmpty();
  }

  /** Pads the complete tensor, the last one too: ggml reads padded sizes. */
  async #next(): Promise<void> {
    const padding = alignUp(this.#written, this.#alignment) - this.#written;
    if (padding > 0) await this.#sink.write(new Uint8Array(padding));
    this.#index++;
    this.#written = 0;
    await this.#skipEmpty();
  }

  async #skipEmpty(): Promise<void> {
    while (this.#tensors[this.#index]?.byteLength === 0) this.#index++;
  }
}

/** The metadata of a checkpoint with their types, to write them again as they were. */
export function typedMetadata(checkpoint: Checkpoint): Map<string, WritableMetadataValue> {
  const types = checkpoint.gguf?.metadataTypes;
  const typed = new Map<string, WritableMetadataValue>();
  for (const [key, value] of checkpoint.metadata) {
    const type = types?.get(key);
    typed.set(key, type === undefined ? value : { type, value });
  }
  return typed;
}

const utf8 = new TextEncoder();

function encodeHeader(
  tensors: readonly GgufTensorDeclaration[],
  sizes: readonly { readonly byteLength: number }[],
  metadata: ReadonlyMap<string, WritableMetadataValue>,
  alignment: number,
): Uint8Array {
  const entries = [...metadata].filter(([key]) => key !== "general.alignment");
  if (alignment !== GGUF_DEFAULT_ALIGNMENT)
    entries.push(["general.alignment", { type: "u32", value: alignment }]);
  const out = new Encoder();
  out.raw(Uint8Array.from(GGUF_MAGIC));
  out.u32(GGUF_VERSION);
  out.u64(tensors.length);
  out.u64(entries.length);
  for (const [key, value] of entries) encodeEntry(out, key, value);
  const names = new Set<string>();
  let offset = 0;
  tensors.forEach(({ name, dtype, shape }, i) => {
    if (name === "" || names.has(name))
      throw new ConfigError(`GGUF writer: tensor name ${quoted(name)} is empty or repeated`);
    names.add(name);
    if (shape.length > MAX_TENSOR_DIMS) {
      throw new UnsupportedError(
        `tensor ${quoted(name)} has shape [${shape.join(", ")}]; GGUF has at most ${MAX_TENSOR_DIMS} dimensions, flatten it`,
      );
    }
    out.string(name);
    const dims = shape.length === 0 ? [1] : [...shape].reverse(); // rank 0 is rare enough to be misread elsewhere
    out.u32(dims.length);
    for (const dim of dims) out.u64(dim);
    out.u32(GGML_TYPES[dtype].id);
    out.u64(offset);
    offset += alignUp(sizes[i]!.byteLength, alignment);
  });
  if (tensors.length > 0) out.raw(new Uint8Array(alignUp(out.length, alignment) - out.length));
  return out.finish();
}

function encodeEntry(out: Encoder, key: string, given: WritableMetadataValue): void {
  const keyBytes = utf8.encode(key).length;
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES) {
    throw new ConfigError(
      `GGUF metadata key ${quoted(key)} has ${keyBytes} bytes, expected 1 to ${MAX_KEY_BYTES}`,
    );
  }
  const { type, value } = isTyped(given) ? given : { type: inferType(given, key), value: given };
  out.string(key);
  if (!type.endsWith("[]")) {
    out.u32(GGUF_SCALAR_TYPES.indexOf(type as GgufScalarType));
    out.scalar(type as GgufScalarType, value, key);
    return;
  }
  const elementType = type.slice(0, -2) as GgufScalarType;
  if (typeof value !== "object")
    throw new ConfigError(`GGUF metadata ${quoted(key)}: expected an array for ${type}`);
  out.u32(GGUF_ARRAY_TYPE);
  out.u32(GGUF_SCALAR_TYPES.indexOf(elementType));
  out.u64(value.length);
  for (const element of value) out.scalar(elementType, element, key);
}

function isTyped(value: WritableMetadataValue): value is TypedMetadataValue {
  return typeof value === "object" && "type" in value && "value" in value;
}

function inferType(value: MetadataValue | readonly number[], key: string): GgufValueType {
  if (typeof value !== "object") return inferScalarType(value);
  if (ArrayBuffer.isView(value)) {
    for (const [type, constructor] of Object.entries(TYPED_ARRAYS)) {
      if (value.constructor.name === constructor.name) return `${type as GgufScalarType}[]`;
    }
  }
  const elements = Array.from<unknown>(value as ArrayLike<unknown>);
  const kinds = new Set(elements.map((element) => typeof element));
  if (kinds.size > 1)
    throw new ConfigError(`GGUF metadata ${quoted(key)}: an array of ${[...kinds].join(" and ")}`);
  if (kinds.size === 0 || kinds.has("string")) return "string[]";
  if (kinds.has("boolean")) return "bool[]";
  if (kinds.has("number")) return elements.every((element) => Number.isInteger(element)) ? "i32[]" : "f32[]";
  throw new ConfigError(`GGUF metadata ${quoted(key)}: arrays of ${[...kinds].join()} cannot be written`);
}

function inferScalarType(value: string | number | bigint | boolean): GgufScalarType {
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return value < 0n ? "i64" : "u64";
  if (!Number.isInteger(value)) return "f32";
  if (value < 0) return value >= -(2 ** 31) ? "i32" : "i64";
  return value < 2 ** 32 ? "u32" : "u64";
}

/** Inclusive bounds of the integer types. */
const INTEGER_RANGES: Partial<Record<GgufScalarType, readonly [bigint, bigint]>> = {
  u8: [0n, 0xffn],
  i8: [-0x80n, 0x7fn],
  u16: [0n, 0xffffn],
  i16: [-0x8000n, 0x7fffn],
  u32: [0n, 0xffffffffn],
  i32: [-0x80000000n, 0x7fffffffn],
  u64: [0n, 2n ** 64n - 1n],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
};

/** Little-endian values in a buffer that grows. */
class Encoder {
  length = 0;
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length); // first: it may replace the buffer
    this.#bytes.set(bytes, at);
  }

  u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#grow(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  string(text: string): void {
    const start = this.length;
    const at = this.#grow(8 + 3 * text.length) + 8; // UTF-8 takes at most 3 bytes per UTF-16 unit
    const { written } = utf8.encodeInto(text, this.#bytes.subarray(at));
    this.length = start;
    this.u64(written);
    this.length += written;
  }

  scalar(type: GgufScalarType, value: unknown, key: string): void {
    if (type === "string" && typeof value === "string") return this.string(value);
    if (type === "bool" && typeof value === "boolean") return this.raw(Uint8Array.of(value ? 1 : 0));
    const isFloat = type === "f32" || type === "f64";
    if (isFloat && typeof value === "number") {
      const at = this.#grow(GGUF_SCALAR_BYTES[type]);
      if (type === "f32") this.#view.setFloat32(at, value, true);
      else this.#view.setFloat64(at, value, true);
      return;
    }
    const range = INTEGER_RANGES[type];
    const isInteger = typeof value === "bigint" || Number.isInteger(value);
    const integer = isInteger ? BigInt(value as number | bigint) : 0n;
    if (range === undefined || !isInteger || integer < range[0] || integer > range[1]) {
      throw new ConfigError(`GGUF metadata ${quoted(key)}: ${String(value).slice(0, 100)} is no ${type}`);
    }
    const size = GGUF_SCALAR_BYTES[type];
    const at = this.#grow(8); // room for a 64-bit value, of which the low bytes count
    this.#view.setBigUint64(at, BigInt.asUintN(64, integer), true);
    this.length = at + size;
  }

  /** Position of `count` more bytes. */
  #grow(count: number): number {
    const start = this.length;
    this.length += count;
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}
