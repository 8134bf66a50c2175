/** Hz, of the model's input. */
const SAMPLE_RATE = 16000;
/** The window that the splitting of long recordings looks for: it cuts at the first sample of the quietest one. */
const QUIET_SAMPLES = 0.1 * SAMPLE_RATE;
/** How far around a clip's length that splitting looks; shorter clips could be cut elsewhere. */
export const LEAST_BATCHED_SECONDS = 6;

/** Noise with a speech-like envelope: `count` clips one after the other, each beginning with a pause of 0.1 s. */
export function syntheticClips(
  seconds: number,
  count: number,
): { samples: Float32Array; sampleRate: number } {
  const length = Math.round(seconds * SAMPLE_RATE);
  const samples = new Float32Array(length * count);
  let state = 12345;
  for (let i = 0; i < samples.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const syllables = 0.5 - 0.5 * Math.cos((2 * Math.PI * 4 * i) / SAMPLE_RATE);
    if (i % length >= QUIET_SAMPLES) samples[i] = (0.02 + 0.2 * syllables) * (state / 2 ** 31 - 1);
  }
  return { samples, sampleRate: SAMPLE_RATE };
}
