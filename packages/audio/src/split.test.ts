import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { AudioError } from "./errors.js";
import { splitAtQuiet } from "./split.js";

interface Case {
  name: string;
  samples?: number;
  dips?: [number, number, number | null][];
  constant?: number | null;
  max_chunk_sec: number;
  search_expand_sec: number;
  min_window_ms: number;
  piece_lengths: number[];
  offsets_sec: number[];
}

const { imul } = Math;
const table = goldensFolder("qwen3-asr", "tables", "split.json");
const cases = table === null ? [] : readGoldenJson<{ cases: Case[] }>(table).cases;

function signal(row: Case): Float32Array {
  if (row.samples === undefined) {
    // "specification example" is described in words alone
    const x = new Float32Array(160_000).fill(0.5);
    x.fill(0.01, 67_200, 70_400);
    x[68_200] = 0.001;
    return x;
  }
  const x = new Float32Array(row.samples);
  for (let i = 0; i < x.length; i++) {
    x[i] = row.constant ?? ((imul(i, 2654435761) >>> 24) - 127.5) / 256;
  }
  for (const [from, to, k] of row.dips ?? []) {
    const scale = k === null ? 0 : 2 ** -k;
    for (let i = from; i < to; i++) x[i]! *= scale;
  }
  return x;
}

describe("official splitting", () => {
  if (cases.length === 0) {
    test.skip("no goldens", () => undefined);
    return;
  }
  test.each(cases.map((row) => [row.name, row] as const))("%s", (_, row) => {
    const x = signal(row);
    const pieces = splitAtQuiet(x, row.max_chunk_sec, {
      searchSeconds: row.search_expand_sec,
      windowMs: row.min_window_ms,
    });
    expect(pieces.map((piece) => piece.samples.length)).toEqual(row.piece_lengths);
    expect(pieces.map((piece) => piece.offsetSeconds)).toEqual(row.offsets_sec);
    for (const piece of pieces) expect(piece.samples[0]).toBe(x[piece.start]);
  });
});

test("a limit of nothing is refused", () => {
  for (const limit of [0, -1, NaN])
    expect(() => splitAtQuiet(new Float32Array(10), limit)).toThrow(AudioError);
});
