import { AudioError } from "../errors.js";
import { melFilterBank, type SparseFilter } from "../mel-filters.js";
import { hannWindow, Stft } from "./stft.js";

const { abs, cos, log, log10, max, min, sqrt, PI, LN10, SQRT2 } = Math;

/** Distances of two spectrograms, frame by frame. */
export interface SpectralMetrics {
  /** Frames compared. */
  readonly frames: number;
  /** Log-spectral distance in dB: mean over frames of the RMS difference of the bins' levels. */
  readonly logSpectralDistance: number;
  /** Mel cepstral distortion of coefficients 1…13 in dB (DCT-II scaled by 2/K). */
  readonly melCepstralDistortion: number;
  /** Mean absolute difference of the log-mel matrices (natural logarithm of power). */
  readonly melDistance: number;
  /** Pearson's correlation of the two log-mel matrices. */
  readonly melCorrelation: number;
  /** ‖|X| − |Y|‖ / ‖|X|‖ (Frobenius). */
  readonly spectralConvergence: number;
}

/** Mel cepstral distortion along the cheapest monotonic alignment, for speech of different length. */
export interface AlignedDistortion {
  /** dB, mean over the steps of the path. */
  readonly melCepstralDistortion: number;
  /** Steps of the path per frame of the longer signal: 1 for equal timing, at most 2. */
  readonly pathRatio: number;
  /** Frames of the test per frame of the reference. */
  readonly durationRatio: number;
}

const FFT_SIZE = 1024;
const HOP = 256;
const MELS = 80;
const CEPSTRA = 13;
/**
 * Levels are not followed below this part of the reference's maximum (power): an absolute floor would compare the
 * rounding of silent bins instead of speech.
 */
const RELATIVE_FLOOR = 1e-8;

/**
 * Compares power spectra (periodic Hann, 1024 samples, hop 256, no padding) and their 80 Slaney mel bands from 0 Hz to
 * half the rate; the longer signal is cut to the shorter. Values are NaN or Infinity for a silent reference.
 * @throws AudioError `too_short` below one frame
 */
export function compareSpectra(
  reference: Float32Array | Float64Array,
  test: Float32Array | Float64Array,
  sampleRate: number,
): SpectralMetrics {
  const length = min(reference.length, test.length);
  const analysis = new MelAnalysis(sampleRate);
  const { stft } = analysis;
  const frames = stft.frameCount(length);
  requireFrames(frames, length);
  const px = new Float64Array(stft.bins);
  const py = new Float64Array(stft.bins);
  let loudest = 0;
  for (let t = 0; t < frames; t++) {
    stft.power(reference, t, px);
    for (let k = 0; k < px.length; k++) loudest = max(loudest, px[k]!);
  }
  const floor = loudest * RELATIVE_FLOOR;
  const melX = new Float64Array(frames * MELS);
  const melY = new Float64Array(frames * MELS);
  let [distance, difference, energy] = [0, 0, 0];
  for (let t = 0; t < frames; t++) {
    stft.power(reference, t, px);
    stft.power(test, t, py);
    analysis.mel(px, melX, t);
    analysis.mel(py, melY, t);
    let squares = 0;
    for (let k = 0; k < px.length; k++) {
      squares += (10 * log10(max(px[k]!, floor) / max(py[k]!, floor))) ** 2;
      difference += (sqrt(px[k]!) - sqrt(py[k]!)) ** 2;
      energy += px[k]!;
    }
    distance += sqrt(squares / px.length);
  }
  const melFloor = toLogMel(melX);
  toLogMel(melY, melFloor);
  const cepstraX = cepstra(melX);
  const cepstraY = cepstra(melY);
  let distortion = 0;
  for (let t = 0; t < frames; t++) distortion += cepstralDistance(cepstraX, t, cepstraY, t);
  return {
    frames,
    logSpectralDistance: distance / frames,
    melCepstralDistortion: distortion / frames,
    melDistance: melX.reduce((sum, value, i) => sum + abs(value - melY[i]!), 0) / melX.length,
    melCorrelation: pearson(melX, melY),
    spectralConvergence: sqrt(difference / energy),
  };
}

/**
 * Mel cepstral distortion under dynamic time warping (steps of one frame in either signal or both), for two recordings
 * of the same words. Time and memory: frames × frames steps, one row kept.
 * @throws AudioError `too_short` below one frame of 1024 samples
 */
