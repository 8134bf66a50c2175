import { quantizeRows } from "../../quantize/quantize-rows.js";
import type { GgmlType, Weight } from "../../weight.js";
import { addonProblem, loadAddon, type NativeAddon } from "./addon.js";

const { imul } = Math;

/** The addon, or null with a line on stderr: a machine without compiler skips the tests of the native backend. */
export function addonForTests(): NativeAddon | null {
  const addon = loadAddon();
  if (addon === null) process.stderr.write(`native backend: ${addonProblem()}, its tests are skipped\n`);
  return addon;
}

/**
 * Instruction sets that round quantized weights and more than 8 rows of activations to int8 per 128 inputs, and the largest
 * magnitude of a code: seven bits where products are made in pairs of inputs.
 */
export const INT8_LEVELS: ReadonlyMap<string, number> = new Map([
  ...["avxvnni", "avx512vnni", "avx512bf16", "amx", "neondotprod", "neoni8mm"].map(
    (level) => [level, 127] as const,
  ),
  ["avx512pairs", 63],
]);

/** Reproducible values, roughly normal with standard deviation `scale`. */
export function gaussian(count: number, scale: number, seed: number): Float32Array {
  let state = imul(seed, 2654435761) >>> 0;
  return Float32Array.from({ length: count }, () => {
    let sum = -2;
    for (let i = 0; i < 4; i++) {
      state = (imul(state, 1664525) + 1013904223) >>> 0;
      sum += (state >>> 8) / 2 ** 24;
    }
    return sum * 1.73 * scale;
  });
}

export function randomWeight(dtype: GgmlType, rows: number, columns: number, seed: number): Weight {
  const values = gaussian(rows * columns, 0.05, seed);
  return {
    name: `${dtype}.weight`,
    dtype,
    shape: [rows, columns],
    bytes: quantizeRows(dtype, values, columns),
  };
}

/** Runs `body` at every instruction set that this machine has, then returns to the one before. */
export function atEveryLevel(addon: NativeAddon, body: (level: string) => void): void {
  const before = addon.isa();
  try {
    for (const level of addon.isaLevels()) {
      addon.setIsa(level);
      body(level);
    }
  } finally {
    addon.setIsa(before);
  }
}

/** Asymmetric matcher: a number below the limit (NaN is not). */
export function below(limit: number): { asymmetricMatch(value: unknown): boolean; toString(): string } {
  return {
    asymmetricMatch: (value) => typeof value === "number" && value < limit,
    toString: () => `a number below ${limit}`,
  };
}
