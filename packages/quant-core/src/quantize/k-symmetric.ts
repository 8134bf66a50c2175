import { floatToHalf, halfToFloat } from "../formats/half.js";
import { readU16, writeU16, type BlockCodec } from "./block-codec.js";
import {
  GROUP_EPSILON,
  descendSymmetric,
  importanceWeights,
  nearest,
  searchSymmetric,
  signedExtreme,
  sumOfSquares,
} from "./scale-search.js";

/** The K types with a signed scale per 16 weights (Q3_K, Q6_K) and the activation form Q8_K. Super-blocks of 256 weights. */

const { abs, fround } = Math;

const SUPER_BLOCK = 256;
const GROUP = 16;
const GROUPS = SUPER_BLOCK / GROUP;

const weights = new Float32Array(GROUP);
const weightSums = new Float32Array(GROUPS);
const scales = new Float32Array(GROUPS);
const codes = new Uint8Array(SUPER_BLOCK);
const signedCodes = new Int8Array(SUPER_BLOCK);
const scaleCodes = new Uint8Array(GROUPS);

const Q3_BYTES = 110;

/** Fills `codes` (0…7) and `scaleCodes` (0…63, 32 = zero); returns d as f16 bits. */
function quantizeQ3(
  x: Float32Array,
  start: number,
  importance: Float32Array | null,
  importanceStart: number,
): number {
  let bits: number;
  if (importance === null) {
    for (let g = 0; g < GROUPS; g++) {
      scales[g] = descendSymmetric(x, start + GROUP * g, GROUP, 4, signedCodes, GROUP * g);
    }
    codes.set(signedCodes);
    const extreme = signedExtreme(scales, 0, GROUPS);
    if (extreme === 0) {
      scaleCodes.fill(0);
      bits = 0;
    } else {
      const inverse = fround(-32 / extreme);
      for (let g = 0; g < GROUPS; g++) scaleCodes[g] = nearest(fround(inverse * scales[g]!), -32, 31) + 32;
      bits = floatToHalf(fround(1 / inverse));
    }
  } else {
    const variance = fround((2 * sumOfSquares(x, start, SUPER_BLOCK)) / SUPER_BLOCK);
    for (let g = 0; g < GROUPS; g++) {
      const from = start + GROUP * g;
      importanceWeights(x, from, importance, importanceStart + GROUP * g, variance, GROUP, weights);
      let sum = 0;
      for (let i = 0; i < GROUP; i++) sum = fround(sum + weights[i]!);
      weightSums[g] = sum;
      scales[g] = searchSymmetric(x, from, GROUP, 4, weights, 0, codes, GROUP * g);
    }
    bits = floatToHalf(searchSymmetric(scales, 0, GROUPS, 32, weightSums, 0, scaleCodes, 0));
  }
  const d = halfToFloat(bits);
  for (let g = 0; g < GROUPS; g++) {
    const scale = fround(d * (scaleCodes[g]! - 32));
    if (scale === 0) continue;
    for (let i = GROUP * g; i < GROUP * (g + 1); i++) {
      codes[i] = nearest(fround(x[start + i]! / scale), -4, 3) + 4;
    }
  }
  return bits;
}

/** High bits[32] · 2-bit codes[64] · 6-bit scales[12] · f16 d. */
export const Q3_K: BlockCodec = {
  quantizeRow(x, start, length, out, outStart, importance) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += Q3_BYTES) {
      const bits = quantizeQ3(x, start + i, importance, i);
      for (let l = 0; l < 32; l++) {
        let high = 0;
        for (let s = 0; s < 8; s++) high |= (codes[32 * s + l]! >> 2) << s;
        out[at + l] = high;
      }
      for (let half = 0; half < 2; half++) {
        for (let l = 0; l < 32; l++) {
          const e = 128 * half + l;
          out[at + 32 + 32 * half + l] =
            (codes[e]! & 3) |
            ((codes[e + 32]! & 3) << 2) |
            ((codes[e + 64]! & 3) << 4) |
            ((codes[e + 96]! & 3) << 6);
        }
      }
      for (let s = 0; s < 8; s++) out[at + 96 + s] = (scaleCodes[s]! & 15) | ((scaleCodes[s + 8]! & 15) << 4);
      for (let s = 0; s < 4; s++) {
        out[at + 104 + s] =
          (scaleCodes[s]! >> 4) |
          ((scaleCodes[s + 4]! >> 4) << 2) |
          ((scaleCodes[s + 8]! >> 4) << 4) |
          ((scaleCodes[s + 12]! >> 4) << 6);
      }
      writeU16(out, at + 108, bits);
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += Q3_BYTES) {
      const d = halfToFloat(readU16(bytes, at + 108));
      for (let g = 0; g < GROUPS; g++, o += GROUP) {
        const low = g < 8 ? bytes[at + 96 + g]! & 15 : bytes[at + 88 + g]! >> 4;
        const high = (bytes[at + 104 + (g & 3)]! >> (2 * (g >> 2))) & 3;
        const scale = fround(d * ((low | (high << 4)) - 32));
        const from = at + 32 + 32 * (g >> 3) + 16 * (g & 1);
        const shift = 2 * ((g >> 1) & 3);
        const mask = 1 << (g >> 1);
        const masks = at + 16 * (g & 1);
        for (let l = 0; l < GROUP; l++) {
          const code = ((bytes[from + l]! >> shift) & 3) - ((bytes[masks + l]! & mask) === 0 ? 4 : 0);
          out[o + l] = scale * code;
        }
      }
    }
  },
};