export function alignedDistortion(
  reference: Float32Array | Float64Array,
  test: Float32Array | Float64Array,
  sampleRate: number,
): AlignedDistortion {
  const analysis = new MelAnalysis(sampleRate);
  const melX = analysis.melMatrix(reference);
  const melY = analysis.melMatrix(test);
  const melFloor = toLogMel(melX);
  toLogMel(melY, melFloor);
  const x = cepstra(melX);
  const y = cepstra(melY);
  const rows = x.length / CEPSTRA;
  const columns = y.length / CEPSTRA;
  let cost = new Float64Array(columns + 1).fill(Infinity);
  let steps = new Int32Array(columns + 1);
  let nextCost = new Float64Array(columns + 1);
  let nextSteps = new Int32Array(columns + 1);
  cost[0] = 0;
  for (let i = 0; i < rows; i++) {
    nextCost[0] = Infinity;
    for (let j = 1; j <= columns; j++) {
      let best = cost[j - 1]!;
      let taken = steps[j - 1]!;
      if (cost[j]! < best) [best, taken] = [cost[j]!, steps[j]!];
      if (nextCost[j - 1]! < best) [best, taken] = [nextCost[j - 1]!, nextSteps[j - 1]!];
      nextCost[j] = best + cepstralDistance(x, i, y, j - 1);
      nextSteps[j] = taken + 1;
    }
    [cost, nextCost] = [nextCost, cost];
    [steps, nextSteps] = [nextSteps, steps];
  }
  return {
    melCepstralDistortion: cost[columns]! / steps[columns]!,
    pathRatio: steps[columns]! / max(rows, columns),
    durationRatio: columns / rows,
  };
}

function requireFrames(frames: number, samples: number): void {
  if (frames > 0) return;
  const message = `compare: spectra need at least ${FFT_SIZE} samples, one of the signals has ${samples}`;
  throw new AudioError("too_short", message);
}

class MelAnalysis {
  readonly stft = new Stft(hannWindow(FFT_SIZE, "periodic"), HOP);
  readonly #filters: readonly SparseFilter[];

  constructor(sampleRate: number) {
    this.#filters = melFilterBank({
      sampleRate,
      fftSize: FFT_SIZE,
      mels: MELS,
      minHz: 0,
      maxHz: sampleRate / 2,
      scale: "slaney",
      areaNorm: true,
    });
  }

  /** Mel powers of one spectrum into row t of `mel` `[frames, MELS]`. */
  mel(power: Float64Array, mel: Float64Array, t: number): void {
    for (let m = 0; m < MELS; m++) {
      const { first, weights } = this.#filters[m]!;
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * power[first + k]!;
      mel[t * MELS + m] = sum;
    }
  }

  /** Mel powers of a whole signal, `[frames, MELS]`. */
  melMatrix(signal: Float32Array | Float64Array): Float64Array {
    const frames = this.stft.frameCount(signal.length);
    requireFrames(frames, signal.length);
    const mel = new Float64Array(frames * MELS);
    const power = new Float64Array(this.stft.bins);
    for (let t = 0; t < frames; t++) {
      this.stft.power(signal, t, power);
      this.mel(power, mel, t);
    }
    return mel;
  }
}

/** ln(max(mel, floor)) in place; the floor, by default relative to the matrix's own maximum, is returned. */
function toLogMel(mel: Float64Array, floor = mel.reduce((a, b) => max(a, b), 0) * RELATIVE_FLOOR): number {
  for (let i = 0; i < mel.length; i++) mel[i] = log(max(mel[i]!, floor));
  return floor;
}

const DCT = Float64Array.from({ length: CEPSTRA * MELS }, (_, i) => {
  const c = Math.floor(i / MELS) + 1;
  return (2 / MELS) * cos((PI * c * (2 * (i % MELS) + 1)) / (2 * MELS));
});

/** Coefficients 1…13 of every frame, `[frames, CEPSTRA]`. */
function cepstra(logMel: Float64Array): Float64Array {
  const frames = logMel.length / MELS;
  const out = new Float64Array(frames * CEPSTRA);
  for (let t = 0; t < frames; t++) {
    for (let c = 0; c < CEPSTRA; c++) {
      let sum = 0;
      for (let m = 0; m < MELS; m++) sum += DCT[c * MELS + m]! * logMel[t * MELS + m]!;
      out[t * CEPSTRA + c] = sum;
    }
  }
  return out;
}

const DISTORTION_SCALE = (10 * SQRT2) / LN10;

function cepstralDistance(x: Float64Array, i: number, y: Float64Array, j: number): number {
  let squares = 0;
  for (let c = 0; c < CEPSTRA; c++) squares += (x[i * CEPSTRA + c]! - y[j * CEPSTRA + c]!) ** 2;
  return DISTORTION_SCALE * sqrt(squares);
}

function pearson(x: Float64Array, y: Float64Array): number {
  const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanX = mean(x);
  const meanY = mean(y);
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    xx += (x[i]! - meanX) ** 2;
    yy += (y[i]! - meanY) ** 2;
    xy += (x[i]! - meanX) * (y[i]! - meanY);
  }
  return xy / sqrt(xx * yy);
}
