import { AudioError } from "../errors.js";
import { resample } from "../resample.js";
import { hannWindow, Stft } from "./stft.js";

const { log10, max, min, sqrt } = Math;

/** Short-time objective intelligibility of degraded speech, 0 … 1. */
export interface Intelligibility {
  /** Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech", 2011. */
  readonly stoi: number;
  /** Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by Modulated Noise Maskers", 2016. */
  readonly estoi: number;
}

// The papers' constants.
const RATE = 10_000;
const FRAME = 256;
const HOP = FRAME / 2;
const FFT_SIZE = 512;
const BANDS = 15;
const LOWEST_BAND_HZ = 150;
/** Frames of one segment, 384 ms. */
const SEGMENT = 30;
/** Frames this far below the loudest one of the reference are silence. */
const DYNAMIC_RANGE_DB = 40;
/** The test's envelope is limited to an SDR of −15 dB. */
const CLIP = 1 + 10 ** (15 / 20);
/** Keeps the divisions by the norms of silent bands finite. */
const TINY = 2 ** -52;

/**
 * STOI and ESTOI of `test` against `reference`, both at `sampleRate` (they are resampled to 10 kHz); the longer is cut
 * to the shorter. NaN where fewer than 30 frames (0.4 s) of the reference hold speech.
 * @throws AudioError `no_data` if one of them is empty
 */
export function intelligibility(
  reference: Float32Array,
  test: Float32Array,
  sampleRate: number,
): Intelligibility {
  const n = min(reference.length, test.length);
  if (n === 0) throw new AudioError("no_data", "STOI: one of the two signals is empty");
  const [x, y] = withoutSilence(
    resample(reference.subarray(0, n), sampleRate, RATE),
    resample(test.subarray(0, n), sampleRate, RATE),
  );
  const bandsX = bandEnvelopes(x);
  const bandsY = bandEnvelopes(y);
  const segments = bandsX.length / BANDS - SEGMENT + 1;
  if (segments < 1) return { stoi: NaN, estoi: NaN };
  let stoi = 0;
  let estoi = 0;
  for (let start = 0; start < segments; start++) {
    const segmentX = segmentOf(bandsX, start);
    const segmentY = segmentOf(bandsY, start);
    stoi += clippedCorrelation(segmentX, segmentY);
    estoi += spectralCorrelation(segmentX, segmentY);
  }
  return { stoi: stoi / segments, estoi: estoi / segments };
}

const WINDOW = hannWindow(FRAME, "inner");

/** Both signals from their overlapping windowed frames, without those in which the reference is silent. */
function withoutSilence(x: Float32Array, y: Float32Array): [Float64Array, Float64Array] {
  const frames = x.length < FRAME ? 0 : Math.floor((x.length - FRAME) / HOP) + 1;
  const levels = Float64Array.from({ length: frames }, (_, t) => {
    let energy = 0;
    for (let n = 0; n < FRAME; n++) energy += (x[t * HOP + n]! * WINDOW[n]!) ** 2;
    return 20 * log10(sqrt(energy) + TINY);
  });
  const threshold = levels.reduce((a, b) => max(a, b), -Infinity) - DYNAMIC_RANGE_DB;
  const kept: number[] = [];
  levels.forEach((level, t) => {
    if (level > threshold) kept.push(t);
  });
  const joined = (signal: Float32Array) => {
    const out = new Float64Array(kept.length === 0 ? 0 : (kept.length - 1) * HOP + FRAME);
    kept.forEach((t, place) => {
      for (let n = 0; n < FRAME; n++) out[place * HOP + n]! += signal[t * HOP + n]! * WINDOW[n]!;
    });
    return out;
  };
  return [joined(x), joined(y)];
}

/** First bin of each one-third octave band and the first above the last one: edges at the nearest bins. */
const BAND_EDGES = Array.from({ length: BANDS }, (_, band) => {
  const nearestBin = (hz: number) => Math.round((hz * FFT_SIZE) / RATE);
  return [
    nearestBin(LOWEST_BAND_HZ * 2 ** ((2 * band - 1) / 6)),
    nearestBin(LOWEST_BAND_HZ * 2 ** ((2 * band + 1) / 6)),
  ] as const;
});

/** Magnitudes of the one-third octave bands, `[frames, BANDS]`. */
function bandEnvelopes(signal: Float64Array): Float64Array {
  const stft = new Stft(WINDOW, HOP, FFT_SIZE);
  const frames = stft.frameCount(signal.length);
  const bands = new Float64Array(frames * BANDS);
  const power = new Float64Array(stft.bins);
  for (let t = 0; t < frames; t++) {
    stft.power(signal, t, power);
    BAND_EDGES.forEach(([first, end], band) => {
      let sum = 0;
      for (let k = first; k < end; k++) sum += power[k]!;
      bands[t * BANDS + band] = sqrt(sum);
    });
  }
  return bands;
}

/** One segment, band by band: `[BANDS, SEGMENT]`. */
function segmentOf(bands: Float64Array, start: number): Float64Array[] {
  return Array.from({ length: BANDS }, (_, band) =>
    Float64Array.from({ length: SEGMENT }, (_, t) => bands[(start + t) * BANDS + band]!),
  );
}

function norm(values: Float64Array): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i]! ** 2;
  return sqrt(squares);
}

/** (values − mean) / ‖values − mean‖. */
function normalized(values: Float64Array): Float64Array {
  let mean = 0;
  for (let i = 0; i < values.length; i++) mean += values[i]!;
  mean /= values.length;
  const centred = values.map((value) => value - mean);
  const length = norm(centred) + TINY;
  return centred.map((value) => value / length);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** STOI of a segment: mean over bands of the correlation with the level-matched, clipped test. */
function clippedCorrelation(x: readonly Float64Array[], y: readonly Float64Array[]): number {
  let sum = 0;
  for (let band = 0; band < BANDS; band++) {
    const wanted = x[band]!;
    const gain = norm(wanted) / (norm(y[band]!) + TINY);
    const clipped = y[band]!.map((value, t) => min(value * gain, wanted[t]! * CLIP));
    sum += dot(normalized(wanted), normalized(clipped));
  }
  return sum / BANDS;
}

/** ESTOI of a segment: bands normalised over time, then spectra over bands; mean correlation of the spectra. */
function spectralCorrelation(x: readonly Float64Array[], y: readonly Float64Array[]): number {
  const rowsX = x.map(normalized);
  const rowsY = y.map(normalized);
  const column = (rows: readonly Float64Array[], t: number) =>
    normalized(Float64Array.from(rows, (row) => row[t]!));
  let sum = 0;
  for (let t = 0; t < SEGMENT; t++) sum += dot(column(rowsX, t), column(rowsY, t));
  return sum / SEGMENT;
}
