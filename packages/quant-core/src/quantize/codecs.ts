import { UnsupportedError } from "../errors.js";
import { bf16sToFloats, floatsToBf16s, floatsToHalves, halvesToFloats } from "../formats/half.js";
import type { GgmlType } from "../weight.js";
import type { BlockCodec } from "./block-codec.js";
import { Q2_K, Q4_K, Q5_K } from "./k-affine.js";
import { Q3_K, Q6_K, Q8_K } from "./k-symmetric.js";
import { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1 } from "./small-blocks.js";
import { IQ4_NL, IQ4_XS, MXFP4 } from "./table-blocks.js";
import { TQ1_0, TQ2_0 } from "./ternary-blocks.js";

/** F16 and BF16 from their conversions of whole arrays. */
function sixteenBitCodec(
  encode: (x: Float32Array, out: Uint16Array) => void,
  decode: (bits: Uint16Array, out: Float32Array) => void,
): BlockCodec {
  return {
    quantizeRow(x, start, length, out, outStart) {
      const bits = new Uint16Array(length);
      encode(x.subarray(start, start + length), bits);
      out.set(new Uint8Array(bits.buffer), outStart);
    },
    dequantize(bytes, start, blocks, out, outStart) {
      const at = bytes.byteOffset + start;
      const isAligned = at % 2 === 0;
      const bits = isAligned
        ? new Uint16Array(bytes.buffer, at, blocks)
        : new Uint16Array(bytes.slice(start, start + 2 * blocks).buffer);
      decode(bits, out.subarray(outStart, outStart + blocks));
    },
  };
}

const F32: BlockCodec = {
  quantizeRow(x, start, length, out, outStart) {
    const source = new Uint8Array(x.buffer, x.byteOffset + 4 * start, 4 * length);
    out.set(source, outStart);
  },
  dequantize(bytes, start, blocks, out, outStart) {
    const target = new Uint8Array(out.buffer, out.byteOffset + 4 * outStart, 4 * blocks);
    target.set(bytes.subarray(start, start + 4 * blocks));
  },
};

const CODECS: Partial<Record<GgmlType, BlockCodec>> = {
  F32,
  F16: sixteenBitCodec(floatsToHalves, halvesToFloats),
  BF16: sixteenBitCodec(floatsToBf16s, bf16sToFloats),
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q8_1,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  Q8_K,
  IQ4_NL,
  IQ4_XS,
  MXFP4,
  TQ1_0,
  TQ2_0,
};

/** Types that weights can be stored in by `quantizeRows`; Q8_1 and Q8_K, which it also makes, are activation forms. */
export const QUANTIZABLE: readonly GgmlType[] = (Object.keys(CODECS) as GgmlType[]).filter(
  (type) => type !== "Q8_1" && type !== "Q8_K",
);

/** The codec of a type. @throws UnsupportedError for a type that this library only lists and copies. */
export function codecOf(dtype: GgmlType): BlockCodec {
  const codec = CODECS[dtype];
  if (codec === undefined) {
    throw new UnsupportedError(
      `${dtype} cannot be encoded or decoded; supported: ${Object.keys(CODECS).join(", ")}`,
    );
  }
  return codec;
}

export function canDecode(dtype: string): dtype is GgmlType {
  return dtype in CODECS;
}
