import { AudioError } from "../errors.js";

const { abs, log10, max, min, round, sqrt } = Math;

/** Differences of two waveforms, sample by sample. */
export interface WaveformMetrics {
  /** 10·log10(Σx² / Σ(x − y)²) in dB; Infinity for equal signals. */
  readonly snr: number;
  /** Mean over 20 ms frames of their SNR limited to −10…35 dB; frames 80 dB below the loudest are left out. NaN if none is left. */
  readonly segmentalSnr: number;
  /** Scale-invariant signal-to-distortion ratio in dB, of the signals without their means. */
  readonly siSdr: number;
  /** The factor α = Σxy / Σx² that SI-SDR allows for. */
  readonly scale: number;
  /** Pearson's. */
  readonly correlation: number;
  readonly cosine: number;
  readonly rmse: number;
  readonly maxError: number;
}

const SEGMENT_SECONDS = 0.02;
const SEGMENT_RANGE_DB = [-10, 35] as const;
/** Relative to the loudest frame's energy. */
const SILENT_SEGMENT = 1e-8;

function decibel(ratio: number): number {
  return 10 * log10(ratio);
}

/**
 * Compares `test` with `reference`; the longer of the two is cut to the shorter.
 * @throws AudioError `no_data` if one of them is empty
 */
export function compareWaveforms(
  reference: Float32Array | Float64Array,
  test: Float32Array | Float64Array,
  sampleRate: number,
): WaveformMetrics {
  const n = min(reference.length, test.length);
  if (n === 0) throw new AudioError("no_data", "compare: one of the two signals is empty");
  let meanX = 0;
  let meanY = 0;
  for (let i = 0; i < n; i++) {
    meanX += reference[i]!;
    meanY += test[i]!;
  }
  meanX /= n;
  meanY /= n;
  let [xx, yy, xy, error, largest] = [0, 0, 0, 0, 0];
  let [centredXx, centredYy, centredXy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const x = reference[i]!;
    const y = test[i]!;
    xx += x * x;
    yy += y * y;
    xy += x * y;
    error += (x - y) ** 2;
    largest = max(largest, abs(x - y));
    centredXx += (x - meanX) ** 2;
    centredYy += (y - meanY) ** 2;
    centredXy += (x - meanX) * (y - meanY);
  }
  const scale = centredXy / centredXx;
  let distortion = 0;
  for (let i = 0; i < n; i++) distortion += (scale * (reference[i]! - meanX) - (test[i]! - meanY)) ** 2;
  return {
    snr: decibel(xx / error),
    segmentalSnr: segmentalSnr(reference, test, n, round(SEGMENT_SECONDS * sampleRate)),
    siSdr: decibel((scale * scale * centredXx) / distortion),
    scale,
    correlation: centredXy / sqrt(centredXx * centredYy),
    cosine: xy / sqrt(xx * yy),
    rmse: sqrt(error / n),
    maxError: largest,
  };
}

function segmentalSnr(
  x: Float32Array | Float64Array,
  y: Float32Array | Float64Array,
  n: number,
  length: number,
): number {
  const frames: { signal: number; noise: number }[] = [];
  let loudest = 0;
  for (let start = 0; start + length <= n; start += length) {
    let signal = 0;
    let noise = 0;
    for (let i = start; i < start + length; i++) {
      signal += x[i]! ** 2;
      noise += (x[i]! - y[i]!) ** 2;
    }
    frames.push({ signal, noise });
    loudest = max(loudest, signal);
  }
  const [lowest, highest] = SEGMENT_RANGE_DB;
  let sum = 0;
  let count = 0;
  for (const { signal, noise } of frames) {
    if (signal === 0 || signal < SILENT_SEGMENT * loudest) continue;
    sum += max(lowest, min(highest, decibel(signal / noise)));
    count++;
  }
  return sum / count;
}
