import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { compareTensor, goldensFolder, readGoldenJson, readTensors, ToleranceRules } from "@voxquant/goldens";
import { applyPeakGuard, toMono } from "./buffer.js";
import { AudioError } from "./errors.js";
import { RealFft } from "./fft.js";
import { melFilterBank } from "./mel-filters.js";
import { MEL_CONFIGS, MelFrontEnd, type MelConfig } from "./mel.js";
import { resample } from "./resample.js";
import { readWav } from "./wav.js";

const { sin, cos, PI, imul } = Math;

test.each([16, 30, 256, 320, 400, 512, 1024])("FFT of %i against the definition", (size) => {
  const x = Float64Array.from({ length: size }, (_, i) => sin(i * i * 0.37) + 0.1 * i);
  const power = new Float64Array(size / 2 + 1);
  new RealFft(size).powerSpectrum(x, power);
  for (let k = 0; k <= size / 2; k++) {
    let re = 0;
    let im = 0;
    for (let n = 0; n < size; n++) {
      re += x[n]! * cos((2 * PI * k * n) / size);
      im -= x[n]! * sin((2 * PI * k * n) / size);
    }
    expect(Math.abs(power[k]! - (re * re + im * im))).toBeLessThan(1e-9 * (1 + re * re + im * im));
  }
});

test("filter banks have the known number of weights", () => {
  const count = (config: MelConfig) =>
    melFilterBank(config).reduce((sum, filter) => sum + filter.weights.length, 0);
  expect(count(MEL_CONFIGS.whisper80)).toBe(391);
  expect(count(MEL_CONFIGS.whisper128)).toBe(394);
  expect(count(MEL_CONFIGS.nemo128)).toBe(504);
  expect(count(MEL_CONFIGS.gigaam64)).toBe(312);
});

