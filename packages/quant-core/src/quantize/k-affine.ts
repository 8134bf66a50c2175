import { floatToHalf, halfToFloat } from "../formats/half.js";
import { readU16, writeU16, type BlockCodec } from "./block-codec.js";
import {
  IMPORTANCE_GRID,
  affineGrid,
  importanceWeights,
  nearest,
  searchAffine,
  searchPositive,
  sumOfSquares,
  type AffineGrid,
} from "./scale-search.js";

/** The K types with a scale and a minimum per sub-block: Q2_K, Q4_K, Q5_K. Super-blocks of 256 weights. */

const { abs, fround, sqrt } = Math;

const SUPER_BLOCK = 256;

const weights = new Float32Array(32);
const codes = new Uint8Array(SUPER_BLOCK);
const scales = new Float32Array(16);
const minima = new Float32Array(16);
const weightSums = new Float32Array(16);
const scaleCodes = new Uint8Array(16);
const minimumCodes = new Uint8Array(16);

interface AffineLayout {
  /** Weights per sub-block. */
  readonly group: 16 | 32;
  /** Largest code of a weight, and of a sub-block's scale and minimum. */
  readonly limit: number;
  readonly scaleLimit: number;
  readonly grid: AffineGrid;
  /** Weights of the errors of one sub-block without importance. */
  plainWeights(x: Float32Array, start: number): void;
  /** The variance in the importance weights: this times the mean square of the super-block. */
  readonly varianceFactor: number;
}

/**
 * Searches scales, minima and codes of one super-block into the module's scratch; returns the two super-scales as f16
 * bits, packed (minimum's in the upper half).
 */
function quantizeSuperBlock(
  x: Float32Array,
  start: number,
  importance: Float32Array | null,
  importanceStart: number,
  layout: AffineLayout,
): number {
  const { group, limit, scaleLimit } = layout;
  const groups = SUPER_BLOCK / group;
  const variance =
    importance === null
      ? 0
      : fround((layout.varianceFactor * sumOfSquares(x, start, SUPER_BLOCK)) / SUPER_BLOCK);
  for (let g = 0; g < groups; g++) {
    const from = start + g * group;
    if (importance === null) {
      layout.plainWeights(x, from);
    } else {
      importanceWeights(x, from, importance, importanceStart + g * group, variance, group, weights);
      let sum = 0;
      for (let i = 0; i < group; i++) sum = fround(sum + weights[i]!);
      weightSums[g] = sum;
    }
    const grid = importance === null ? layout.grid : IMPORTANCE_GRID;
    scales[g] = searchAffine(x, from, group, limit, weights, grid, codes, g * group, minima, g);
  }
  let bits: number;
  if (importance === null) {
    const d = quantizeScales(scales, groups, scaleLimit, scaleCodes);
    const dmin = quantizeScales(minima, groups, scaleLimit, minimumCodes);
    bits = floatToHalf(d) | (floatToHalf(dmin) << 16);
  } else {
    const d = searchPositive(scales, groups, scaleLimit, weightSums, scaleCodes);
    const dmin = searchPositive(minima, groups, scaleLimit, weightSums, minimumCodes);
    bits = floatToHalf(d) | (floatToHalf(dmin) << 16);
  }
  const d = halfToFloat(bits & 0xffff);
  const dmin = halfToFloat(bits >>> 16);
  for (let g = 0; g < groups; g++) {
    const scale = fround(d * scaleCodes[g]!);
    if (scale === 0) continue; // the codes of the search stay
    const minimum = fround(dmin * minimumCodes[g]!);
    for (let i = g * group; i < (g + 1) * group; i++) {
      codes[i] = nearest(fround(fround(x[start + i]! + minimum) / scale), 0, limit);
    }
  }
  return bits;
}

/** Codes of non-negative scales against the largest; returns the super-scale. */
function quantizeScales(values: Float32Array, count: number, limit: number, out: Uint8Array): number {
  let largest = 0;
  for (let i = 0; i < count; i++) if (values[i]! > largest) largest = values[i]!;
  const inverse = largest > 0 ? fround(limit / largest) : 0;
  for (let i = 0; i < count; i++) out[i] = nearest(fround(inverse * values[i]!), 0, limit);
  return fround(largest / limit);
}

const Q2_LAYOUT: AffineLayout = {
  group: 16,
  limit: 3,
  scaleLimit: 15,
  grid: affineGrid(-0.5, 0.1, 15, true),
  plainWeights(x, start) {
    for (let i = 0; i < 16; i++) weights[i] = abs(x[start + i]!);
  },
  varianceFactor: 1,
};

function meanPlusMagnitude(x: Float32Array, start: number): void {
  const deviation = fround(sqrt(fround(sumOfSquares(x, start, 32) / 32)));
  for (let i = 0; i < 32; i++) weights[i] = deviation + abs(x[start + i]!);
}

const Q4_LAYOUT: AffineLayout = {
  group: 32,
  limit: 15,
  scaleLimit: 63,
  grid: affineGrid(-1, 0.1, 20),
  plainWeights: meanPlusMagnitude,
  varianceFactor: 2,
};

const Q5_LAYOUT: AffineLayout = { ...Q4_LAYOUT, limit: 31, grid: affineGrid(-0.5, 0.1, 15) };

