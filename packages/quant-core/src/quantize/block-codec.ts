/**
 * One block type of ggml: rows of float32 to blocks and back. Both directions are exact to the bit of ggml's own
 * (`src/ggml-quants.c`): every operation is one IEEE float32 rounding, in index order, without fused multiply-add.
 */
export interface BlockCodec {
  /**
   * Encodes one row, `x[start, start + length)`, into `out` from `outStart`. `importance` (mean square of each input
   * column, `length` values) weights the rounding errors where the type's search uses it.
   */
  quantizeRow(
    x: Float32Array,
    start: number,
    length: number,
    out: Uint8Array,
    outStart: number,
    importance: Float32Array | null,
  ): void;
  /** Decodes `blocks` blocks of `bytes` from `start` into `out` from `outStart`. */
  dequantize(bytes: Uint8Array, start: number, blocks: number, out: Float32Array, outStart: number): void;
}

export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
