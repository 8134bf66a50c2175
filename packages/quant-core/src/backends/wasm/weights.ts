import { FormatError, UnsupportedError } from "../../errors.js";
import {
  GGML_TYPES,
  elementCount,
  isDense,
  weightByteLength,
  type GgmlType,
  type Weight,
} from "../../weight.js";
import type { WasmMemory } from "./memory.js";
import type { Pointer } from "./module.js";

/** A weight matrix copied into WASM memory, its blocks as in the file. */
export interface WasmWeight {
  readonly pointer: Pointer;
  readonly dtype: GgmlType;
  /** ggml type id. */
  readonly type: number;
  readonly dense: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly rowBytes: number;
}

/** The types that `assembly/blocks.ts` decodes. */
const DECODED: ReadonlySet<GgmlType> = new Set<GgmlType>([
  ...(["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"] as const),
  ...(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"] as const),
]);

/**
 * Copies a weight `[rows, …]`; all dimensions but the first make one row. The source's bytes are not needed afterwards.
 * @throws UnsupportedError for a type without kernels, FormatError for a size that does not fit the shape, BackendError
 *   when memory is out
 */
export function copyWeight(memory: WasmMemory, weight: Weight): WasmWeight {
  const { name, dtype, shape, bytes } = weight;
  if (!DECODED.has(dtype)) {
    throw new UnsupportedError(
      `${name}: the wasm backend has no kernels for ${dtype}; it has ${[...DECODED].join(", ")}`,
    );
  }
  const rows = shape[0] ?? 1;
  const columns = elementCount(shape.slice(1));
  const expected = weightByteLength(dtype, [rows, columns], name);
  if (bytes.byteLength !== expected) {
    throw new FormatError(
      `${name}: ${dtype} [${shape.join(", ")}] takes ${expected} bytes, found ${bytes.byteLength}`,
    );
  }
  const pointer = memory.allocate(expected, name);
  memory.bytes(pointer, expected).set(bytes);
  const traits = GGML_TYPES[dtype];
  return {
    pointer,
    dtype,
    type: traits.id,
    dense: isDense(dtype),
    rows,
    columns,
    rowBytes: (columns / traits.block) * traits.bytes,
  };
}
