/**
 * The searches for the scale (and minimum) of one group of weights that the ggml block types share
 * (ggml `src/ggml-quants.c`). All arithmetic is float32, one rounding per operation.
 */
const { abs, fround, sqrt } = Math;

/** Groups whose largest magnitude is below this count as zero. */
export const GROUP_EPSILON = fround(1e-15);

/** Adding and subtracting 1.5 · 2²³ rounds a float32 to the nearest integer, ties to even. */
const ROUNDING_MAGIC = 12582912;
const TENTH = fround(0.1);
const MAX_SWEEPS = 5;

/** Longest group searched at once: a row of sub-block scales or 32 weights. */
const MAX_GROUP = 32;
const candidate = new Uint8Array(MAX_GROUP);

/** Nearest integer of a float32 (ties to even) within [low, high]; NaN gives `low`. */
export function nearest(value: number, low: number, high: number): number {
  const rounded = fround(value + ROUNDING_MAGIC) - ROUNDING_MAGIC;
  return rounded >= low ? (rounded > high ? high : rounded) : low;
}

/** 1/d, or 0 where d is zero or so small that the quotient overflows (its half is zero then as well). */
export function reciprocal(d: number): number {
  const inverse = fround(1 / d);
  return abs(inverse) === Infinity ? 0 : inverse;
}

/** The element of largest magnitude with its sign; the first of equals. */
export function signedExtreme(x: Float32Array, start: number, count: number): number {
  let extreme = 0;
  let largest = 0;
  for (let i = start; i < start + count; i++) {
    const magnitude = abs(x[i]!);
    if (magnitude > largest) {
      largest = magnitude;
      extreme = x[i]!;
    }
  }
  return extreme;
}

export function sumOfSquares(x: Float32Array, start: number, count: number): number {
  let sum = 0;
  for (let i = start; i < start + count; i++) sum = fround(sum + fround(x[i]! * x[i]!));
  return sum;
}

/** `weights[i] = importance[i] · √(variance + x²)` of `count` elements. */
export function importanceWeights(
  x: Float32Array,
  start: number,
  importance: Float32Array,
  importanceStart: number,
  variance: number,
  count: number,
  weights: Float32Array,
): void {
  for (let i = 0; i < count; i++) {
    const value = x[start + i]!;
    const root = fround(sqrt(fround(variance + fround(value * value))));
    weights[i] = importance[importanceStart + i]! * root;
  }
}

/**
 * Symmetric codes in [-limit, limit - 1], stored plus `limit`: the scale that loses least among 19 near
 * -limit/extreme, errors weighted by `weights` (null: x²). Returns the scale.
 */
export function searchSymmetric(
  x: Float32Array,
  start: number,
  count: number,
  limit: number,
  weights: Float32Array | null,
  weightStart: number,
  codes: Uint8Array,
  codeStart: number,
): number {
  const extreme = signedExtreme(x, start, count);
  if (abs(extreme) < GROUP_EPSILON) {
    codes.fill(0, codeStart, codeStart + count);
    return 0;
  }
  let scale = 0;
  let best = 0;
  for (let attempt = 0; attempt < 19; attempt++) {
    // The plain scale first, then the ones shifted by -0.9 … 0.9.
    const step = attempt === 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;
    const inverse = fround(-fround(limit + fround(TENTH * step)) / extreme);
    let sumXL = 0;
    let sumLL = 0;
    for (let i = 0; i < count; i++) {
      const value = x[start + i]!;
      const code = nearest(fround(inverse * value), -limit, limit - 1);
      candidate[i] = code + limit;
      const weight = weights === null ? fround(value * value) : weights[weightStart + i]!;
      sumXL = fround(sumXL + fround(fround(weight * value) * code));
      sumLL = fround(sumLL + fround(fround(weight * code) * code));
    }
    if (attempt === 0 || (sumLL > 0 && fround(sumXL * sumXL) > fround(best * sumLL))) {
      scale = sumLL > 0 ? fround(sumXL / sumLL) : 0;
      best = fround(scale * sumXL);
      for (let i = 0; i < count; i++) codes[codeStart + i] = candidate[i]!;
    }
  }
  return scale;
}

