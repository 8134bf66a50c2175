import { readFileSync } from "node:fs";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { AudioError } from "../errors.js";
import { readWav } from "../wav.js";
import { compareAudio } from "./metrics.js";
import { alignedDistortion, compareSpectra } from "./spectral.js";
import { spectrogram } from "./stft.js";
import { intelligibility } from "./stoi.js";
import { compareWaveforms } from "./waveform.js";

const { abs, cos, imul, max, min, round, sin, PI } = Math;

/** Golden field → our name. */
const FIELDS = {
  snr: "snr",
  segmental_snr: "segmentalSnr",
  si_sdr: "siSdr",
  alpha: "scale",
  correlation: "correlation",
  cosine: "cosine",
  rmse: "rmse",
  max_abs_error: "maxError",
  lsd: "logSpectralDistance",
  mcd13: "melCepstralDistortion",
  mel_correlation: "melCorrelation",
  spectral_convergence: "spectralConvergence",
  frames: "frames",
} as const;

type Row = Readonly<Record<string, number | string | null>>;
type Measured = ReturnType<typeof compareWaveforms> & ReturnType<typeof compareSpectra>;

/** From here on a ratio in dB is one of float64 rounding. */
const EXACT_DB = 250;

function measure(x: Float64Array, y: Float64Array, sampleRate: number): Measured {
  return { ...compareWaveforms(x, y, sampleRate), ...compareSpectra(x, y, sampleRate) };
}

function expectRow(row: Row, actual: Measured): void {
  const failures: string[] = [];
  for (const [field, name] of Object.entries(FIELDS)) {
    if (!(field in row)) continue;
    const expected = row[field] as number | null;
    const got = actual[name];
    const ratio = field === "snr" || field === "si_sdr";
    if (expected === null || (ratio && expected > EXACT_DB)) {
      if (!(got > EXACT_DB)) failures.push(`${field}: ${got}, golden ${expected}`);
      continue;
    }
    // The table has nine digits.
    const limit = field === "lsd" || field === "mcd13" ? 1e-4 : 1e-6 * abs(expected) + 1e-9;
    if (!(abs(got - expected) <= limit)) failures.push(`${field}: ${got}, golden ${expected}`);
  }
  expect(failures).toEqual([]);
}

/** The degradations by their name in the table. */
function degrade(name: string, x: Float64Array, seed: number): Float64Array | null {
  let state = seed;
  const noise = () => {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 16) - 32768) / 32768;
  };
  const evenRound = (v: number) => (abs(v - Math.trunc(v)) === 0.5 ? 2 * round(v / 2) : round(v));
  const recursive = (step: (n: number, previous: number) => number) => {
    const y = new Float64Array(x.length);
    for (let n = 0; n < x.length; n++) y[n] = step(n, y[n - 1] ?? 0);
    return y;
  };
  const at = (n: number) => x[n] ?? 0;
  switch (name) {
    case "identical":
      return x.slice();
    case "gain_0.5":
      return x.map((v) => 0.5 * v);
    case "noise_0.003":
      return x.map((v) => v + 0.003 * noise());
    case "noise_0.03":
      return x.map((v) => v + 0.03 * noise());
    case "quant_8bit":
      return x.map((v) => evenRound(v * 128) / 128);
    case "quant_11bit":
      return x.map((v) => evenRound(v * 1024) / 1024);
    case "clip_0.1":
      return x.map((v) => max(-0.1, min(0.1, v)));
    case "lowpass":
      return recursive((n, previous) => 0.3 * at(n) + 0.7 * previous);
    case "highpass":
      return recursive((n, previous) => at(n) - at(n - 1) + 0.9 * previous);
    case "delay_3":
      return x.map((_, n) => at(n - 3));
    case "dc":
      return x.map((v) => v + 0.01);
    case "tremolo":
      return x.map((v, n) => v * (0.5 - 0.5 * cos((2 * PI * n) / 4000)));
    case "inverted":
      return x.map((v) => -v);
    case "noise_only":
      return x.map(() => 0.05 * noise());
    case "zero_half":
      return x.map((v, n) => (n < Math.floor(x.length / 2) ? v : 0));
    case "echo":
      return x.map((v, n) => v + 0.4 * at(n - 1600));
    default:
      return null;
  }
}

const table = goldensFolder("pipeline", "metrics", "metrics.json");
const wav = goldensFolder("pipeline", "speech.wav");

