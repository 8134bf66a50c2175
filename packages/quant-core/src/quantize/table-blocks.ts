import { floatToHalf, halfToFloat } from "../formats/half.js";
import { readU16, writeU16, type BlockCodec } from "./block-codec.js";
import {
  GROUP_EPSILON,
  importanceWeights,
  nearest,
  signedExtreme,
  sumOfSquares,
  reciprocal,
} from "./scale-search.js";

/** Types whose 4-bit codes index a table of values: IQ4_NL, IQ4_XS, MXFP4. */

const { abs, floor, fround, log2 } = Math;

const BLOCK = 32;
const HALF_BLOCK = BLOCK / 2;

/** Values of the 16 codes of IQ4_NL and IQ4_XS. */
export const IQ4_VALUES = new Int8Array([
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]);
/** Twice the values of E2M1, the 4-bit float of MXFP4. */
export const MXFP4_VALUES = new Int8Array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);

const weights = new Float32Array(BLOCK);
const codes = new Uint8Array(BLOCK);
const scales = new Float32Array(8);

/** Code of the nearest value; of two equally near the upper. */
function nearestCode(x: number): number {
  if (!(x > -127)) return 0; // NaN (overflow in the search) as well
  if (x >= 113) return 15;
  let low = 0;
  let high = 15;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x < IQ4_VALUES[middle]!) high = middle;
    else low = middle;
  }
  return fround(x - IQ4_VALUES[high - 1]!) < fround(IQ4_VALUES[high]! - x) ? high - 1 : high;
}

/**
 * Least-squares scale of 32 weights: the best of a first pass, whose codes go to `codes`, and of 2 · `attempts` + 1
 * scales near extreme/127 (none for attempts ≤ 0).
 */
function searchScale(x: Float32Array, start: number, attempts: number): number {
  const extreme = signedExtreme(x, start, BLOCK);
  if (abs(extreme) < GROUP_EPSILON) return 0;
  const first = fround((attempts > 0 ? -extreme : extreme) / IQ4_VALUES[0]!);
  const passes = attempts > 0 ? 2 * attempts + 2 : 1;
  let scale = 0;
  let best = 0;
  for (let pass = 0; pass < passes; pass++) {
    const inverse = pass === 0 ? fround(1 / first) : fround((pass - 1 - attempts + IQ4_VALUES[0]!) / extreme);
    let sumXL = 0;
    let sumLL = 0;
    for (let i = 0; i < BLOCK; i++) {
      const value = x[start + i]!;
      const code = nearestCode(fround(inverse * value));
      if (pass === 0) codes[i] = code;
      const level = IQ4_VALUES[code]!;
      const weighted = fround(weights[i]! * level);
      sumXL = fround(sumXL + fround(weighted * value));
      sumLL = fround(sumLL + fround(weighted * level));
    }
    if (sumLL > 0 && (pass === 0 || fround(sumXL * sumXL) > fround(best * sumLL))) {
      scale = fround(sumXL / sumLL);
      best = fround(scale * sumXL);
    }
  }
  return scale;
}

function encode(x: Float32Array, start: number, scale: number): void {
  const inverse = reciprocal(scale);
  for (let i = 0; i < BLOCK; i++) codes[i] = nearestCode(fround(inverse * x[start + i]!));
}

function squareWeights(x: Float32Array, start: number): void {
  for (let i = 0; i < BLOCK; i++) weights[i] = x[start + i]! * x[start + i]!;
}

function packNibbles(out: Uint8Array, at: number): void {
  for (let j = 0; j < HALF_BLOCK; j++) out[at + j] = codes[j]! | (codes[j + HALF_BLOCK]! << 4);
}

const ATTEMPTS = 7;
const IQ4_NL_BYTES = 18;

/** IQ4_NL with a number of tries: 7 in files, -1 in ggml's row routine without search. f16 d · nibbles[16]. */
export function iq4NlCodec(attempts: number): BlockCodec {
  return {
    quantizeRow(x, start, length, out, outStart, importance) {
      for (let i = 0, at = outStart; i < length; i += BLOCK, at += IQ4_NL_BYTES) {
        const from = start + i;
        if (importance === null) {
          squareWeights(x, from);
        } else {
          const variance = fround(sumOfSquares(x, from, BLOCK) * (2 / BLOCK));
          importanceWeights(x, from, importance, i, variance, BLOCK, weights);
        }
        const scale = searchScale(x, from, attempts);
        writeU16(out, at, floatToHalf(scale));
        if (attempts > 0 || scale === 0) encode(x, from, scale);
        packNibbles(out, at + 2);
      }
    },
    dequantize(bytes, start, blocks, out, outStart) {
      for (let b = 0, at = start, o = outStart; b < blocks; b++, at += IQ4_NL_BYTES, o += BLOCK) {
        const d = halfToFloat(readU16(bytes, at));
        for (let j = 0; j < HALF_BLOCK; j++) {
          const pair = bytes[at + 2 + j]!;
          out[o + j] = d * IQ4_VALUES[pair & 15]!;
          out[o + j + HALF_BLOCK] = d * IQ4_VALUES[pair >> 4]!;
        }
      }
    },
  };
}

