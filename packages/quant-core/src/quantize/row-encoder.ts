import { loadAddon } from "../backends/native/addon.js";
import { FormatError, UnsupportedError } from "../errors.js";
import { decodeToF32 } from "../formats/dense.js";
import { isNode } from "../platform.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { canDecode } from "./codecs.js";
import { dequantize } from "./dequantize.js";
import { hasInvalidScale } from "./invalid-scales.js";
import { quantizeRows } from "./quantize-rows.js";

/** Encoded rows, and whether one of them holds values beyond what the type can represent. */
export interface EncodedRows {
  readonly bytes: Uint8Array;
  readonly overflowed: boolean;
}

/** Turns rows of one encoding into another: natively with threads where the addon is, else in TypeScript; same bytes. */
export class RowEncoder {
  readonly #native = isNode ? loadAddon() : null;
  readonly #threads: number;

  constructor(threads: number) {
    this.#threads = threads;
  }

  /**
   * @param sourceDtype a ggml type or a safetensors dtype
   * @throws FormatError for a value that is not finite, unless the target is dense
   */
  async encode(
    dtype: GgmlType,
    bytes: Uint8Array,
    sourceDtype: string,
    rowLength: number,
    importance: Float32Array | null,
  ): Promise<EncodedRows> {
    if (this.#native === null) {
      const encoded = quantizeRows(dtype, decode(sourceDtype, bytes), rowLength, importance);
      return { bytes: encoded, overflowed: hasInvalidScale(dtype, encoded) };
    }
    const isKnown = canDecode(sourceDtype);
    const source = isKnown ? bytes : asBytes(decode(sourceDtype, bytes));
    const sourceTraits = GGML_TYPES[isKnown ? sourceDtype : "F32"];
    const { block, bytes: blockBytes, id } = GGML_TYPES[dtype];
    const count = (source.length / sourceTraits.bytes) * sourceTraits.block;
    const out = new Uint8Array((count / block) * blockBytes);
    try {
      const args = [id, source, sourceTraits.id, rowLength, importance, out, this.#threads] as const;
      const invalidRow = await this.#native.quantizeRows(...args);
      return { bytes: out, overflowed: invalidRow >= 0 };
    } catch (cause) {
      throw new FormatError((cause as Error).message, { cause });
    }
  }

  /** Float32 values of any encoding. */
  decode(dtype: string, bytes: Uint8Array): Float32Array {
    if (this.#native === null || !canDecode(dtype)) return decode(dtype, bytes);
    const { block, bytes: blockBytes, id } = GGML_TYPES[dtype];
    const out = new Float32Array((bytes.length / blockBytes) * block);
    this.#native.dequantizeRows(id, bytes, out);
    return out;
  }
}

/** Bytes per element of the dense dtypes besides F32, F16 and BF16. */
const DENSE_BYTES: ReadonlyMap<string, number> = new Map([
  ...["F64", "I64", "U64"].map((dtype) => [dtype, 8] as const),
  ...["I32", "U32"].map((dtype) => [dtype, 4] as const),
  ...["I16", "U16"].map((dtype) => [dtype, 2] as const),
  ...["I8", "U8", "BOOL", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0"].map(
    (dtype) => [dtype, 1] as const,
  ),
]);

/** Whether `RowEncoder` can read a ggml or safetensors dtype. */
export function isReadable(dtype: string): boolean {
  return canDecode(dtype) || DENSE_BYTES.has(dtype);
}

function decode(dtype: string, bytes: Uint8Array): Float32Array {
  if (canDecode(dtype)) {
    const { block, bytes: blockBytes } = GGML_TYPES[dtype];
    const out = new Float32Array((bytes.length / blockBytes) * block);
    dequantize(dtype, bytes, out);
    return out;
  }
  const elementBytes = DENSE_BYTES.get(dtype);
  if (elementBytes === undefined) throw new UnsupportedError(`dtype ${dtype} cannot be converted`);
  const out = new Float32Array(bytes.length / elementBytes);
  decodeToF32(dtype, bytes, out);
  return out;
}

function asBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
