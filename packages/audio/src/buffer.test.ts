import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { applyPeakGuard, toMono } from "./buffer.js";
import { AudioError } from "./errors.js";

type Nested = number | readonly Nested[];
interface Row {
  name: string;
  shape: number[];
  input: Nested;
  output?: number[];
  error?: string;
}

const table = goldensFolder("qwen3-asr", "tables", "audio-input.json");
const rows =
  table === null ? [] : readGoldenJson<{ normalize_audio_input: Row[] }>(table).normalize_audio_input;

/** The official rule for which axis of an array holds the channels. */
function channelsOf(row: Row): Float32Array[] {
  if (row.shape.length === 1) return [Float32Array.from(row.input as number[])];
  const matrix = row.input as number[][];
  if (row.shape[0]! <= 8 && row.shape[1]! > row.shape[0]!)
    return matrix.map((channel) => Float32Array.from(channel));
  return Array.from({ length: row.shape[1]! }, (_, c) => Float32Array.from(matrix, (frame) => frame[c]!));
}

describe("Qwen3-ASR input rules", () => {
  if (rows.length === 0) {
    test.skip("no goldens", () => undefined);
    return;
  }
  test.each(rows.filter((row) => row.output !== undefined).map((row) => [row.name, row] as const))(
    "%s",
    (_, row) => {
      const samples = applyPeakGuard(toMono({ channels: channelsOf(row) }));
      expect(samples.length).toBe(row.output!.length);
      row.output!.forEach((value, i) => expect(Math.abs(samples[i]! - value)).toBeLessThanOrEqual(1.2e-7));
    },
  );
});

test("NaN and infinity are refused", () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    expect(() => applyPeakGuard(Float32Array.of(0, bad, 0))).toThrow(AudioError);
  }
});

test("a channel can be chosen", () => {
  const channels = [Float32Array.of(1), Float32Array.of(2)];
  expect(toMono({ channels }, 1)[0]).toBe(2);
  expect(() => toMono({ channels }, 2)).toThrow("has 2");
  expect(() => toMono({ channels: [] })).toThrow(AudioError);
});
