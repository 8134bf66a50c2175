import { readFileSync } from "node:fs";
import { compareTensor, goldensFolder, readGoldenJson, readTensors, ToleranceRules } from "@voxquant/goldens";
import { FormatError } from "@voxquant/quant-core";
import { SileroVad, VAD_WINDOW, type SileroTensorName, type SileroWeights } from "./silero.js";
import { readWav } from "./wav.js";

const { abs, cos, imul, sin, PI, trunc } = Math;
const list = goldensFolder("pipeline", "silero", "silero.json");
const stagesPath = goldensFolder("pipeline", "silero", "stages.safetensors");
const speechPath = goldensFolder("pipeline", "speech.wav");

/** Values of the generator that the notes on Silero give: uniform in ±a. */
function uniform(seed: number, a: number, length: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 2 * a;
  });
}

/** The network with made-up weights whose stages the goldens hold. */
function syntheticWeights(): SileroWeights {
  const basis = new Float32Array(258 * 256);
  for (let k = 0; k < 129; k++) {
    for (let n = 0; n < 256; n++) {
      const hann = 0.5 - 0.5 * cos((2 * PI * n) / 256);
      basis[k * 256 + n] = hann * cos((2 * PI * k * n) / 256);
      basis[(129 + k) * 256 + n] = -hann * sin((2 * PI * k * n) / 256);
    }
  }
  return {
    "stft.forward_basis_buffer": basis,
    "encoder.0.reparam_conv.weight": uniform(1, 0.05, 128 * 129 * 3),
    "encoder.0.reparam_conv.bias": uniform(2, 0.1, 128),
    "encoder.1.reparam_conv.weight": uniform(3, 0.1, 64 * 128 * 3),
    "encoder.1.reparam_conv.bias": uniform(4, 0.1, 64),
    "encoder.2.reparam_conv.weight": uniform(5, 0.1, 64 * 64 * 3),
    "encoder.2.reparam_conv.bias": uniform(6, 0.1, 64),
    "encoder.3.reparam_conv.weight": uniform(7, 0.1, 128 * 64 * 3),
    "encoder.3.reparam_conv.bias": uniform(8, 0.1, 128),
    "decoder.rnn.weight_ih": uniform(9, 0.2, 512 * 128),
    "decoder.rnn.weight_hh": uniform(10, 0.2, 512 * 128),
    "decoder.rnn.bias_ih": uniform(11, 0.1, 512),
    "decoder.rnn.bias_hh": uniform(12, 0.1, 512),
    "decoder.decoder.2.weight": uniform(13, 0.5, 128),
    "decoder.decoder.2.bias": uniform(14, 0.1, 1),
  };
}

function syntheticSignal(windows: number): Float32Array {
  return Float32Array.from({ length: windows * VAD_WINDOW }, (_, n) => {
    const amplitude = n < 1024 ? 0.05 : 1;
    return amplitude * (0.3 * sin((2 * PI * 220 * n) / 16000) + 0.1 * sin((2 * PI * 1234 * n) / 16000));
  });
}

function noise(seed: number, length: number, divisor: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    return trunc(((state >>> 16) - 32768) / divisor);
  });
}

/** The signals of silero.json that can be made here; null for the others. */
function goldenSignal(row: { signal: string; samples: number; seed?: number }): Float32Array | null {
  const speech = speechPath === null ? null : readWav(readFileSync(speechPath)).channels[0]!;
  switch (row.signal) {
    case "speech":
      return speech;
    case "speech_quiet":
      return speech === null ? null : speech.map((x) => trunc((x * 32768) / 20) / 32768);
    case "speech_noise": {
      if (speech === null) return null;
      const added = noise(row.seed!, speech.length, 60);
      return speech.map((x, i) => Math.max(-32768, Math.min(32767, x * 32768 + added[i]!)) / 32768);
    }
    case "synthetic":
      return syntheticSignal(row.samples / VAD_WINDOW);
    case "zeros":
      return new Float32Array(row.samples);
    case "noise":
      return noise(row.seed!, row.samples, 3).map((x) => x / 32768);
    case "short":
      return speech === null ? null : speech.slice(9000, 9000 + row.samples);
    default:
      return null;
  }
}

