/** Rearrangements of official convolution tensors into the matrices and vectors that the ops take. All are exact. */

/** `[out, in, kernel]` → `[out, kernel · in]`, oldest tap first, channels inside. */
export function tapMajor(
  weight: Float32Array,
  out: number,
  inChannels: number,
  kernel: number,
): Float32Array {
  const result = new Float32Array(weight.length);
  for (let o = 0; o < out; o++) {
    const row = o * inChannels * kernel;
    for (let k = 0; k < kernel; k++) {
      for (let i = 0; i < inChannels; i++) result[row + k * inChannels + i] = weight[row + i * kernel + k]!;
    }
  }
  return result;
}

/** Depthwise `[channels, 1, kernel]` → `[kernel, channels]`, oldest tap first. */
export function depthwiseTaps(weight: Float32Array, channels: number, kernel: number): Float32Array {
  const result = new Float32Array(weight.length);
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < kernel; k++) result[k * channels + c] = weight[c * kernel + k]!;
  }
  return result;
}

/**
 * Transposed convolution `[in, out, taps · stride]` → the filter `[stride · out, taps · in]` of a causal convolution of
 * stride 1 whose result `[rows, stride · out]` is the upsampled signal `[rows · stride, out]`: row `s · out + o` makes
 * phase s, and the oldest tap (the input `taps − 1` rows ago) holds the kernel's last `stride` positions.
 */
export function polyphase(
  weight: Float32Array,
  inChannels: number,
  out: number,
  stride: number,
  taps: number,
): Float32Array {
  const result = new Float32Array(weight.length);
  const kernel = taps * stride;
  let at = 0;
  for (let s = 0; s < stride; s++) {
    for (let o = 0; o < out; o++) {
      for (let tap = taps - 1; tap >= 0; tap--) {
        const from = o * kernel + tap * stride + s;
        for (let i = 0; i < inChannels; i++) result[at++] = weight[i * out * kernel + from]!;
      }
    }
  }
  return result;
}

/** A vector several times in a row: the bias of every phase. */
export function repeated(values: Float32Array, times: number): Float32Array {
  const result = new Float32Array(values.length * times);
  for (let i = 0; i < times; i++) result.set(values, i * values.length);
  return result;
}

/** Entries of a codebook from their moving sums `[entries, width]` and usage `[entries]`. */
export function foldedCodebook(sums: Float32Array, usage: Float32Array): Float32Array {
  const result = new Float32Array(sums.length);
  const width = sums.length / usage.length;
  for (let v = 0; v < usage.length; v++) {
    const count = Math.max(usage[v]!, LEAST_USAGE);
    for (let i = 0; i < width; i++) result[v * width + i] = sums[v * width + i]! / count;
  }
  return result;
}

const LEAST_USAGE = Math.fround(1e-5);

/** SnakeBeta's frequency from its logarithm. */
export function snakeAlpha(logarithms: Float32Array): Float32Array {
  return logarithms.map(Math.exp);
}

/** What SnakeBeta multiplies the squared sine with, from the logarithm of its divisor. */
export function snakeInverseBeta(logarithms: Float32Array): Float32Array {
  return logarithms.map((beta) => 1 / (Math.exp(beta) + 1e-9));
}
