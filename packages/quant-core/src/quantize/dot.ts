import { FormatError } from "../errors.js";
import { halfToFloat } from "../formats/half.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { readU16 } from "./block-codec.js";
import { dequantize } from "./dequantize.js";

const { fround } = Math;

/** Activation form that ggml multiplies a weight type with (`src/ggml-cpu/ggml-cpu.c`, type traits). */
export function activationType(weightType: GgmlType): "Q8_0" | "Q8_1" | "Q8_K" {
  if (weightType === "Q4_1" || weightType === "Q5_1") return "Q8_1";
  return GGML_TYPES[weightType].block === 256 ? "Q8_K" : "Q8_0";
}

/**
 * Dot product of one quantized weight row with one quantized activation row of `count` elements, as the block kernels
 * define it: in Q4_1 and Q5_1 the minimum meets the f16 sum of the Q8_1 block. Plain and slow: the oracle of the kernels.
 */
export function dotReference(
  weightType: GgmlType,
  weight: Uint8Array,
  activation: Uint8Array,
  count: number,
): number {
  const form = activationType(weightType);
  const w = new Float32Array(count);
  const a = new Float32Array(count);
  dequantize(weightType, weight, w);
  dequantize(form, activation, a);
  let sum = 0;
  if (form !== "Q8_1") {
    for (let i = 0; i < count; i++) sum += w[i]! * a[i]!;
    return fround(sum);
  }
  const weightBytes = GGML_TYPES[weightType].bytes;
  const { block, bytes: activationBytes } = GGML_TYPES.Q8_1;
  if (count % block !== 0) throw new FormatError(`${count} elements are not whole blocks of ${block}`);
  for (let b = 0; b < count / block; b++) {
    const minimum = halfToFloat(readU16(weight, b * weightBytes + 2));
    const blockSum = halfToFloat(readU16(activation, b * activationBytes + 2));
    for (let i = b * block; i < (b + 1) * block; i++) sum += (w[i]! - minimum) * a[i]!;
    sum += minimum * blockSum;
  }
  return fround(sum);
}
