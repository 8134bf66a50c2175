import { FormatError, UnsupportedError } from "./errors.js";

/** A ggml tensor type: id in GGUF, elements per block, bytes per block (ggml `include/ggml.h`, `src/ggml.c` type traits). */
export interface GgmlTypeTraits {
  readonly id: number;
  readonly block: number;
  readonly bytes: number;
}

/** Every live ggml type. Types that this library cannot compute with can still be listed and copied. */
export const GGML_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q8_1: { id: 9, block: 32, bytes: 36 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  Q8_K: { id: 15, block: 256, bytes: 292 },
  IQ2_XXS: { id: 16, block: 256, bytes: 66 },
  IQ2_XS: { id: 17, block: 256, bytes: 74 },
  IQ3_XXS: { id: 18, block: 256, bytes: 98 },
  IQ1_S: { id: 19, block: 256, bytes: 50 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  IQ3_S: { id: 21, block: 256, bytes: 110 },
  IQ2_S: { id: 22, block: 256, bytes: 82 },
  IQ4_XS: { id: 23, block: 256, bytes: 136 },
  I8: { id: 24, block: 1, bytes: 1 },
  I16: { id: 25, block: 1, bytes: 2 },
  I32: { id: 26, block: 1, bytes: 4 },
  I64: { id: 27, block: 1, bytes: 8 },
  F64: { id: 28, block: 1, bytes: 8 },
  IQ1_M: { id: 29, block: 256, bytes: 56 },
  BF16: { id: 30, block: 1, bytes: 2 },
  TQ1_0: { id: 34, block: 256, bytes: 54 },
  TQ2_0: { id: 35, block: 256, bytes: 66 },
  MXFP4: { id: 39, block: 32, bytes: 17 },
  NVFP4: { id: 40, block: 64, bytes: 36 },
  Q1_0: { id: 41, block: 128, bytes: 18 },
  Q2_0: { id: 42, block: 64, bytes: 18 },
} as const satisfies Record<string, GgmlTypeTraits>;

export type GgmlType = keyof typeof GGML_TYPES;

/** Dense types: one element per block. */
export type DenseType = "F32" | "F16" | "BF16";

export function isDense(dtype: GgmlType): dtype is DenseType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/**
 * A tensor as it lies in its file: never converted at load. `shape` is row-major (`[out, in]` for a linear layer); rows
 * of `in` elements are block-encoded one after the other.
 */
export interface Weight {
  /** The checkpoint's name, for messages. */
  readonly name: string;
  readonly dtype: GgmlType;
  readonly shape: readonly number[];
  /** Exactly the tensor's bytes; often a view of a mapped file, aligned to 2 bytes at least only by custom. */
  readonly bytes: Uint8Array;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * Bytes of a tensor of this type and row-major shape.
 * @throws FormatError if the row length (last dimension) is not a multiple of the type's block, or the size is not a safe integer.
 */
export function weightByteLength(dtype: GgmlType, shape: readonly number[], name = "tensor"): number {
  const { block, bytes } = GGML_TYPES[dtype];
  const row = shape.length === 0 ? 1 : shape[shape.length - 1]!;
  if (row % block !== 0) {
    throw new FormatError(`${name}: row length ${row} is not a multiple of ${dtype}'s block of ${block}`);
  }
  const length = (elementCount(shape) / block) * bytes;
  if (!Number.isSafeInteger(length))
    throw new FormatError(`${name}: shape [${shape.join(", ")}] is too large`);
  return length;
}

/** The type with a GGUF type id. @throws UnsupportedError for an id that ggml removed or does not have yet. */
export function ggmlTypeOfId(id: number, name = "tensor"): GgmlType {
  const type = TYPE_BY_ID.get(id);
  if (type === undefined)
    throw new UnsupportedError(`${name}: ggml type id ${id} is unknown or was removed from ggml`);
  return type;
}

const TYPE_BY_ID = new Map<number, GgmlType>(
  Object.entries(GGML_TYPES).map(([type, traits]) => [traits.id, type as GgmlType]),
);
