export interface MelFilterConfig {
  readonly sampleRate: number;
  readonly fftSize: number;
  readonly mels: number;
  readonly minHz: number;
  readonly maxHz: number;
  /** `slaney`: linear to 1 kHz, then logarithmic (librosa's default). `htk`: 2595·log10(1 + f/700). */
  readonly scale: "slaney" | "htk";
  /** Every triangle divided by half its width in Hz, so that all have the same area. */
  readonly areaNorm: boolean;
}

/** The non-zero weights of one filter: of bins first … first + weights.length − 1. */
export interface SparseFilter {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Triangular mel filters over the bins 0 … fftSize/2 of a power spectrum, in float64 (librosa `filters.mel`). */
export function melFilterBank(config: MelFilterConfig): SparseFilter[] {
  const { sampleRate, fftSize, mels, minHz, maxHz, scale, areaNorm } = config;
  const [toMel, toHz] = scale === "slaney" ? [slaneyMel, slaneyHz] : [htkMel, htkHz];
  const low = toMel(minHz);
  const step = (toMel(maxHz) - low) / (mels + 1);
  const points = Array.from({ length: mels + 2 }, (_, i) => toHz(low + i * step));
  points[mels + 1] = maxHz; // without the rounding of the way to mel and back, which would touch one more bin
  const bins = fftSize / 2 + 1;
  return Array.from({ length: mels }, (_, m) => {
    const [left, centre, right] = [points[m]!, points[m + 1]!, points[m + 2]!];
    const norm = areaNorm ? 2 / (right - left) : 1;
    const weightAt = (bin: number) => {
      const hz = (bin * sampleRate) / fftSize;
      return Math.max(0, Math.min((hz - left) / (centre - left), (right - hz) / (right - centre))) * norm;
    };
    let first = 0;
    while (first < bins && weightAt(first) === 0) first++;
    let end = first;
    while (end < bins && weightAt(end) > 0) end++;
    return { first, weights: Float64Array.from({ length: end - first }, (_, i) => weightAt(first + i)) };
  });
}

const SLANEY_LINEAR_HZ = 200 / 3;
const SLANEY_BREAK_HZ = 1000;
const SLANEY_BREAK_MEL = 15;
const SLANEY_LOG_STEP = Math.log(6.4) / 27;

function slaneyMel(hz: number): number {
  return hz < SLANEY_BREAK_HZ
    ? hz / SLANEY_LINEAR_HZ
    : SLANEY_BREAK_MEL + Math.log(hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP;
}

function slaneyHz(mel: number): number {
  return mel < SLANEY_BREAK_MEL
    ? mel * SLANEY_LINEAR_HZ
    : SLANEY_BREAK_HZ * Math.exp((mel - SLANEY_BREAK_MEL) * SLANEY_LOG_STEP);
}

function htkMel(hz: number): number {
  return 2595 * Math.log10(1 + hz / 700);
}

function htkHz(mel: number): number {
  return 700 * (10 ** (mel / 2595) - 1);
}
