import { joinSamples } from "./buffer.js";
import { AudioError } from "./errors.js";

/** Zero crossings of the sinc on either side, and the Kaiser window's β: about 100 dB of signal to noise, −95 dB stop band. */
const ZERO_CROSSINGS = 32;
const KAISER_BETA = 9;
/** Weights of all phases are stored up to this count (8 MiB); rates with a tiny common divisor compute each phase's anew. */
const MAX_TABLE = 1 << 20;
/** Points per zero crossing of the kernel that those phases interpolate linearly: an error of 1e-7. */
const KERNEL_POINTS = 2048;
const MIN_RATE = 1;
const MAX_RATE = 1_000_000;

const { abs, ceil, floor, max, min, sqrt, sin, PI } = Math;

/**
 * Band-limited resampling: windowed sinc (Kaiser, β 9, 32 zero crossings at the lower of the two rates) as a polyphase
 * filter. Output i sits at source position i·from/to; weights are normalised over the source samples that exist, so
 * that neither edge droops. Streaming: the outputs of all `push` calls and `flush` together are exactly those of the
 * whole signal at once, floor(n·to/from) of them.
 */
export class Resampler {
  readonly from: number;
  readonly to: number;
  /** Steps: output i is phase (i·M mod L) after source sample floor(i·M / L). */
  readonly #L: number;
  readonly #M: number;
  /** Taps of phase f over source samples base − #left + 1 … base + #right, f/L after base. */
  readonly #left: number;
  readonly #taps: number;
  readonly #table: Float64Array | null;
  readonly #row: Float64Array;
  readonly #kernel: Float64Array | null;
  readonly #cutoff: number;
  #history = new Float32Array(0);
  /** Source index of history[0]. */
  #historyStart = 0;
  #received = 0;
  #base = 0;
  #phase = 0;
  #produced = 0;

  /** @param from source rate in Hz @param to target rate in Hz @throws AudioError `bad_input` for rates that are not integers of 1 Hz to 1 MHz */
  constructor(from: number, to: number) {
    for (const rate of [from, to]) {
      if (!Number.isInteger(rate) || rate < MIN_RATE || rate > MAX_RATE) {
        throw new AudioError(
          "bad_input",
          `resample: rate ${rate}; whole numbers of ${MIN_RATE} to ${MAX_RATE} Hz are needed`,
        );
      }
    }
    this.from = from;
    this.to = to;
    const divisor = greatestCommonDivisor(from, to);
    this.#L = to / divisor;
    this.#M = from / divisor;
    this.#cutoff = min(1, to / from);
    this.#left = ceil(ZERO_CROSSINGS / this.#cutoff) + 1;
    this.#taps = 2 * this.#left;
    this.#row = new Float64Array(this.#taps);
    if (from === to) {
      this.#table = null;
      this.#kernel = null;
    } else if (this.#L * this.#taps <= MAX_TABLE) {
      this.#kernel = null;
      this.#table = new Float64Array(this.#L * this.#taps);
      for (let phase = 0; phase < this.#L; phase++) {
        this.#fillRow(phase, this.#table.subarray(phase * this.#taps, (phase + 1) * this.#taps));
      }
    } else {
      this.#table = null;
      this.#kernel = new Float64Array(ZERO_CROSSINGS * KERNEL_POINTS + 2);
      for (let i = 0; i < this.#kernel.length; i++) this.#kernel[i] = kernelAt(i / KERNEL_POINTS);
    }
  }

  /** The outputs that `samples` complete. */
  push(samples: Float32Array): Float32Array {
    if (this.from === this.to) return samples.slice();
    this.#append(samples);
    // The last source sample that an output at (base, phase) can need is base + left.
    const last = this.#received - 1 - this.#left;
    return this.#produce(
      last < this.#base ? 0 : ceil(((last + 1 - this.#base) * this.#L - this.#phase) / this.#M),
    );
  }