/** Symmetric codes by coordinate descent (Q3_K's search without importance): stored plus `limit`. Returns the scale. */
export function descendSymmetric(
  x: Float32Array,
  start: number,
  count: number,
  limit: number,
  codes: Int8Array,
  codeStart: number,
): number {
  const extreme = signedExtreme(x, start, count);
  if (abs(extreme) < GROUP_EPSILON) {
    codes.fill(0, codeStart, codeStart + count);
    return 0;
  }
  const inverse = fround(-limit / extreme);
  let sumXL = 0;
  let sumLL = 0;
  for (let i = 0; i < count; i++) {
    const value = x[start + i]!;
    const code = nearest(fround(inverse * value), -limit, limit - 1);
    codes[codeStart + i] = code;
    const weight = fround(value * value);
    sumXL = fround(sumXL + fround(fround(weight * value) * code));
    sumLL = fround(sumLL + fround(fround(weight * code) * code));
  }
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let changed = false;
    for (let i = 0; i < count; i++) {
      const value = x[start + i]!;
      const code = codes[codeStart + i]!;
      const weight = fround(value * value);
      const weighted = fround(weight * value);
      let restXL = fround(sumXL - fround(weighted * code));
      if (!(restXL > 0)) continue;
      let restLL = fround(sumLL - fround(fround(weight * code) * code));
      const next = nearest(fround(fround(value * restLL) / restXL), -limit, limit - 1);
      if (next === code) continue;
      restXL = fround(restXL + fround(weighted * next));
      restLL = fround(restLL + fround(fround(weight * next) * next));
      if (restLL > 0 && isBetter(restXL, restLL, sumXL, sumLL)) {
        codes[codeStart + i] = next;
        sumXL = restXL;
        sumLL = restLL;
        changed = true;
      }
    }
    if (!changed) break;
  }
  for (let i = 0; i < count; i++) codes[codeStart + i] = codes[codeStart + i]! + limit;
  return sumLL > 0 ? fround(sumXL / sumLL) : 0;
}

/** Whether (Σxl)²/Σll grows. */
function isBetter(newXL: number, newLL: number, oldXL: number, oldLL: number): boolean {
  return fround(fround(newXL * newXL) * oldLL) > fround(fround(oldXL * oldXL) * newLL);
}

/** The grid of inverse scales that `searchAffine` tries: (first + step · i + codes) / range for i = 0 … steps. */
export interface AffineGrid {
  readonly first: number;
  readonly step: number;
  readonly steps: number;
  /** Weights multiply |error| instead of error². */
  readonly absoluteError: boolean;
}

export function affineGrid(first: number, step: number, steps: number, absoluteError = false): AffineGrid {
  return { first: fround(first), step: fround(step), steps, absoluteError };
}

/** The grid of every importance-weighted affine search. */
export const IMPORTANCE_GRID = affineGrid(-0.9, 0.05, 36);

/**
 * Codes in [0, limit] with x ≈ scale · code - minimum, minimum ≥ 0: least squares on each candidate of the grid.
 * Returns the scale and writes the minimum to `minima[at]`.
 */
export function searchAffine(
  x: Float32Array,
  start: number,
  count: number,
  limit: number,
  weights: Float32Array,
  grid: AffineGrid,
  codes: Uint8Array,
  codeStart: number,
  minima: Float32Array,
  at: number,
): number {
  let minimum = x[start]!;
  let maximum = minimum;
  let sumW = weights[0]!;
  let sumX = fround(sumW * minimum);
  for (let i = 1; i < count; i++) {
    const value = x[start + i]!;
    if (value < minimum) minimum = value;
    if (value > maximum) maximum = value;
    sumW = fround(sumW + weights[i]!);
    sumX = fround(sumX + fround(weights[i]! * value));
  }
  if (minimum > 0) minimum = 0;
  if (maximum <= minimum) {
    codes.fill(0, codeStart, codeStart + count);
    minima[at] = -minimum;
    return 0;
  }
  const inverse = fround(limit / fround(maximum - minimum));
  let scale = fround(1 / inverse);
  let bestError = 0;
  for (let i = 0; i < count; i++) {
    const value = x[start + i]!;
    const code = nearest(fround(inverse * fround(value - minimum)), 0, limit);
    codes[codeStart + i] = code;
    bestError = fround(
      bestError + weightedError(scale, code, minimum, value, weights[i]!, grid.absoluteError),
    );
  }
  for (let step = 0; step <= grid.steps; step++) {
    // An accepted minimum moves the grid of the steps that follow.
    const shifted = fround(fround(grid.first + fround(grid.step * step)) + limit);
    const tried = fround(shifted / fround(maximum - minimum));
    let sumL = 0;
    let sumLL = 0;
    let sumXL = 0;
    for (let i = 0; i < count; i++) {
      const value = x[start + i]!;
      const code = nearest(fround(tried * fround(value - minimum)), 0, limit);
      candidate[i] = code;
      const weighted = fround(weights[i]! * code);
      sumL = fround(sumL + weighted);
      sumLL = fround(sumLL + fround(weighted * code));
      sumXL = fround(sumXL + fround(weighted * value));
    }
    const determinant = fround(fround(sumW * sumLL) - fround(sumL * sumL));
    if (!(determinant > 0)) continue;
    let newScale = fround(fround(fround(sumW * sumXL) - fround(sumX * sumL)) / determinant);
    let newMinimum = fround(fround(fround(sumLL * sumX) - fround(sumL * sumXL)) / determinant);
    if (newMinimum > 0) {
      newMinimum = 0;
      newScale = fround(sumXL / sumLL);
    }
    let error = 0;
    for (let i = 0; i < count; i++) {
      const value = x[start + i]!;
      error = fround(
        error + weightedError(newScale, candidate[i]!, newMinimum, value, weights[i]!, grid.absoluteError),
      );
    }
    if (error < bestError) {
      for (let i = 0; i < count; i++) codes[codeStart + i] = candidate[i]!;
      bestError = error;
      scale = newScale;
      minimum = newMinimum;
    }
  }
  minima[at] = -minimum;
  return scale;
}

