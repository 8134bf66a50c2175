import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { toMono } from "./buffer.js";
import { AudioError } from "./errors.js";
import { readWav, WavDecoder, writeWav } from "./wav.js";

interface Row {
  file: string;
  ok: boolean;
  error?: string;
  sample_rate: number;
  channels: number;
  frames: number;
  samples: number[];
  mono: number[];
}

const list = goldensFolder("pipeline", "wav", "wav.json");
const folder = list === null ? "" : dirname(list);
const allRows = list === null ? [] : readGoldenJson<{ rows: Row[] }>(list).rows;
const rows = allRows.filter(({ file }) => existsSync(join(folder, file)));

describe("readWav on the goldens", () => {
  if (rows.length === 0) {
    test.skip("no goldens", () => undefined);
    return;
  }
  test.each(rows.map((row) => [row.file, row] as const))("%s", (file, row) => {
    const bytes = readFileSync(join(folder, file));
    if (!row.ok) {
      expect(kindOf(() => readWav(bytes))).toBe(row.error);
      return;
    }
    const buffer = readWav(bytes);
    expect(buffer.sampleRate).toBe(row.sample_rate);
    expect(buffer.channels.length).toBe(row.channels);
    const interleaved = Array.from(
      { length: row.frames * row.channels },
      (_, i) => buffer.channels[i % row.channels]![Math.floor(i / row.channels)],
    );
    expect(buffer.channels[0]!.length).toBe(row.frames);
    expectClose(interleaved as number[], row.samples);
    expectClose(Array.from(toMono(buffer)), row.mono);
  });

  test.each(rows.map((row) => [row.file, row] as const))("%s, byte by byte", (file, row) => {
    const bytes = readFileSync(join(folder, file));
    const decoder = new WavDecoder();
    const parts: number[] = [];
    const run = () => {
      for (let i = 0; i < bytes.length; i++) {
        const block = decoder.push(bytes.subarray(i, i + 1));
        if (block !== null) parts.push(...toMono(block));
      }
      decoder.end();
    };
    if (row.ok) {
      run();
      expectClose(parts, row.mono);
    } else expect(kindOf(run)).toBe(row.error);
  });
});

describe("hostile sizes", () => {
  test("a declared size never becomes an allocation", () => {
    const file = writeWav({ sampleRate: 16000, channels: [new Float32Array(4)] });
    new DataView(file.buffer).setUint32(40, 0xfffffff0, true);
    expect(readWav(file).channels[0]!.length).toBe(4);
  });

  test("a fmt chunk that goes past the end is a bad header", () => {
    const file = writeWav({ sampleRate: 16000, channels: [new Float32Array(4)] });
    new DataView(file.buffer).setUint32(16, 0x7fffffff, true);
    expect(kindOf(() => readWav(file))).toBe("bad_header");
  });
});

describe("writeWav", () => {
  const channels = [Float32Array.of(0, 0.5, -1, 1, 2), Float32Array.of(0.25, -0.25, 1 / 3, -2, 0)];

  test("float32 comes back as it was", () => {
    const read = readWav(writeWav({ sampleRate: 44100, channels }, { format: "float32" }));
    expect(read.sampleRate).toBe(44100);
    expect(read.channels).toEqual(channels);
  });

  test("pcm16 is rounded and clipped", () => {
    const read = readWav(writeWav({ sampleRate: 8000, channels }));
    expect(Array.from(read.channels[0]!)).toEqual([0, 0.5, -1, 32767 / 32768, 32767 / 32768]);
    expect(read.channels[1]![2]).toBeCloseTo(1 / 3, 4);
    expect(read.channels[1]![3]).toBe(-1);
  });

  test("unequal channels are refused", () => {
    const uneven = { sampleRate: 8000, channels: [new Float32Array(2), new Float32Array(3)] };
    expect(kindOf(() => writeWav(uneven))).toBe("bad_input");
    expect(kindOf(() => writeWav({ sampleRate: 8000, channels: [] }))).toBe("bad_input");
    expect(kindOf(() => writeWav({ sampleRate: 0.5, channels }))).toBe("bad_input");
  });
});

function kindOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(AudioError);
    return (error as AudioError).kind;
  }
  return "no error";
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const limit = 1e-7 + Math.abs(expected[i]!) * 2e-7; // the list has 9 digits
    if (!(Math.abs(actual[i]! - expected[i]!) <= limit))
      throw new Error(`[${i}] is ${actual[i]}, golden ${expected[i]}`);
  }
}