  /** The outputs at the end of the signal; the resampler then starts anew. */
  flush(): Float32Array {
    if (this.from === this.to) return new Float32Array(0);
    const total = floor((this.#received * this.#L) / this.#M);
    const rest = this.#produce(max(0, total - this.#produced));
    this.#history = new Float32Array(0);
    this.#historyStart = this.#received = this.#base = this.#phase = this.#produced = 0;
    return rest;
  }

  #append(samples: Float32Array): void {
    const keepFrom = max(this.#historyStart, min(this.#base - this.#left + 1, this.#received));
    const kept = this.#history.subarray(keepFrom - this.#historyStart, this.#received - this.#historyStart);
    const joined = new Float32Array(kept.length + samples.length);
    joined.set(kept);
    joined.set(samples, kept.length);
    this.#history = joined;
    this.#historyStart = keepFrom;
    this.#received += samples.length;
  }

  #produce(count: number): Float32Array {
    const out = new Float32Array(count);
    const x = this.#history;
    const start = this.#historyStart;
    const taps = this.#taps;
    const table = this.#table;
    for (let i = 0; i < count; i++) {
      let weights = this.#row;
      let row = 0;
      if (table === null) this.#fillRow(this.#phase, weights);
      else {
        weights = table;
        row = this.#phase * taps;
      }
      const first = this.#base - this.#left + 1;
      if (first >= 0 && first + taps <= this.#received) {
        out[i] = dot(weights, row, x, first - start, taps);
      } else {
        // At the ends only the samples that exist count, and their weights are normalised.
        let sum = 0;
        let weight = 0;
        const end = min(taps, this.#received - first);
        for (let k = max(0, -first); k < end; k++) {
          sum += weights[row + k]! * x[first + k - start]!;
          weight += weights[row + k]!;
        }
        out[i] = sum / weight;
      }
      this.#phase += this.#M;
      const step = floor(this.#phase / this.#L);
      this.#base += step;
      this.#phase -= step * this.#L;
    }
    this.#produced += count;
    return out;
  }

  /** Normalised weights of one phase. */
  #fillRow(phase: number, row: Float64Array): void {
    const offset = this.#left - 1 + phase / this.#L;
    const kernel = this.#kernel;
    let sum = 0;
    for (let k = 0; k < row.length; k++) {
      const distance = abs(offset - k) * this.#cutoff;
      let weight = 0;
      if (kernel === null) weight = kernelAt(distance);
      else if (distance < ZERO_CROSSINGS) {
        const at = distance * KERNEL_POINTS;
        const i = floor(at);
        weight = kernel[i]! + (at - i) * (kernel[i + 1]! - kernel[i]!);
      }
      row[k] = weight;
      sum += weight;
    }
    for (let k = 0; k < row.length; k++) row[k]! /= sum;
  }
}

/**
 * A whole signal at another rate: floor(x.length·to/from) samples.
 * @throws AudioError `bad_input` for rates out of range
 */
export function resample(x: Float32Array, from: number, to: number): Float32Array {
  const resampler = new Resampler(from, to);
  const body = resampler.push(x);
  const tail = resampler.flush();
  return tail.length === 0 ? body : joinSamples([body, tail]);
}

/** Four sums run side by side, so that additions do not wait for one another. */
function dot(weights: Float64Array, row: number, x: Float32Array, first: number, taps: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let k = 0;
  for (; k + 3 < taps; k += 4) {
    a += weights[row + k]! * x[first + k]!;
    b += weights[row + k + 1]! * x[first + k + 1]!;
    c += weights[row + k + 2]! * x[first + k + 2]!;
    d += weights[row + k + 3]! * x[first + k + 3]!;
  }
  for (; k < taps; k++) a += weights[row + k]! * x[first + k]!;
  return a + b + (c + d);
}

/** sinc(u) · Kaiser(u / 32), u in zero crossings. */
function kernelAt(u: number): number {
  if (u > ZERO_CROSSINGS) return 0;
  const ratio = u / ZERO_CROSSINGS;
  const window = besselI0(KAISER_BETA * sqrt(1 - ratio * ratio)) / besselI0(KAISER_BETA);
  return u === 0 ? 1 : (sin(PI * u) / (PI * u)) * window;
}

/** Modified Bessel function of the first kind, order 0: Σ ((x/2)^k / k!)². */
function besselI0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; k <= 20; k++) {
    term *= x / 2 / k;
    sum += term * term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