export const IQ4_NL = iq4NlCodec(ATTEMPTS);

const SUPER_BLOCK = 256;
const SUB_BLOCKS = 8;
const IQ4_XS_BYTES = 136;

/** f16 d · u16 upper bits of the 6-bit scales · their nibbles[4] · nibbles[128]. */
export const IQ4_XS: BlockCodec = {
  quantizeRow(x, start, length, out, outStart, importance) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += IQ4_XS_BYTES) {
      const from = start + i;
      const variance =
        importance === null ? 0 : fround(sumOfSquares(x, from, SUPER_BLOCK) * (2 / SUPER_BLOCK));
      for (let s = 0; s < SUB_BLOCKS; s++) {
        const sub = from + BLOCK * s;
        if (importance === null) squareWeights(x, sub);
        else importanceWeights(x, sub, importance, i + BLOCK * s, variance, BLOCK, weights);
        scales[s] = searchScale(x, sub, ATTEMPTS);
      }
      const d = fround(-signedExtreme(scales, 0, SUB_BLOCKS) / 32);
      writeU16(out, at, floatToHalf(d));
      const inverse = reciprocal(d);
      let upper = 0;
      out.fill(0, at + 4, at + 8);
      for (let s = 0; s < SUB_BLOCKS; s++) {
        const level = nearest(fround(inverse * scales[s]!), -32, 31);
        encode(x, from + BLOCK * s, fround(d * level));
        packNibbles(out, at + 8 + HALF_BLOCK * s);
        const stored = level + 32;
        out[at + 4 + (s >> 1)]! |= (stored & 15) << (4 * (s & 1));
        upper |= (stored >> 4) << (2 * s);
      }
      writeU16(out, at + 2, upper);
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += IQ4_XS_BYTES) {
      const d = halfToFloat(readU16(bytes, at));
      const upper = readU16(bytes, at + 2);
      for (let s = 0; s < SUB_BLOCKS; s++, o += BLOCK) {
        const stored = ((bytes[at + 4 + (s >> 1)]! >> (4 * (s & 1))) & 15) | (((upper >> (2 * s)) & 3) << 4);
        const scale = fround(d * (stored - 32));
        const from = at + 8 + HALF_BLOCK * s;
        for (let j = 0; j < HALF_BLOCK; j++) {
          const pair = bytes[from + j]!;
          out[o + j] = scale * IQ4_VALUES[pair & 15]!;
          out[o + j + HALF_BLOCK] = scale * IQ4_VALUES[pair >> 4]!;
        }
      }
    }
  },
};

const MXFP4_BYTES = 17;
const MXFP4_BIAS = 125; // exponent bias 127 minus the exponent 2 of E2M1's largest values

/** u8 exponent e (scale 2^(e - 128)) · nibbles[16]. */
export const MXFP4: BlockCodec = {
  quantizeRow(x, start, length, out, outStart) {
    for (let i = 0, at = outStart; i < length; i += BLOCK, at += MXFP4_BYTES) {
      const from = start + i;
      const largest = abs(signedExtreme(x, from, BLOCK));
      const exponent = largest === 0 ? 0 : Math.max(0, floor(fround(log2(largest))) + MXFP4_BIAS);
      const scale = 2 ** (exponent - 128);
      for (let j = 0; j < BLOCK; j++) {
        const value = x[from + j]!;
        let best = 0;
        let bestError = abs(value);
        for (let code = 1; code < 16; code++) {
          const error = abs(fround(fround(MXFP4_VALUES[code]! * scale) - value));
          if (error < bestError) {
            bestError = error;
            best = code;
          }
        }
        codes[j] = best;
      }
      out[at] = exponent;
      packNibbles(out, at + 1);
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += MXFP4_BYTES, o += BLOCK) {
      const scale = 2 ** (bytes[at]! - 128);
      for (let j = 0; j < HALF_BLOCK; j++) {
        const pair = bytes[at + 1 + j]!;
        out[o + j] = scale * MXFP4_VALUES[pair & 15]!;
        out[o + j + HALF_BLOCK] = scale * MXFP4_VALUES[pair >> 4]!;
      }
    }
  },
};
