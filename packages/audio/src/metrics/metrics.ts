import { compareSpectra, type SpectralMetrics } from "./spectral.js";
import { intelligibility, type Intelligibility } from "./stoi.js";
import { compareWaveforms, type WaveformMetrics } from "./waveform.js";

/** How similar two recordings are; null in JSON stands for a value that is undefined or infinite. */
export interface AudioComparison extends WaveformMetrics, SpectralMetrics, Intelligibility {}

/**
 * All metrics of `test` against `reference`, mono at one rate and in step with each other (for speech of other timing
 * see `alignedDistortion`); the longer is cut to the shorter.
 * @throws AudioError `too_short` below 1024 samples
 */
export function compareAudio(
  reference: Float32Array,
  test: Float32Array,
  sampleRate: number,
): AudioComparison {
  return {
    ...compareWaveforms(reference, test, sampleRate),
    ...compareSpectra(reference, test, sampleRate),
    ...intelligibility(reference, test, sampleRate),
  };
}
