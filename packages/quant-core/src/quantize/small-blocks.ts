import { floatToHalf, halfToFloat } from "../formats/half.js";
import { readU16, writeU16, type BlockCodec } from "./block-codec.js";
import {
  IMPORTANCE_GRID,
  importanceWeights,
  reciprocal,
  searchAffine,
  searchSymmetric,
  signedExtreme,
  sumOfSquares,
} from "./scale-search.js";

const { abs, fround, trunc } = Math;

const BLOCK = 32;
const HALF_BLOCK = BLOCK / 2;

const weights = new Float32Array(BLOCK);
const codes = new Uint8Array(BLOCK);
const minima = new Float32Array(1);

/** Nearest integer, ties away from zero; |x| < 2²². */
export function roundHalfAway(x: number): number {
  return trunc(x + (x < 0 ? -0.5 : 0.5)); // in double: exact for a float32
}

/** Variance of the row, as the importance-weighted searches of these types define it. */
function rowVariance(x: Float32Array, start: number, length: number): number {
  return fround(sumOfSquares(x, start, length) / length);
}

/** Packs codes: low nibbles are elements 0…15, high nibbles 16…31; a fifth bit goes to `highBits` (element e: bit e). */
function packNibbles(out: Uint8Array, at: number): void {
  for (let j = 0; j < HALF_BLOCK; j++) out[at + j] = (codes[j]! & 15) | ((codes[j + HALF_BLOCK]! & 15) << 4);
}

function packFifthBits(out: Uint8Array, at: number): void {
  for (let byte = 0; byte < 4; byte++) {
    let bits = 0;
    for (let bit = 0; bit < 8; bit++) bits |= ((codes[byte * 8 + bit]! >> 4) & 1) << bit;
    out[at + byte] = bits;
  }
}

/** Q4_0 (limit 8) and Q5_0 (limit 16): f16 scale, then for Q5_0 32 fifth bits, then nibbles. */
function symmetricCodec(limit: 8 | 16): BlockCodec {
  const fifth = limit === 16;
  const nibblesAt = fifth ? 6 : 2;
  const bytesPerBlock = nibblesAt + HALF_BLOCK;
  return {
    quantizeRow(x, start, length, out, outStart, importance) {
      const variance = importance === null ? 0 : rowVariance(x, start, length);
      for (let i = 0, at = outStart; i < length; i += BLOCK, at += bytesPerBlock) {
        let d: number;
        if (importance === null) {
          d = fround(signedExtreme(x, start + i, BLOCK) / -limit);
          const inverse = reciprocal(d);
          for (let j = 0; j < BLOCK; j++) {
            const code = trunc(fround(fround(x[start + i + j]! * inverse) + (limit + 0.5)));
            codes[j] = code > 2 * limit - 1 ? 2 * limit - 1 : code;
          }
        } else {
          importanceWeights(x, start + i, importance, i, variance, BLOCK, weights);
          d = searchSymmetric(x, start + i, BLOCK, limit, weights, 0, codes, 0);
        }
        writeU16(out, at, floatToHalf(d));
        if (fifth) packFifthBits(out, at + 2);
        packNibbles(out, at + nibblesAt);
      }
    },
    dequantize(bytes, start, blocks, out, outStart) {
      for (let b = 0, at = start, o = outStart; b < blocks; b++, at += bytesPerBlock, o += BLOCK) {
        const d = halfToFloat(readU16(bytes, at));
        const high = fifth ? readU16(bytes, at + 2) | (readU16(bytes, at + 4) << 16) : 0;
        for (let j = 0; j < HALF_BLOCK; j++) {
          const pair = bytes[at + nibblesAt + j]!;
          out[o + j] = d * (((pair & 15) | (((high >>> j) & 1) << 4)) - limit);
          out[o + j + HALF_BLOCK] = d * (((pair >> 4) | (((high >>> (j + HALF_BLOCK)) & 1) << 4)) - limit);
        }
      }
    },
  };
}

