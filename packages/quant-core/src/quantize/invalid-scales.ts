import { GGML_TYPES, type GgmlType } from "../weight.js";

/** Where the f16 scales (and minima) of a block lie; for F16 itself each element is one. Types without any are absent. */
const HALVES: Partial<Record<GgmlType, readonly number[]>> = {
  F16: [0],
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q8_1: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ4_NL: [0],
  IQ4_XS: [0],
  TQ1_0: [52],
  TQ2_0: [64],
};

/** Whether a scale in the blocks overflowed to infinity or is NaN: values beyond what the type can hold. */
export function hasInvalidScale(dtype: GgmlType, bytes: Uint8Array): boolean {
  const size = GGML_TYPES[dtype].bytes;
  for (const offset of HALVES[dtype] ?? []) {
    for (let at = offset + 1; at < bytes.length; at += size) {
      if ((bytes[at]! & 0x7c) === 0x7c) return true; // all exponent bits of the half set
    }
  }
  return false;
}