describe("front ends", () => {
  const list = goldensFolder("pipeline", "frontends", "frontends.json");
  const tensorsPath = goldensFolder("pipeline", "frontends", "frontends.safetensors");
  if (list === null || tensorsPath === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const tensors = readTensors(tensorsPath);
  const { seed } = readGoldenJson<{ seed: number }>(list);
  const rules = new ToleranceRules("pipeline");

  const signal = (rate: number): Float32Array => {
    let state = seed;
    return Float32Array.from({ length: 3 * rate }, (_, n) => {
      state = (imul(state, 1664525) + 1013904223) >>> 0;
      const k = n / rate;
      const noise = (((state >>> 16) - 32768) / 32768) * (k >= 2 ? 0.05 : 0.003);
      const tone =
        k < 1 ? 0.2 * sin(2 * PI * 440 * k) : k < 2 ? 0.1 * sin(2 * PI * (200 * k + 1000 * k * k)) : 0;
      return tone + noise;
    });
  };
  const padded = (samples: Float32Array) => {
    const out = new Float32Array(480_000);
    out.set(samples);
    return out;
  };
  const expectTensor = (name: string, mel: { data: Float32Array; frames: number; mels: number }) => {
    const golden = tensors.get(name)!;
    const frames = tensors.get(`${name}.frames`)!.data;
    const picked = Float32Array.from({ length: mel.mels * frames.length }, (_, i) => {
      return mel.data[Math.floor(i / frames.length) * mel.frames + frames[i % frames.length]!]!;
    });
    const comparison = compareTensor(name, picked, golden, rules.find("frontends", "frontends", name));
    if (!comparison.ok) throw new Error(comparison.message);
  };

  const audio16k = signal(16000);
  test("the test signals are those of the goldens", () => {
    for (const [name, rate] of [
      ["check.audio16k_first64", 16000],
      ["check.audio24k_first64", 24000],
    ] as const) {
      const rule = rules.find("frontends", "frontends", name);
      const comparison = compareTensor(name, signal(rate).subarray(0, 64), tensors.get(name)!, rule);
      if (!comparison.ok) throw new Error(comparison.message);
    }
  });

  const nemoLog: MelConfig = { ...MEL_CONFIGS.nemo128, normalize: "none" };
  const cases: [string, MelConfig, Float32Array][] = [
    ["whisper80_unpadded", MEL_CONFIGS.whisper80, audio16k],
    ["whisper80_padded30s", MEL_CONFIGS.whisper80, padded(audio16k)],
    ["whisper128_unpadded", MEL_CONFIGS.qwen3Asr, audio16k],
    ["whisper128_padded30s", MEL_CONFIGS.whisper128, padded(audio16k)],
    ["nemo128_log", nemoLog, audio16k],
    ["nemo128_norm", MEL_CONFIGS.nemo128, audio16k],
    ["gigaam64_bf16_buffers", MEL_CONFIGS.gigaam64, audio16k],
    ["gigaam64_exact_buffers", { ...MEL_CONFIGS.gigaam64, bfloat16Tables: false }, audio16k],
    ["qwen_tts_speaker128_24k", MEL_CONFIGS.qwen3TtsSpeaker, signal(24000)],
  ];
  test.each(cases.filter(([name]) => tensors.has(name)))("%s", (name, config, samples) => {
    expectTensor(name, new MelFrontEnd(config).compute(samples));
  });
});

describe("Qwen3-ASR clips", () => {
  const list = goldensFolder("qwen3-asr", "audio", "mel.json");
  const tensorsPath = goldensFolder("qwen3-asr", "audio", "mel.safetensors");
  if (list === null || tensorsPath === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const clips =
    readGoldenJson<Record<string, { samples: number; frames: number; stored_every: number; mean: number }>>(
      list,
    );
  const tensors = readTensors(tensorsPath);
  const rules = new ToleranceRules("qwen3-asr");
  const frontEnd = new MelFrontEnd(MEL_CONFIGS.qwen3Asr);
  const present = Object.entries(clips).filter(([name]) => existsSync(join(dirname(list), `${name}.wav`)));
  if (present.length === 0) {
    test.skip("no clips", () => undefined);
    return;
  }
  test.each(present)("%s", (name, clip) => {
    const wav = readWav(readFileSync(join(dirname(list), `${name}.wav`)));
    const samples = applyPeakGuard(resample(toMono(wav), wav.sampleRate, 16000));
    expect(Math.abs(samples.length - clip.samples)).toBeLessThanOrEqual(wav.sampleRate === 16000 ? 0 : 1); // soxr rounds up
    const mel = frontEnd.compute(samples);
    expect([mel.mels, mel.frames]).toEqual([128, clip.frames]);
    expect(mel.data.reduce((sum, v) => sum + v, 0) / mel.data.length).toBeCloseTo(clip.mean, 2);
    const golden = tensors.get(name);
    // The reference resampled with soxr: other stop-band leakage, so the quiet bands of such a clip differ.
    if (golden === undefined || wav.sampleRate !== 16000) return;
    const columns = golden.shape[1]!;
    const picked = Float32Array.from({ length: golden.data.length }, (_, i) => {
      return mel.data[Math.floor(i / columns) * mel.frames + (i % columns) * clip.stored_every]!;
    });
    const comparison = compareTensor(name, picked, golden, rules.find("audio", "mel", name));
    if (!comparison.ok) throw new Error(comparison.message);
  });
});

test("too short a clip is a typed error, the shortest one works", () => {
  for (const config of Object.values(MEL_CONFIGS)) {
    const frontEnd = new MelFrontEnd(config);
    const least = frontEnd.minSamples;
    expect(frontEnd.compute(new Float32Array(least)).frames).toBe(frontEnd.frameCount(least));
    expect(frontEnd.frameCount(least)).toBeGreaterThanOrEqual(1);
    expect(() => frontEnd.compute(new Float32Array(least - 1))).toThrow(AudioError);
  }
  expect(new MelFrontEnd(MEL_CONFIGS.qwen3Asr).minSamples).toBe(201);
});

test("silence is finite in every front end", () => {
  for (const config of Object.values(MEL_CONFIGS)) {
    const { data } = new MelFrontEnd(config).compute(new Float32Array(config.sampleRate));
    expect(data.every((value) => Number.isFinite(value))).toBe(true);
  }
});
