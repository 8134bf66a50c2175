import { FormatError } from "../errors.js";
import { MoreBytesNeeded, type ByteSource } from "./byte-source.js";
import type { MetadataValue } from "./checkpoint.js";

/** GGUF metadata value types by id (ggml `include/gguf.h`); 9 is the array. */
export const GGUF_SCALAR_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  null,
  "u64",
  "i64",
  "f64",
] as const;
export const GGUF_ARRAY_TYPE = 9;

export type GgufScalarType = NonNullable<(typeof GGUF_SCALAR_TYPES)[number]>;
/** Type of a metadata value in the file; arrays hold one scalar type. */
export type GgufValueType = GgufScalarType | `${GgufScalarType}[]`;

/** Bytes of one value; for a string the least that one takes (its length field). */
export const GGUF_SCALAR_BYTES: Record<GgufScalarType, number> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** Reads little-endian values one after the other from the beginning of a file. */
export class GgufCursor {
  position = 0;
  /** The file's length. */
  readonly end: number;
  readonly location: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(source: ByteSource, prefix: Uint8Array) {
    this.location = source.location;
    this.end = source.byteLength;
    this.#bytes = prefix;
    this.#view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  }

  get remaining(): number {
    return this.end - this.position;
  }

  /** Position of the next `count` bytes, which are then there. */
  #take(count: number, what: string): number {
    const start = this.position;
    const end = start + count;
    if (end > this.end) {
      throw new FormatError(
        `${this.location}: truncated in the GGUF header: ${what} at byte ${start} needs ${count} bytes, ` +
          `${this.end - start} are left; fetch the file again`,
      );
    }
    if (end > this.#bytes.length) throw new MoreBytesNeeded(end);
    this.position = end;
    return start;
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  /** A 64-bit count, dimension or offset; 2^53 and more cannot fit any file. */
  u64(what: string): number {
    const at = this.#take(8, what);
    const value = this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
    if (!Number.isSafeInteger(value)) {
      throw new FormatError(`${this.location}: ${what} is ${value}, which no file can hold`);
    }
    return value;
  }

  /** A count of things of at least `leastBytes` each, proven to fit what is left of the file. */
  count(what: string, leastBytes: number): number {
    const count = this.u64(what);
    if (count > this.remaining / leastBytes) {
      throw new FormatError(
        `${this.location}: ${what}: a length of ${count}, but only ${this.remaining} bytes follow: ` +
          "the file is damaged or truncated",
      );
    }
    return count;
  }

  bytes(count: number, what: string): Uint8Array {
    const start = this.#take(count, what);
    return this.#bytes.subarray(start, start + count);
  }

  /** A key or name: valid UTF-8, so that different ones stay different. */
  name(what: string, limit: number): string {
    const length = this.count(what, 1);
    if (length > limit) {
      throw new FormatError(`${this.location}: ${what} has ${length} bytes, at most ${limit} are allowed`);
    }
    const bytes = this.bytes(length, what);
    try {
      return strictUtf8.decode(bytes);
    } catch (cause) {
      throw new FormatError(`${this.location}: ${what} is not valid UTF-8`, { cause });
    }
  }

  /** A string value may hold anything in practice: ggml does not check it, so that bad UTF-8 is replaced here. */
  string(what: string): string {
    const bytes = this.bytes(this.count(what, 1), what);
    return (bytes.length <= SHORT_STRING ? shortAscii(bytes) : null) ?? lenientUtf8.decode(bytes);
  }

  scalar(type: GgufScalarType, what: string): string | number | bigint | boolean {
    if (type === "string") return this.string(what);
    const view = this.#view;
    const at = this.#take(GGUF_SCALAR_BYTES[type], what);
    switch (type) {
      case "u8":
        return view.getUint8(at);
      case "i8":
        return view.getInt8(at);
      case "u16":
        return view.getUint16(at, true);
      case "i16":
        return view.getInt16(at, true);
      case "u32":
        return view.getUint32(at, true);
      case "i32":
        return view.getInt32(at, true);
      case "f32":
        return view.getFloat32(at, true);
      case "f64":
        return view.getFloat64(at, true);
      case "u64":
        return safeNumber(view.getBigUint64(at, true));
      case "i64":
        return safeNumber(view.getBigInt64(at, true));
      case "bool":
        return this.#bool(view.getUint8(at), what);
    }
  }

  array(type: GgufScalarType, count: number, what: string): MetadataValue {
    if (type === "string") {
      const values: string[] = [];
      for (let i = 0; i < count; i++) values.push(this.string(what));
      return values;
    }
    const bytes = this.bytes(count * GGUF_SCALAR_BYTES[type], what);
    if (type === "bool") return Array.from(bytes, (value) => this.#bool(value, what));
    return new TYPED_ARRAYS[type](bytes.slice().buffer); // copied: arrays are not aligned in the file
  }

  #bool(value: number, what: string): boolean {
    if (value > 1)
      throw new FormatError(`${this.location}: ${what} is a bool with value ${value}, expected 0 or 1`);
    return value === 1;
  }
}

export const TYPED_ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A vocabulary is 150,000 short strings: below this length, building them here is faster than a TextDecoder call. */
const SHORT_STRING = 24;
const fromCharCode = String.fromCharCode;

function shortAscii(bytes: Uint8Array): string | null {
  let text = "";
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes[i]!;
    if (code >= 0x80) return null;
    text += fromCharCode(code);
  }
  return text;
}

function safeNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
