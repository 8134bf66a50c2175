import { ResourceError, UnsupportedError } from "../errors.js";
import { GGML_TYPES, type GgmlType, type Weight } from "../weight.js";
import { quoted, type ByteSource } from "./byte-source.js";
import type { GgufValueType } from "./gguf-values.js";

/** A tensor as its checkpoint declares it. */
export interface TensorInfo {
  readonly name: string;
  /** Name of the ggml type, or of the safetensors dtype where ggml has none (BOOL, U8, F8_E4M3 …). */
  readonly dtype: string;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Base name of the file that holds it. */
  readonly file: string;
  /** Position in that file. */
  readonly offset: number;
}

/**
 * A metadata value. Scalars of 64 bits are bigint where a number would not be exact; numeric arrays are typed arrays,
 * arrays of bools and strings plain ones.
 */
export type MetadataValue =
  | string
  | number
  | bigint
  | boolean
  | readonly string[]
  | readonly boolean[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

export interface GgufProperties {
  readonly version: number;
  /** Bytes; of the first file of a split. */
  readonly alignment: number;
  /** Types of the metadata values in the file, to write them again as they were. */
  readonly metadataTypes: ReadonlyMap<string, GgufValueType>;
}

/** An opened checkpoint: one file or several shards, as one set of tensors. Nothing of the tensors was read yet. */
export interface Checkpoint {
  readonly format: "gguf" | "safetensors";
  /** Path, URL or description, for messages. */
  readonly location: string;
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Present for GGUF only. */
  readonly gguf?: GgufProperties;
  /**
   * A tensor: a view of the mapped file or of the memory that was given, else its bytes read now.
   * @throws ResourceError if it is not there or its file was cut, UnsupportedError for a dtype that ggml does not have
   */
  read(name: string): Promise<Weight>;
  /**
   * Bytes `[start, end)` of a tensor of any dtype.
   * @throws ResourceError if it is not there or its file was cut
   */
  readRange(name: string, start: number, end: number): Promise<Uint8Array>;
  /** @throws ResourceError if a file was cut, changed or replaced since it was opened */
  verifyUnchanged(): Promise<void>;
  /** Ends access; weights that are views of a mapped file become empty. */
  close(): Promise<void>;
}

export interface CheckpointContent {
  readonly format: "gguf" | "safetensors";
  readonly location: string;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly gguf?: GgufProperties;
}

/** A checkpoint over the files that it was parsed from, which it closes. */
export class SourceCheckpoint implements Checkpoint {
  readonly format: "gguf" | "safetensors";
  readonly location: string;
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly gguf?: GgufProperties;
  readonly #sources: ReadonlyMap<string, ByteSource>;

  constructor(sources: readonly ByteSource[], content: CheckpointContent) {
    this.format = content.format;
    this.location = content.location;
    this.metadata = content.metadata;
    this.tensors = content.tensors;
    if (content.gguf !== undefined) this.gguf = content.gguf;
    this.files = sources.map(({ name, byteLength }) => ({ name, byteLength }));
    this.#sources = new Map(sources.map((source) => [source.name, source]));
  }

  async read(name: string): Promise<Weight> {
    const info = this.#info(name);
    if (!isGgmlType(info.dtype)) {
      throw new UnsupportedError(
        `${this.location}: tensor ${quoted(name)} has dtype ${info.dtype}, which the kernels do not know`,
      );
    }
    const bytes = await this.#read(info, 0, info.byteLength);
    return { name, dtype: info.dtype, shape: info.shape, bytes };
  }

  async readRange(name: string, start: number, end: number): Promise<Uint8Array> {
    const info = this.#info(name);
    if (!(0 <= start && start <= end && end <= info.byteLength)) {
      throw new RangeError(
        `bytes [${start}, ${end}) of tensor ${quoted(name)}, which has ${info.byteLength}`,
      );
    }
    return this.#read(info, start, end);
  }

  async verifyUnchanged(): Promise<void> {
    for (const source of this.#sources.values()) await source.verifyUnchanged();
  }

  async close(): Promise<void> {
    for (const source of this.#sources.values()) await source.close();
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info !== undefined) return info;
    throw new ResourceError(
      `${this.location}: there is no tensor ${quoted(name)} among its ${this.tensors.size}`,
    );
  }

  #read(info: TensorInfo, start: number, end: number): Promise<Uint8Array> {
    return this.#sources.get(info.file)!.read(info.offset + start, info.offset + end);
  }
}

function isGgmlType(dtype: string): dtype is GgmlType {
  return Object.hasOwn(GGML_TYPES, dtype);
}

/**
 * True if two row-major shapes are equal but for leading ones: ggml's own writer drops those, so `[1, 1024]` comes back
 * as `[1024]`.
 */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const [longer, shorter] = a.length >= b.length ? [a, b] : [b, a];
  const extra = longer.length - shorter.length;
  return longer.every((dim, i) => dim === (i < extra ? 1 : shorter[i - extra]));
}