const Q6_BYTES = 210;

/** Low nibbles[128] · high bit pairs[64] · int8 scales[16] · f16 d. */
export const Q6_K: BlockCodec = {
  quantizeRow(x, start, length, out, outStart, importance) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += Q6_BYTES) {
      const from = start + i;
      for (let g = 0; g < GROUPS; g++) {
        scales[g] = searchSymmetric(
          x,
          from + GROUP * g,
          GROUP,
          32,
          importance,
          i + GROUP * g,
          codes,
          GROUP * g,
        );
      }
      const extreme = signedExtreme(scales, 0, GROUPS);
      if (abs(extreme) < GROUP_EPSILON) {
        out.fill(0, at, at + Q6_BYTES);
        continue;
      }
      const inverse = fround(-128 / extreme);
      const bits = floatToHalf(fround(1 / inverse));
      const d = halfToFloat(bits);
      for (let g = 0; g < GROUPS; g++) {
        const scaleCode = nearest(fround(inverse * scales[g]!), -128, 127);
        out[at + 192 + g] = scaleCode;
        const scale = fround(d * scaleCode);
        if (scale === 0) continue;
        for (let e = GROUP * g; e < GROUP * (g + 1); e++) {
          codes[e] = nearest(fround(x[from + e]! / scale), -32, 31) + 32;
        }
      }
      for (let half = 0; half < 2; half++) {
        for (let l = 0; l < 32; l++) {
          const e = 128 * half + l;
          const [a, b, c, f] = [codes[e]!, codes[e + 32]!, codes[e + 64]!, codes[e + 96]!];
          out[at + 64 * half + l] = (a & 15) | ((c & 15) << 4);
          out[at + 64 * half + 32 + l] = (b & 15) | ((f & 15) << 4);
          out[at + 128 + 32 * half + l] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((f >> 4) << 6);
        }
      }
      writeU16(out, at + 208, bits);
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += Q6_BYTES) {
      const d = halfToFloat(readU16(bytes, at + 208));
      for (let g = 0; g < GROUPS; g++, o += GROUP) {
        const scale = fround(d * ((bytes[at + 192 + g]! << 24) >> 24));
        const quarter = (g >> 1) & 3;
        const low = at + 64 * (g >> 3) + 32 * (quarter & 1) + 16 * (g & 1);
        const lowShift = 4 * (quarter >> 1);
        const high = at + 128 + 32 * (g >> 3) + 16 * (g & 1);
        const highShift = 2 * quarter;
        for (let l = 0; l < GROUP; l++) {
          const code = ((bytes[low + l]! >> lowShift) & 15) | (((bytes[high + l]! >> highShift) & 3) << 4);
          out[o + l] = scale * (code - 32);
        }
      }
    }
  },
};

const Q8_BYTES = 292;

/** Activations only: f32 d (of the sign opposite to the extreme value) · int8 codes[256] · int16 sums of 16 codes[16]. */
export const Q8_K: BlockCodec = {
  quantizeRow(x, start, length, out, outStart) {
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += Q8_BYTES) {
      const extreme = signedExtreme(x, start + i, SUPER_BLOCK);
      if (extreme === 0) {
        out.fill(0, at, at + Q8_BYTES);
        continue;
      }
      const inverse = fround(-127 / extreme);
      view.setFloat32(at, fround(1 / inverse), true);
      for (let g = 0; g < GROUPS; g++) {
        let sum = 0;
        for (let e = GROUP * g; e < GROUP * (g + 1); e++) {
          const code = nearest(fround(inverse * x[start + i + e]!), -128, 127);
          out[at + 4 + e] = code;
          sum += code;
        }
        view.setInt16(at + 260 + 2 * g, sum, true);
      }
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += Q8_BYTES, o += SUPER_BLOCK) {
      const d = view.getFloat32(at, true);
      for (let e = 0; e < SUPER_BLOCK; e++) out[o + e] = d * ((bytes[at + 4 + e]! << 24) >> 24);
    }
  },
};
