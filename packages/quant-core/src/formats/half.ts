/**
 * IEEE half precision and bfloat16, bit-exact as ggml's scalar code (`ggml/src/ggml-impl.h`): round to nearest even,
 * overflow to infinity, subnormals kept, NaN to 0x7E00 | sign (half) or its upper bits made quiet (bfloat16).
 * Bits are unsigned 16-bit integers; floats are rounded to float32 first.
 */
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

const SUBNORMAL_HALF = 2 ** -24;

export function halfToFloat(bits: number): number {
  const magnitude = bits & 0x7fff;
  if (magnitude < 0x0400) return bits & 0x8000 ? -magnitude * SUBNORMAL_HALF : magnitude * SUBNORMAL_HALF;
  word[0] = magnitude < 0x7c00 ? (magnitude << 13) + 0x38000000 : 0x7f800000 | ((magnitude & 0x3ff) << 13);
  return bits & 0x8000 ? -float[0]! : float[0]!;
}

export function floatToHalf(x: number): number {
  float[0] = x;
  return halfOfWord(word[0]!);
}

export function bf16ToFloat(bits: number): number {
  word[0] = bits << 16;
  return float[0]!;
}

export function floatToBf16(x: number): number {
  float[0] = x;
  return bf16OfWord(word[0]!);
}

/** Half of a float32 given by its bits. */
function halfOfWord(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  let magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x38800000) {
    magnitude += 0xfff + ((magnitude >>> 13) & 1); // may carry into the exponent, up to infinity
    return sign | ((magnitude - 0x38000000) >>> 13);
  }
  // Half subnormals are multiples of 2^-24, the float32 spacing at 0.5: the addition rounds for us, to even.
  word[0] = magnitude;
  float[0] = float[0]! + 0.5;
  return sign | (word[0]! - 0x3f000000);
}

function bf16OfWord(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 64;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** `out[i] = halfToFloat(bits[i])`; both have the same length. */
export function halvesToFloats(bits: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x0400 && magnitude < 0x7c00) {
      words[i] = ((half & 0x8000) << 16) | ((magnitude << 13) + 0x38000000);
    } else if (magnitude >= 0x7c00) {
      words[i] = ((half & 0x8000) << 16) | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    } else {
      out[i] = half & 0x8000 ? -magnitude * SUBNORMAL_HALF : magnitude * SUBNORMAL_HALF;
    }
  }
}

/** `out[i] = floatToHalf(x[i])`; both have the same length. */
export function floatsToHalves(x: Float32Array, out: Uint16Array): void {
  const words = new Uint32Array(x.buffer, x.byteOffset, x.length);
  for (let i = 0; i < words.length; i++) out[i] = halfOfWord(words[i]!);
}

/** `out[i] = bf16ToFloat(bits[i])`; both have the same length. */
export function bf16sToFloats(bits: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
}

/** `out[i] = floatToBf16(x[i])`; both have the same length. */
export function floatsToBf16s(x: Float32Array, out: Uint16Array): void {
  const words = new Uint32Array(x.buffer, x.byteOffset, x.length);
  for (let i = 0; i < words.length; i++) out[i] = bf16OfWord(words[i]!);
}
