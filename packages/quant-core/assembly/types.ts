/** The ids of ggml's types and their sizes. Source: ggml `include/ggml.h`, `src/ggml-common.h`. */
export const F32 = 0;
export const F16 = 1;
export const Q4_0 = 2;
export const Q4_1 = 3;
export const Q5_0 = 6;
export const Q5_1 = 7;
export const Q8_0 = 8;
export const Q2_K = 10;
export const Q3_K = 11;
export const Q4_K = 12;
export const Q5_K = 13;
export const Q6_K = 14;
export const IQ4_NL = 20;
export const IQ4_XS = 23;
export const BF16 = 30;
export const TQ1_0 = 34;
export const TQ2_0 = 35;
export const MXFP4 = 39;

/** Elements that share a scale. */
export function groupSize(dtype: i32): i32 {
  return dtype == Q2_K || dtype == Q3_K || dtype == Q6_K ? 16 : 32;
}

/** Whether the type has minima; otherwise m is neither written nor read. */
export function hasMinimum(dtype: i32): bool {
  return dtype == Q4_1 || dtype == Q5_1 || dtype == Q2_K || dtype == Q4_K || dtype == Q5_K;
}

/** Bytes of `k` elements, a multiple of the block. */
export function encodedBytes(dtype: i32, k: i32): i32 {
  switch (dtype) {
    case F32:
      return k * 4;
    case F16:
    case BF16:
      return k * 2;
    case Q4_0:
    case IQ4_NL:
      return (k >> 5) * 18;
    case Q4_1:
      return (k >> 5) * 20;
    case Q5_0:
      return (k >> 5) * 22;
    case Q5_1:
      return (k >> 5) * 24;
    case Q8_0:
      return (k >> 5) * 34;
    case MXFP4:
      return (k >> 5) * 17;
    case Q2_K:
      return (k >> 8) * 84;
    case Q3_K:
      return (k >> 8) * 110;
    case Q4_K:
      return (k >> 8) * 144;
    case Q5_K:
      return (k >> 8) * 176;
    case Q6_K:
      return (k >> 8) * 210;
    case IQ4_XS:
      return (k >> 8) * 136;
    case TQ1_0:
      return (k >> 8) * 54;
    case TQ2_0:
      return (k >> 8) * 66;
    default:
      return unreachable();
  }
}