describe("goldens", () => {
  if (table === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const goldens = readGoldenJson<{
    seed: number;
    spec_golden_A?: Row;
    spec_golden_B?: Row;
    "spec_golden_B_gain_0.9_lsd"?: number;
    rows: readonly (Row & { name: string; sample_rate: number; stoi: number; estoi: number })[];
  }>(table);

  const tone = (n: number) => 0.5 * sin((2 * PI * 440 * n) / 24000);
  const tremor = (n: number) => tone(n) * (0.6 + 0.4 * sin((2 * PI * 3 * n) / 24000));
  const signal = (length: number, at: (n: number) => number) =>
    Float64Array.from({ length }, (_, n) => at(n));
  const disturbed = (x: Float64Array) => x.map((v, n) => 0.9 * v + 0.01 * cos((2 * PI * 1000 * n) / 24000));

  test("a tone, and one of changing level", () => {
    for (const [row, x] of [
      [goldens.spec_golden_A, signal(4800, tone)],
      [goldens.spec_golden_B, signal(24000, tremor)],
    ] as const) {
      if (row !== undefined) expectRow(row, measure(x, disturbed(x), 24000));
    }
    const gain = goldens["spec_golden_B_gain_0.9_lsd"];
    const x = signal(24000, tremor);
    if (gain !== undefined) {
      const quieter = x.map((v) => 0.9 * v);
      expect(compareSpectra(x, quieter, 24000).logSpectralDistance).toBeCloseTo(gain, 4);
    }
  });

  if (wav === null) return;
  const speech = readWav(readFileSync(wav));
  const x = Float64Array.from(speech.channels[0]!);
  test.each(goldens.rows.map((row) => [row.name, row] as const))("%s", (name, row) => {
    expect(row.sample_rate).toBe(speech.sampleRate);
    const y = degrade(name, x, goldens.seed);
    if (y === null) {
      process.stderr.write(`goldens: the metrics table's signal ${name} is not known to this test\n`);
      return;
    }
    expectRow(row, measure(x, y, row.sample_rate));
    const { stoi, estoi } = intelligibility(Float32Array.from(x), Float32Array.from(y), row.sample_rate);
    expect(abs(stoi - row.stoi)).toBeLessThanOrEqual(0.01);
    expect(abs(estoi - row.estoi)).toBeLessThanOrEqual(0.01);
  });
});

const chirp = (length: number, stretch = 1) =>
  Float32Array.from({ length: Math.floor(length * stretch) }, (_, n) => {
    const t = n / stretch / 24000;
    return 0.4 * sin(2 * PI * (300 * t + 900 * t * t)) * (0.6 + 0.4 * sin(2 * PI * 4 * t));
  });

test("time warping undoes another speed", () => {
  const x = chirp(24000);
  const slow = chirp(24000, 1.25);
  const aligned = alignedDistortion(x, slow, 24000);
  const { melCepstralDistortion: unaligned } = compareSpectra(x, slow, 24000);
  expect(aligned.melCepstralDistortion).toBeLessThan(unaligned / 3);
  expect(aligned.durationRatio).toBeCloseTo(1.25, 1);
  expect(aligned.pathRatio).toBeGreaterThanOrEqual(1);
  expect(alignedDistortion(x, x, 24000)).toEqual({
    melCepstralDistortion: 0,
    pathRatio: 1,
    durationRatio: 1,
  });
});

test("different lengths are compared as far as both go; what cannot be compared says so", () => {
  const x = chirp(24000);
  const y = x.map((v) => v * 0.7);
  expect(compareAudio(x, y.subarray(0, 12000), 24000)).toEqual(
    compareAudio(x.subarray(0, 12000), y.subarray(0, 12000), 24000),
  );
  expect(() => compareWaveforms(x, new Float32Array(0), 24000)).toThrow(AudioError);
  expect(() => compareSpectra(x, x.subarray(0, 1023), 24000)).toThrow(/1024/);
  expect(() => alignedDistortion(x.subarray(0, 1023), x, 24000)).toThrow(AudioError);
  expect(intelligibility(x.subarray(0, 2000), y, 24000)).toEqual({ stoi: NaN, estoi: NaN });
  const { snr, segmentalSnr } = compareWaveforms(new Float32Array(2000), y, 24000);
  expect([snr, segmentalSnr]).toEqual([-Infinity, NaN]);
});

test("a spectrogram has its peak at the tone and fits the picture", () => {
  const rate = 16000;
  const tone = Float32Array.from({ length: rate }, (_, n) => 0.3 * sin((2 * PI * 2000 * n) / rate));
  const { data, frames, bins, frameSeconds, maxHz } = spectrogram(tone, rate, { maxFrames: 30 });
  expect(frames).toBeLessThanOrEqual(30);
  expect(frames * frameSeconds).toBeGreaterThan(0.9);
  const row = data.subarray(0, bins);
  const loudest = row.indexOf(max(...row));
  expect((loudest / (bins - 1)) * maxHz).toBeCloseTo(2000, 5);
  expect(max(...data)).toBe(0);
  expect(min(...data)).toBe(-80);
  const silence = spectrogram(new Float32Array(rate), rate);
  expect(silence.data.every((level) => level === -80)).toBe(true);
});

test("mel distance is the mean difference of the logarithms", () => {
  let state = 1;
  const noise = Float32Array.from({ length: 24000 }, () => {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  const half = noise.map((v) => v / 2);
  expect(compareSpectra(noise, half, 24000).melDistance).toBeCloseTo(Math.log(4), 6);
  expect(compareSpectra(noise, noise, 24000).melDistance).toBe(0);
});
