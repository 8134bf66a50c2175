import { compareTensor, goldensFolder, readGoldenJson, readTensors, ToleranceRules } from "@voxquant/goldens";
import { AudioError } from "./errors.js";
import { Resampler, resample } from "./resample.js";

interface Row {
  in: number;
  out: number;
  n_in: number;
  n_out: number;
  chirp_fmax: number;
  require: {
    min_snr_db_default_quality: number;
    "max_abs_gain_db_at_0.8_nyquist": number | null;
    "min_reject_db_at_1.125_nyquist": number | null;
  };
}

const { sin, sqrt, PI, log10, round } = Math;
const list = goldensFolder("pipeline", "resample", "resample.json");
const goldens =
  list === null
    ? null
    : readGoldenJson<{
        rows: Row[];
        lengths: { n: number; in: number; out: number; n_out: number }[];
      }>(list);
const tensorsPath = goldensFolder("pipeline", "resample", "resample.safetensors");
const tensors = tensorsPath === null ? null : readTensors(tensorsPath);

function signal(rate: number, n: number, fmax: number): Float32Array {
  const duration = 1;
  return Float32Array.from({ length: n }, (_, i) => {
    const t = i / rate;
    const sweep = 0.3 * sin(2 * PI * (50 * t + ((fmax - 50) * t * t) / (2 * duration)));
    return sweep + 0.2 * sin(2 * PI * 440 * t) + 0.1 * sin(2 * PI * 1733 * t);
  });
}

function tone(rate: number, hz: number): Float32Array {
  return Float32Array.from({ length: rate }, (_, i) => sin((2 * PI * hz * i) / rate));
}

function innerRms(x: Float32Array, reference?: Float32Array): number {
  const edge = round(x.length * 0.05);
  let squares = 0;
  for (let i = edge; i < x.length - edge; i++) squares += (x[i]! - (reference?.[i] ?? 0)) ** 2;
  return sqrt(squares / (x.length - 2 * edge));
}

const decibel = (ratio: number) => 20 * log10(ratio);

describe("goldens", () => {
  if (goldens === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const rules = new ToleranceRules("pipeline");

  test.each(goldens.rows.map((row) => [`${row.in} to ${row.out} Hz`, row] as const))("%s", (_, row) => {
    const x = signal(row.in, row.n_in, row.chirp_fmax);
    const y = resample(x, row.in, row.out);
    expect(y.length).toBe(row.n_out);
    const ideal = signal(row.out, row.n_out, row.chirp_fmax);
    const snr = decibel(innerRms(ideal) / innerRms(y, ideal));
    expect(snr).toBeGreaterThanOrEqual(row.require.min_snr_db_default_quality);
    const nyquist = Math.min(row.in, row.out) / 2;
    const maxGain = row.require["max_abs_gain_db_at_0.8_nyquist"];
    if (maxGain !== null) {
      const passed = resample(tone(row.in, 0.8 * nyquist), row.in, row.out);
      expect(Math.abs(decibel(innerRms(passed) / sqrt(0.5)))).toBeLessThanOrEqual(maxGain);
    }
    const minReject = row.require["min_reject_db_at_1.125_nyquist"];
    if (minReject !== null) {
      const stopped = resample(tone(row.in, 1.125 * nyquist), row.in, row.out);
      expect(-decibel(innerRms(stopped) / sqrt(0.5))).toBeGreaterThanOrEqual(minReject);
    }
    const name = `spec_beta9_H32_${row.in}_${row.out}`;
    const golden = tensors?.get(name);
    if (golden !== undefined) {
      const rule = rules.find("resample", "resample", name);
      const comparison = compareTensor(name, y.subarray(0, golden.data.length), golden, rule);
      if (!comparison.ok) throw new Error(comparison.message);
    }
  });

  test("lengths", () => {
    for (const { n, in: from, out: to, n_out } of goldens.lengths) {
      if (n <= 1_000_000) expect(resample(new Float32Array(n), from, to).length).toBe(n_out);
    }
  });
});

test("pieces of any size give the samples of the whole", () => {
  for (const [from, to] of [
    [44100, 16000],
    [8000, 16000],
    [96000, 16000],
    [16000, 16000],
    [22255, 16000],
    [1000, 16000],
  ] as const) {
    const x = signal(from, 5000, from * 0.4);
    const whole = resample(x, from, to);
    const resampler = new Resampler(from, to);
    const parts: number[] = [];
    for (let at = 0, size = 1; at < x.length; at += size, size = (size * 7 + 3) % 613) {
      parts.push(...resampler.push(x.subarray(at, at + size)));
    }
    parts.push(...resampler.flush());
    expect(parts).toEqual(Array.from(whole));
  }
});

test("a resampler starts anew after flush", () => {
  const resampler = new Resampler(48000, 16000);
  const x = signal(48000, 4801, 3000);
  const run = () => [...resampler.push(x), ...resampler.flush()];
  expect(run()).toEqual(run());
});

test("a constant stays constant up to both edges, for rates without a common divisor too", () => {
  for (const from of [8000, 44100, 48000, 44101, 191999]) {
    const y = resample(new Float32Array(4000).fill(0.5), from, 16000);
    for (const value of y) expect(Math.abs(value - 0.5)).toBeLessThan(1e-7);
  }
});

test("rates without a common divisor keep the quality", () => {
  const y = resample(signal(44101, 44101, 6720), 44101, 16000);
  const ideal = signal(16000, 16000, 6720);
  expect(decibel(innerRms(ideal) / innerRms(y, ideal))).toBeGreaterThan(100);
});

test("rates that are none are refused", () => {
  for (const rate of [0, -1, NaN, 44100.5, Infinity, 1e9]) {
    expect(() => new Resampler(rate, 16000)).toThrow(AudioError);
    expect(() => new Resampler(16000, rate)).toThrow(AudioError);
  }
});