const Q2_BYTES = 84;

/** u8 scales[16] (low nibble scale, high nibble minimum) · 2-bit codes[64] · f16 d · f16 dmin. */
export const Q2_K: BlockCodec = {
  quantizeRow(x, start, length, out, outStart, importance) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += Q2_BYTES) {
      const bits = quantizeSuperBlock(x, start + i, importance, i, Q2_LAYOUT);
      for (let g = 0; g < 16; g++) out[at + g] = scaleCodes[g]! | (minimumCodes[g]! << 4);
      for (let half = 0; half < 2; half++) {
        for (let l = 0; l < 32; l++) {
          const e = 128 * half + l;
          out[at + 16 + 32 * half + l] =
            codes[e]! | (codes[e + 32]! << 2) | (codes[e + 64]! << 4) | (codes[e + 96]! << 6);
        }
      }
      writeU16(out, at + 80, bits);
      writeU16(out, at + 82, bits >>> 16);
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += Q2_BYTES) {
      const d = halfToFloat(readU16(bytes, at + 80));
      const dmin = halfToFloat(readU16(bytes, at + 82));
      for (let g = 0; g < 16; g++, o += 16) {
        const pair = bytes[at + g]!;
        const scale = fround(d * (pair & 15));
        const minimum = fround(dmin * (pair >> 4));
        // Sub-block g covers elements 16g…: half g >> 3, bit pair (g >> 1) & 3, bytes 0-15 or 16-31.
        const from = at + 16 + 32 * (g >> 3) + 16 * (g & 1);
        const shift = 2 * ((g >> 1) & 3);
        for (let l = 0; l < 16; l++) out[o + l] = fround(scale * ((bytes[from + l]! >> shift) & 3)) - minimum;
      }
    }
  },
};

/** Eight 6-bit scales and minima in 12 bytes (Q4_K, Q5_K): four in the low bits, the upper four spread. */
function packSixBits(out: Uint8Array, at: number): void {
  for (let s = 0; s < 4; s++) {
    const upperScale = scaleCodes[s + 4]!;
    const upperMinimum = minimumCodes[s + 4]!;
    out[at + s] = scaleCodes[s]! | ((upperScale >> 4) << 6);
    out[at + s + 4] = minimumCodes[s]! | ((upperMinimum >> 4) << 6);
    out[at + s + 8] = (upperScale & 15) | ((upperMinimum & 15) << 4);
  }
}

function sixBitScale(bytes: Uint8Array, at: number, s: number): number {
  return s < 4 ? bytes[at + s]! & 63 : (bytes[at + s + 4]! & 15) | ((bytes[at + s - 4]! >> 6) << 4);
}

function sixBitMinimum(bytes: Uint8Array, at: number, s: number): number {
  return s < 4 ? bytes[at + s + 4]! & 63 : (bytes[at + s + 4]! >> 4) | ((bytes[at + s]! >> 6) << 4);
}

/** f16 d · f16 dmin · scales[12] · for Q5_K fifth bits[32] · nibbles[128]. */
function nibbleCodec(layout: AffineLayout): BlockCodec {
  const fifth = layout.limit === 31;
  const nibblesAt = fifth ? 48 : 16;
  const bytesPerBlock = nibblesAt + 128;
  return {
    quantizeRow(x, start, length, out, outStart, importance) {
      for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += bytesPerBlock) {
        const bits = quantizeSuperBlock(x, start + i, importance, i, layout);
        writeU16(out, at, bits);
        writeU16(out, at + 2, bits >>> 16);
        packSixBits(out, at + 4);
        for (let g = 0; g < 4; g++) {
          for (let l = 0; l < 32; l++) {
            const e = 64 * g + l;
            out[at + nibblesAt + 32 * g + l] = (codes[e]! & 15) | ((codes[e + 32]! & 15) << 4);
          }
        }
        if (!fifth) continue;
        for (let l = 0; l < 32; l++) {
          let high = 0;
          for (let s = 0; s < 8; s++) high |= (codes[32 * s + l]! >> 4) << s;
          out[at + 16 + l] = high;
        }
      }
    },
    dequantize(bytes, start, blocks, out, outStart) {
      for (let b = 0, at = start, o = outStart; b < blocks; b++, at += bytesPerBlock) {
        const d = halfToFloat(readU16(bytes, at));
        const dmin = halfToFloat(readU16(bytes, at + 2));
        for (let s = 0; s < 8; s++, o += 32) {
          const scale = fround(d * sixBitScale(bytes, at + 4, s));
          const minimum = fround(dmin * sixBitMinimum(bytes, at + 4, s));
          const from = at + nibblesAt + 32 * (s >> 1);
          const shift = 4 * (s & 1);
          if (fifth) {
            for (let l = 0; l < 32; l++) {
              const code = ((bytes[from + l]! >> shift) & 15) | (((bytes[at + 16 + l]! >> s) & 1) << 4);
              out[o + l] = fround(scale * code) - minimum;
            }
          } else {
            for (let l = 0; l < 32; l++)
              out[o + l] = fround(scale * ((bytes[from + l]! >> shift) & 15)) - minimum;
          }
        }
      }
    },
  };
}

export const Q4_K = nibbleCodec(Q4_LAYOUT);
export const Q5_K = nibbleCodec(Q5_LAYOUT);
