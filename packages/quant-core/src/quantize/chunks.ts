import { elementCount, isDense } from "../weight.js";
import { isBlockType, type PlannedTensor } from "./recipe.js";

/** Bytes of source read, encoded and written at a time. */
export const CHUNK_BYTES = 4 * 2 ** 20;

/** A piece of a tensor: bytes of the source that become bytes of the output. */
export interface Chunk {
  readonly tensor: PlannedTensor;
  readonly start: number;
  readonly end: number;
  /** Values per row, null to copy the bytes. */
  readonly rowLength: number | null;
}

/** Cuts the tensors into pieces: whole rows where they are encoded, any bytes where they are copied. */
export function* chunksOf(tensors: readonly PlannedTensor[]): Generator<Chunk> {
  for (const tensor of tensors) {
    const { source, dtype, shape } = tensor;
    const { byteLength } = source;
    if (byteLength === 0) continue;
    const count = elementCount(shape);
    const isCopy = dtype === source.dtype;
    // From dense to dense no value depends on its row: a row is then as long as the piece.
    const isElementwise = isDense(dtype) && !isBlockType(source.dtype);
    const rowLength = shape[shape.length - 1] ?? 1;
    const unitBytes = isCopy ? 1 : isElementwise ? byteLength / count : (byteLength / count) * rowLength;
    const step = unitBytes * Math.max(1, Math.floor(CHUNK_BYTES / unitBytes));
    for (let start = 0; start < byteLength; start += step) {
      const end = Math.min(start + step, byteLength);
      const length = isCopy ? null : isElementwise ? (end - start) / unitBytes : rowLength;
      yield { tensor, start, end, rowLength: length };
    }
  }
}
