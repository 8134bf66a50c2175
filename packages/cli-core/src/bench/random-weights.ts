import {
  GGML_TYPES,
  UnsupportedError,
  dequantize,
  floatToHalf,
  isDense,
  type GgmlType,
} from "@voxquant/quant-core";

/** Where a block has its half-precision scale and minimum; all its other bits may be random. */
interface BlockFields {
  readonly scale: number;
  /** `factor` times the scale centres the values on zero. */
  readonly min?: { readonly at: number; readonly factor: number };
}

/** Block layouts of ggml's `src/ggml-common.h`. MXFP4 has an exponent instead of a scale. */
const FIELDS: Partial<Record<GgmlType, BlockFields>> = {
  Q4_0: { scale: 0 },
  Q4_1: { scale: 0, min: { at: 2, factor: -7.5 } },
  Q5_0: { scale: 0 },
  Q5_1: { scale: 0, min: { at: 2, factor: -15.5 } },
  Q8_0: { scale: 0 },
  Q2_K: { scale: 80, min: { at: 82, factor: 1.5 } },
  Q3_K: { scale: 108 },
  Q4_K: { scale: 0, min: { at: 2, factor: 7.5 } },
  Q5_K: { scale: 0, min: { at: 2, factor: 15.5 } },
  Q6_K: { scale: 208 },
  IQ4_NL: { scale: 0 },
  IQ4_XS: { scale: 0 },
  TQ1_0: { scale: 52 },
  TQ2_0: { scale: 64 },
};

const MXFP4_UNIT_EXPONENT = 127;
/** Standard deviation of ±m·2^e with m uniform in [1, 2) is this times 2^e. */
const UNIFORM_MANTISSA_DEVIATION = Math.sqrt(7 / 3);
const SAMPLE_BLOCKS = 64;

/** Valid weights of any type that no quantizer has seen: random codes under one fixed scale. The same seed gives the same bytes. */
export class RandomWeights {
  #state: number;
  readonly #unitDeviations = new Map<GgmlType, number>();

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1; // xorshift never leaves zero
  }

  /**
   * Fills whole blocks with values around zero.
   * @param deviation standard deviation wanted; dense types and MXFP4 come within a factor of 1.5
   * @throws UnsupportedError for a type whose blocks are not known here
   */
  fill(dtype: GgmlType, bytes: Uint8Array, deviation: number): void {
    const words = new Uint32Array(Math.ceil(bytes.length / 4));
    const content = new Uint8Array(words.buffer, 0, bytes.length);
    this.#randomize(words);
    if (isDense(dtype)) limitExponents(dtype, words, deviation);
    else setScales(dtype, content, deviation / this.#unitDeviation(dtype));
    bytes.set(content);
  }

  /** +1 or -1. */
  sign(): number {
    const words = new Uint32Array(1);
    this.#randomize(words);
    return (words[0]! & 0x10000) === 0 ? 1 : -1;
  }

  /** xorshift32 (Marsaglia 2003). */
  #randomize(words: Uint32Array): void {
    let state = this.#state;
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[i] = state;
    }
    this.#state = state;
  }

  /** Deviation of random blocks with scale 1, measured on a sample. */
  #unitDeviation(dtype: GgmlType): number {
    let deviation = this.#unitDeviations.get(dtype);
    if (deviation !== undefined) return deviation;
    const { block, bytes: blockBytes } = GGML_TYPES[dtype];
    const words = new Uint32Array(Math.ceil((SAMPLE_BLOCKS * blockBytes) / 4));
    const sample = new Uint8Array(words.buffer, 0, SAMPLE_BLOCKS * blockBytes);
    this.#randomize(words);
    setScales(dtype, sample, 1);
    const values = new Float32Array(SAMPLE_BLOCKS * block);
    dequantize(dtype, sample, values);
    deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    this.#unitDeviations.set(dtype, deviation);
    return deviation;
  }
}

/** Sets the values of whole blocks to zero (MXFP4: to nearly zero). */
export function zeroBlocks(dtype: GgmlType, bytes: Uint8Array): void {
  if (isDense(dtype)) bytes.fill(0);
  else setScales(dtype, bytes, 0);
}

function setScales(dtype: GgmlType, bytes: Uint8Array, scale: number): void {
  const { bytes: blockBytes } = GGML_TYPES[dtype];
  if (dtype === "MXFP4") {
    const exponent = scale === 0 ? 0 : MXFP4_UNIT_EXPONENT + Math.round(Math.log2(scale));
    for (let at = 0; at < bytes.length; at += blockBytes) bytes[at] = exponent;
    return;
  }
  if (dtype === "TQ2_0") avoidFourthCode(bytes);
  const fields = FIELDS[dtype];
  if (fields === undefined) throw new UnsupportedError(`random weights of type ${dtype} cannot be made`);
  setHalves(bytes, fields.scale, blockBytes, scale);
  if (fields.min !== undefined)
    setHalves(bytes, fields.min.at, blockBytes, scale === 0 ? 0 : scale * fields.min.factor);
}

/** Two bits hold -1, 0 and +1; the fourth code, which no quantizer writes, becomes 0. */
function avoidFourthCode(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    bytes[i] = byte ^ ((byte & (byte >>> 1) & 0x55) << 1);
  }
}

function setHalves(bytes: Uint8Array, start: number, step: number, value: number): void {
  const half = floatToHalf(value);
  const low = half & 0xff;
  const high = half >>> 8;
  for (let at = start; at < bytes.length; at += step) {
    bytes[at] = low;
    bytes[at + 1] = high;
  }
}

/** Keeps sign and mantissa of random bits and gives all values one exponent. */
function limitExponents(dtype: "F32" | "F16" | "BF16", words: Uint32Array, deviation: number): void {
  const exponent = Math.round(Math.log2(deviation / UNIFORM_MANTISSA_DEVIATION));
  let keep: number;
  let set: number;
  if (dtype === "F32") {
    keep = 0x807fffff;
    set = (exponent + 127) << 23;
  } else {
    const [mask, bits] = dtype === "F16" ? [0x83ff, (exponent + 15) << 10] : [0x807f, (exponent + 127) << 7];
    keep = mask | (mask << 16);
    set = bits | (bits << 16);
  }
  for (let i = 0; i < words.length; i++) words[i] = (words[i]! & keep) | set;
}