function weightedError(
  scale: number,
  code: number,
  minimum: number,
  value: number,
  weight: number,
  absolute: boolean,
): number {
  const difference = fround(fround(fround(scale * code) + minimum) - value);
  return fround(weight * (absolute ? abs(difference) : fround(difference * difference)));
}

/** Codes in [0, limit] of non-negative sub-block scales (importance-weighted K-quants). Returns the super-scale. */
export function searchPositive(
  x: Float32Array,
  count: number,
  limit: number,
  weights: Float32Array,
  codes: Uint8Array,
): number {
  let maximum = 0;
  for (let i = 0; i < count; i++) if (x[i]! > maximum) maximum = x[i]!;
  if (maximum < GROUP_EPSILON) {
    codes.fill(0, 0, count);
    return 0;
  }
  let inverse = fround(limit / maximum);
  let bestError = positiveError(x, count, inverse, limit, weights);
  for (let step = -4; step <= 4; step++) {
    if (step === 0) continue;
    const tried = fround(fround(fround(TENTH * step) + limit) / maximum);
    const error = positiveError(x, count, tried, limit, weights);
    if (error < bestError) {
      bestError = error;
      inverse = tried;
    }
  }
  let sumXL = 0;
  let sumLL = 0;
  for (let i = 0; i < count; i++) {
    const code = nearest(fround(inverse * x[i]!), 0, limit);
    codes[i] = code;
    sumXL = fround(sumXL + fround(fround(weights[i]! * x[i]!) * code));
    sumLL = fround(sumLL + fround(fround(weights[i]! * code) * code));
  }
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let changed = false;
    for (let i = 0; i < count; i++) {
      const code = codes[i]!;
      const weight = weights[i]!;
      const weighted = fround(weight * x[i]!);
      let restXL = fround(sumXL - fround(weighted * code));
      let restLL = fround(sumLL - fround(fround(weight * code) * code));
      if (!(restXL > 0 && restLL > 0)) continue;
      const next = nearest(fround(fround(x[i]! * restLL) / restXL), 0, limit);
      if (next === code) continue;
      restXL = fround(restXL + fround(weighted * next));
      restLL = fround(restLL + fround(fround(weight * next) * next));
      if (isBetter(restXL, restLL, sumXL, sumLL)) {
        codes[i] = next;
        sumXL = restXL;
        sumLL = restLL;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return sumLL > 0 ? fround(sumXL / sumLL) : 0;
}

function positiveError(
  x: Float32Array,
  count: number,
  inverse: number,
  limit: number,
  weights: Float32Array,
): number {
  const scale = fround(1 / inverse);
  let error = 0;
  for (let i = 0; i < count; i++) {
    const code = nearest(fround(inverse * x[i]!), 0, limit);
    const difference = fround(x[i]! - fround(scale * code));
    error = fround(error + fround(fround(weights[i]! * difference) * difference));
  }
  return error;
}
