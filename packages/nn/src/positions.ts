/**
 * Sinusoidal positions `[count, dim]`: sines in the first half, cosines in the second (concatenated, not interleaved),
 * frequencies `exp(−i · ln(10000) / (dim/2 − 1))` (Whisper, Qwen3-ASR `SinusoidsPositionEmbedding`).
 */
export function sinusoidalPositions(count: number, dim: number): Float32Array {
  const half = dim / 2;
  const step = Math.log(10000) / (half - 1);
  const table = new Float32Array(count * dim);
  for (let p = 0; p < count; p++) {
    for (let i = 0; i < half; i++) {
      const angle = p * Math.exp(-i * step);
      table[p * dim + i] = Math.sin(angle);
      table[p * dim + half + i] = Math.cos(angle);
    }
  }
  return table;
}
