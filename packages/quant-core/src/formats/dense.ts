import { UnsupportedError } from "../errors.js";
import { bf16sToFloats, halfToFloat, halvesToFloats } from "./half.js";

/**
 * Decodes elements of a dense dtype (safetensors or ggml name: F32, F16, BF16, F64, integers, BOOL, F8_*) to float32,
 * rounding to nearest. `bytes` may lie at any alignment and holds exactly `out.length` elements.
 * @throws UnsupportedError for other dtypes, RangeError if the lengths do not fit
 */
export function decodeToF32(dtype: string, bytes: Uint8Array, out: Float32Array): void {
  const decoder = DECODERS.get(dtype);
  if (decoder === undefined) {
    throw new UnsupportedError(`dtype ${dtype} is not dense; dense are ${[...DECODERS.keys()].join(", ")}`);
  }
  if (bytes.length !== out.length * decoder.bytes) {
    throw new RangeError(
      `${bytes.length} bytes for ${out.length} elements of ${dtype}, ${decoder.bytes} bytes each`,
    );
  }
  decoder.decode(bytes, out);
}

interface Decoder {
  /** Per element. */
  readonly bytes: number;
  readonly decode: (bytes: Uint8Array, out: Float32Array) => void;
}

type ViewConstructor<T> = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T;

/** A view of the bytes as numbers, of a copy where their alignment does not allow one. */
function viewAs<T>(constructor: ViewConstructor<T>, size: number, bytes: Uint8Array): T {
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new constructor(aligned.buffer, aligned.byteOffset, aligned.length / size);
}

function numbers(bytesPerElement: number, constructor: ViewConstructor<ArrayLike<number>>): Decoder {
  return {
    bytes: bytesPerElement,
    decode: (bytes, out) => out.set(viewAs(constructor, bytesPerElement, bytes)),
  };
}

function bigints(constructor: ViewConstructor<ArrayLike<bigint>>): Decoder {
  return {
    bytes: 8,
    decode: (bytes, out) => {
      const values = viewAs(constructor, 8, bytes);
      for (let i = 0; i < out.length; i++) out[i] = Number(values[i]!);
    },
  };
}

/** One byte per element through a table of all 256 values. */
function byTable(valueOf: (code: number) => number): Decoder {
  let table: Float32Array | null = null;
  return {
    bytes: 1,
    decode: (bytes, out) => {
      table ??= Float32Array.from({ length: 256 }, (_, code) => valueOf(code));
      for (let i = 0; i < out.length; i++) out[i] = table[bytes[i]!]!;
    },
  };
}

/** An 8-bit float of `mantissaBits` and the given exponent bias, without regard to special values. */
function minifloat(code: number, mantissaBits: number, bias: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code & 0x7f) >> mantissaBits;
  const mantissa = (code & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  return sign * (exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias));
}

/** 8-bit floats: OCP "8-bit Floating Point Specification" and the FNUZ forms, where 0x80 is the only NaN. */
const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ["F32", numbers(4, Float32Array)],
  ["F16", { bytes: 2, decode: (bytes, out) => halvesToFloats(viewAs(Uint16Array, 2, bytes), out) }],
  ["BF16", { bytes: 2, decode: (bytes, out) => bf16sToFloats(viewAs(Uint16Array, 2, bytes), out) }],
  ["F64", numbers(8, Float64Array)],
  ["I8", numbers(1, Int8Array)],
  ["U8", numbers(1, Uint8Array)],
  ["BOOL", numbers(1, Uint8Array)],
  ["I16", numbers(2, Int16Array)],
  ["U16", numbers(2, Uint16Array)],
  ["I32", numbers(4, Int32Array)],
  ["U32", numbers(4, Uint32Array)],
  ["I64", bigints(BigInt64Array)],
  ["U64", bigints(BigUint64Array)],
  ["F8_E5M2", byTable((code) => halfToFloat(code << 8))],
  ["F8_E4M3", byTable((code) => ((code & 0x7f) === 0x7f ? NaN : minifloat(code, 3, 7)))],
  ["F8_E5M2FNUZ", byTable((code) => (code === 0x80 ? NaN : minifloat(code, 2, 16)))],
  ["F8_E4M3FNUZ", byTable((code) => (code === 0x80 ? NaN : minifloat(code, 3, 8)))],
  ["F8_E8M0", byTable((code) => (code === 0xff ? NaN : 2 ** (code - 127)))],
]);
