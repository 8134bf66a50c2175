/** What several runs of one measurement gave. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** 95th percentile, interpolated. */
  readonly p95: number;
  /** Coefficient of variation: standard deviation by mean, 0 for a mean of 0. */
  readonly cv: number;
}

/** Null values (not measured) are left out; null if nothing is left. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  const squares = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = sorted.length > 1 ? Math.sqrt(squares / (sorted.length - 1)) : 0;
  return {
    median: quantile(sorted, 0.5),
    min: sorted[0]!,
    max: sorted.at(-1)!,
    p95: quantile(sorted, 0.95),
    cv: mean === 0 ? 0 : deviation / mean,
  };
}

function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