function probabilitiesOf(vad: SileroVad, samples: Float32Array): number[] {
  vad.reset();
  const probabilities: number[] = [];
  for (let at = 0; at < samples.length; at += VAD_WINDOW) {
    probabilities.push(vad.process(samples.subarray(at, at + VAD_WINDOW)));
  }
  return probabilities;
}

describe("probabilities", () => {
  if (list === null || stagesPath === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const { rows } = readGoldenJson<{
    rows: { signal: string; samples: number; seed?: number; probs: number[] }[];
  }>(list);
  test.each(rows.map((row) => [row.signal, row] as const))("%s", async (_, row) => {
    const samples = goldenSignal(row);
    if (samples === null) return;
    expect(samples.length).toBe(row.samples);
    const probabilities = probabilitiesOf(await SileroVad.load(), samples);
    expect(probabilities.length).toBe(row.probs.length);
    row.probs.forEach((probability, i) => expect(abs(probabilities[i]! - probability)).toBeLessThan(1e-4));
  });

  test("stages", async () => {
    const tensors = readTensors(stagesPath);
    const rules = new ToleranceRules("pipeline");
    const inputs: Record<string, [SileroVad, Float32Array | null]> = {
      speech: [await SileroVad.load(), goldenSignal({ signal: "speech", samples: 0 })],
      synthetic: [await SileroVad.load(), syntheticSignal(12)],
      synthnet: [new SileroVad(syntheticWeights()), syntheticSignal(6)],
    };
    let compared = 0;
    const check = (name: string, actual: ArrayLike<number>) => {
      const comparison = compareTensor(
        name,
        actual,
        tensors.get(name)!,
        rules.find("silero", "stages", name),
      );
      if (!comparison.ok) throw new Error(comparison.message);
      compared++;
    };
    for (const [input, [vad, samples]] of Object.entries(inputs)) {
      if (samples === null) continue;
      const probabilities: number[] = [];
      for (let w = 0; w * VAD_WINDOW < samples.length; w++) {
        probabilities.push(vad.process(samples.subarray(w * VAD_WINDOW, (w + 1) * VAD_WINDOW)));
        for (const [stage, values] of Object.entries(vad.stages)) {
          if (tensors.has(`${input}.w${w}.${stage}`)) check(`${input}.w${w}.${stage}`, values);
        }
      }
      if (tensors.has(`${input}.probs`)) check(`${input}.probs`, probabilities);
    }
    expect(compared).toBe(
      [...tensors.keys()].filter((name) => speechPath !== null || !name.startsWith("speech.")).length,
    );
  });
});

test("reset forgets the recording", async () => {
  const vad = await SileroVad.load();
  const samples = syntheticSignal(8);
  expect(probabilitiesOf(vad, samples)).toEqual(probabilitiesOf(vad, samples));
});

test("a foreign or damaged file is refused", async () => {
  await expect(SileroVad.load(new Uint8Array(20))).rejects.toThrow(FormatError);
  const weights: Record<SileroTensorName, Float32Array> = { ...syntheticWeights() };
  expect(() => new SileroVad({ ...weights, "encoder.0.reparam_conv.bias": new Float32Array(3) })).toThrow(
    "[128]",
  );
  expect(
    () => new SileroVad({ ...weights, "stft.forward_basis_buffer": new Float32Array(258 * 256) }),
  ).toThrow("basis");
});

test("a window that is too long is refused", async () => {
  const vad = await SileroVad.load();
  expect(() => vad.process(new Float32Array(VAD_WINDOW + 1))).toThrow("512");
});
