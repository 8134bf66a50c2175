import { FormatError } from "../errors.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { codecOf } from "./codecs.js";

const { isFinite } = Number;

/**
 * Encodes rows of `rowLength` float32 values, byte for byte as ggml's `ggml_quantize_chunk`. `importance`: mean square
 * activation of each of the `rowLength` input columns (types without a weighted search ignore it).
 * @throws FormatError if the sizes do not fit each other or the type's block, or a value is not finite
 */
export function quantizeRows(
  dtype: GgmlType,
  rows: Float32Array,
  rowLength: number,
  importance?: Float32Array | null,
): Uint8Array {
  const codec = codecOf(dtype);
  const { block, bytes } = GGML_TYPES[dtype];
  checkRows(dtype, rows.length, rowLength, importance ?? null);
  const rowBytes = (rowLength / block) * bytes;
  const count = rowLength === 0 ? 0 : rows.length / rowLength;
  if (block > 1) {
    for (let i = 0; i < rows.length; i++) {
      if (!isFinite(rows[i]!)) {
        const at = `row ${Math.floor(i / rowLength)}, column ${i % rowLength}`;
        throw new FormatError(
          `value ${rows[i]} in ${at} cannot be quantized to ${dtype}; keep such a tensor in F32`,
        );
      }
    }
  }
  const out = new Uint8Array(count * rowBytes);
  for (let row = 0; row < count; row++) {
    codec.quantizeRow(rows, row * rowLength, rowLength, out, row * rowBytes, importance ?? null);
  }
  return out;
}

export function checkRows(
  dtype: GgmlType,
  values: number,
  rowLength: number,
  importance: Float32Array | null,
): void {
  const { block } = GGML_TYPES[dtype];
  if (rowLength % block !== 0) {
    throw new FormatError(`row length ${rowLength} is not a multiple of ${dtype}'s block of ${block}`);
  }
  if (rowLength === 0 ? values !== 0 : values % rowLength !== 0) {
    throw new FormatError(`${values} values are not whole rows of ${rowLength}`);
  }
  if (importance !== null && importance.length !== rowLength) {
    throw new FormatError(`importance has ${importance.length} columns, the rows have ${rowLength}`);
  }
}
