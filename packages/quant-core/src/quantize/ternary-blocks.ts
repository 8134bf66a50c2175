import { floatToHalf, halfToFloat } from "../formats/half.js";
import { readU16, writeU16, type BlockCodec } from "./block-codec.js";
import { reciprocal, signedExtreme } from "./scale-search.js";
import { roundHalfAway } from "./small-blocks.js";

/** Ternary types: codes 0, 1, 2 for -d, 0, d with d the largest magnitude of 256 weights. */

const { abs, fround } = Math;

const SUPER_BLOCK = 256;
const codes = new Uint8Array(SUPER_BLOCK);

/** Fills `codes`; returns d. */
function quantizeTernary(x: Float32Array, start: number): number {
  const d = abs(signedExtreme(x, start, SUPER_BLOCK));
  const inverse = reciprocal(d);
  for (let i = 0; i < SUPER_BLOCK; i++) codes[i] = roundHalfAway(fround(x[start + i]! * inverse)) + 1;
  return d;
}

const TQ2_BYTES = 66;

/** 2-bit codes[64] · f16 d. */
export const TQ2_0: BlockCodec = {
  quantizeRow(x, start, length, out, outStart) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += TQ2_BYTES) {
      const d = quantizeTernary(x, start + i);
      for (let half = 0; half < 2; half++) {
        for (let l = 0; l < 32; l++) {
          const e = 128 * half + l;
          out[at + 32 * half + l] =
            codes[e]! | (codes[e + 32]! << 2) | (codes[e + 64]! << 4) | (codes[e + 96]! << 6);
        }
      }
      writeU16(out, at + 64, floatToHalf(d));
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += TQ2_BYTES, o += SUPER_BLOCK) {
      const d = halfToFloat(readU16(bytes, at + 64));
      for (let e = 0; e < SUPER_BLOCK; e++) {
        const code = (bytes[at + 32 * (e >> 7) + (e & 31)]! >> (2 * ((e & 127) >> 5))) & 3;
        out[o + e] = d * (code - 1);
      }
    }
  },
};

const TQ1_BYTES = 54;

/** Runs of bytes: bytes [first, first + count) hold `digits` trits each, trit n of byte m is element `element + m + n·count`. */
const TQ1_RUNS = [
  { first: 0, count: 32, digits: 5, element: 0 },
  { first: 32, count: 16, digits: 5, element: 160 },
  { first: 48, count: 4, digits: 4, element: 240 },
] as const;
const POWERS_OF_3 = [1, 3, 9, 27, 81];

/** Base-3 digits, most significant first, five in a byte[48], four in a byte[4] · f16 d. */
export const TQ1_0: BlockCodec = {
  quantizeRow(x, start, length, out, outStart) {
    for (let i = 0, at = outStart; i < length; i += SUPER_BLOCK, at += TQ1_BYTES) {
      const d = quantizeTernary(x, start + i);
      for (const { first, count, digits, element } of TQ1_RUNS) {
        for (let m = 0; m < count; m++) {
          let value = 0;
          for (let n = 0; n < 5; n++) value = 3 * value + (n < digits ? codes[element + m + n * count]! : 0);
          out[at + first + m] = Math.floor((value * 256 + 242) / 243); // as a fraction of 3⁵, rounded up
        }
      }
      writeU16(out, at + 52, floatToHalf(d));
    }
  },
  dequantize(bytes, start, blocks, out, outStart) {
    for (let b = 0, at = start, o = outStart; b < blocks; b++, at += TQ1_BYTES, o += SUPER_BLOCK) {
      const d = halfToFloat(readU16(bytes, at + 52));
      for (const { first, count, digits, element } of TQ1_RUNS) {
        for (let n = 0; n < digits; n++) {
          for (let m = 0; m < count; m++) {
            const shifted = (bytes[at + first + m]! * POWERS_OF_3[n]!) & 255;
            out[o + element + n * count + m] = d * (((shifted * 3) >> 8) - 1);
          }
        }
      }
    }
  },
};