/** Q4_1 (limit 15) and Q5_1 (limit 31): f16 scale, f16 minimum, for Q5_1 32 fifth bits, nibbles. */
function affineCodec(limit: 15 | 31): BlockCodec {
  const fifth = limit === 31;
  const nibblesAt = fifth ? 8 : 4;
  const bytesPerBlock = nibblesAt + HALF_BLOCK;
  return {
    quantizeRow(x, start, length, out, outStart, importance) {
      const variance = importance === null ? 0 : rowVariance(x, start, length);
      for (let i = 0, at = outStart; i < length; i += BLOCK, at += bytesPerBlock) {
        const from = start + i;
        let d: number;
        let minimum: number;
        if (importance === null) {
          minimum = x[from]!;
          let maximum = minimum;
          for (let j = 1; j < BLOCK; j++) {
            const value = x[from + j]!;
            if (value < minimum) minimum = value;
            if (value > maximum) maximum = value;
          }
          d = fround(fround(maximum - minimum) / limit);
          const inverse = reciprocal(d);
          for (let j = 0; j < BLOCK; j++) {
            const code = trunc(fround(fround(fround(x[from + j]! - minimum) * inverse) + 0.5));
            codes[j] = code > limit ? limit : code;
          }
        } else {
          importanceWeights(x, from, importance, i, variance, BLOCK, weights);
          d = searchAffine(x, from, BLOCK, limit, weights, IMPORTANCE_GRID, codes, 0, minima, 0);
          minimum = -minima[0]!;
        }
        writeU16(out, at, floatToHalf(d));
        writeU16(out, at + 2, floatToHalf(minimum));
        if (fifth) packFifthBits(out, at + 4);
        packNibbles(out, at + nibblesAt);
      }
    },
    dequantize(bytes, start, blocks, out, outStart) {
      for (let b = 0, at = start, o = outStart; b < blocks; b++, at += bytesPerBlock, o += BLOCK) {
        const d = halfToFloat(readU16(bytes, at));
        const minimum = halfToFloat(readU16(bytes, at + 2));
        const high = fifth ? readU16(bytes, at + 4) | (readU16(bytes, at + 6) << 16) : 0;
        for (let j = 0; j < HALF_BLOCK; j++) {
          const pair = bytes[at + nibblesAt + j]!;
          out[o + j] = fround(d * ((pair & 15) | (((high >>> j) & 1) << 4))) + minimum;
          out[o + j + HALF_BLOCK] =
            fround(d * ((pair >> 4) | (((high >>> (j + HALF_BLOCK)) & 1) << 4))) + minimum;
        }
      }
    },
  };
}

/** Q8_0: f16 scale, int8 codes. Q8_1 (activations only): f16 scale, f16 scale · Σ codes, int8 codes. */
function byteCodec(withSum: boolean): BlockCodec {
  const codesAt = withSum ? 4 : 2;
  const bytesPerBlock = codesAt + BLOCK;
  return {
    quantizeRow(x, start, length, out, outStart) {
      for (let i = 0, at = outStart; i < length; i += BLOCK, at += bytesPerBlock) {
        const d = fround(abs(signedExtreme(x, start + i, BLOCK)) / 127);
        const inverse = reciprocal(d);
        let sum = 0;
        for (let j = 0; j < BLOCK; j++) {
          const code = roundHalfAway(fround(x[start + i + j]! * inverse));
          out[at + codesAt + j] = code;
          sum += code;
        }
        writeU16(out, at, floatToHalf(d));
        if (withSum) writeU16(out, at + 2, floatToHalf(fround(sum * d)));
      }
    },
    dequantize(bytes, start, blocks, out, outStart) {
      for (let b = 0, at = start, o = outStart; b < blocks; b++, at += bytesPerBlock, o += BLOCK) {
        const d = halfToFloat(readU16(bytes, at));
        for (let j = 0; j < BLOCK; j++) out[o + j] = d * ((bytes[at + codesAt + j]! << 24) >> 24);
      }
    },
  };
}

export const Q4_0 = symmetricCodec(8);
export const Q5_0 = symmetricCodec(16);
export const Q4_1 = affineCodec(15);
export const Q5_1 = affineCodec(31);
export const Q8_0 = byteCodec(false);
export const Q8_1 = byteCodec(true);
