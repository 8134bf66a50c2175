import { ConfigError } from "../errors.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";

/**
 * `general.file_type` of a file whose matrices are all of one type (llama.cpp `llama_ftype`; where it knows only mixtures,
 * the smallest one of the type: Q4_K is "Q4_K_S").
 */
const FILE_TYPES: Partial<Record<GgmlType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 14,
  Q5_K: 16,
  Q6_K: 18,
  IQ4_NL: 25,
  IQ4_XS: 30,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
  MXFP4: 38,
};

/** Names for `--qtype`, as in the list that an unknown one is answered with. */
export const QUANTIZATION_NAMES: readonly string[] = Object.keys(FILE_TYPES).map((type) =>
  type.toLowerCase(),
);

/**
 * The type of a name such as `q8_0`; case does not matter, and the source system's spelling `q6k` without underscore is
 * understood. Always one type for all matrices: `q4_k` is plain Q4_K.
 * @throws ConfigError with the list of names
 */
export function quantizationType(name: string): GgmlType {
  const upper = name.toUpperCase();
  const spelled = /^Q[2-6]K$/.test(upper) ? `${upper.slice(0, 2)}_K` : upper;
  if (Object.hasOwn(FILE_TYPES, spelled)) return spelled as GgmlType;
  throw new ConfigError(
    `${JSON.stringify(name)} is no quantization type; there are ${QUANTIZATION_NAMES.join(", ")}`,
  );
}

export function fileTypeOf(type: GgmlType): number {
  return FILE_TYPES[type]!;
}

/** What llama.cpp takes where a row length does not fit the block (`src/llama-quant.cpp`, tensor_type_fallback). */
const FALLBACKS: Partial<Record<GgmlType, GgmlType>> = {
  IQ4_XS: "IQ4_NL",
  Q2_K: "Q4_0",
  Q3_K: "Q4_0",
  TQ1_0: "Q4_0",
  TQ2_0: "Q4_0",
  Q4_K: "Q5_0",
  Q5_K: "Q5_1",
  Q6_K: "Q8_0",
};

/** The type itself if rows of this length fit its block, else llama.cpp's fallback, else F16. */
export function fittingType(type: GgmlType, rowLength: number): GgmlType {
  if (rowLength % GGML_TYPES[type].block === 0) return type;
  const fallback = FALLBACKS[type];
  return fallback !== undefined && rowLength % GGML_TYPES[fallback].block === 0 ? fallback : "F16";
}
