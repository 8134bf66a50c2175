import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Measured } from "@voxquant/cli-core";
import type { AsrBench, Workload } from "./measurement.js";
import { judgeTexts, readReferences, scoreTexts, starsOf } from "./quality.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-quality-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function measured(text: string, kind: Workload["kind"] = "files"): Measured<AsrBench> {
  const entry = {
    scenario: { job: { workload: { kind } } },
    results: [{ detail: { texts: [text], languages: ["English"] } }],
  };
  return entry as unknown as Measured<AsrBench>;
}

test("errors count against the reference, else against the float run; stars by what was added", () => {
  const float = measured("alpha beta gamma delta");
  const quantized = measured("alpha beta gamma delts");
  const alone = judgeTexts(null);
  expect(alone(float, float)).toMatchObject({ wer: 0, wer_against: "float run", stars: 5 });
  expect(alone(quantized, float)).toMatchObject({ wer: 0.25, wer_against: "float run", stars: 0 });
  // Both have an error against what was said: quantizing added none.
  const against = judgeTexts(["Alpha, beta, gamma eta."]);
  expect(against(quantized, float)).toMatchObject({ wer: 0.25, wer_against: "reference", stars: 5 });
  expect(alone(quantized, null)).toEqual({ wer: null, cer: null, stars: null, wer_against: null });
  const unknown = judgeTexts(["alpha beta gamma delta"])(quantized, null);
  expect(unknown).toMatchObject({ wer: 0.25, stars: null });
  expect(alone(measured("x", "synthetic"), float)).toMatchObject({ wer: null, cer: null, stars: null });
});

test("references: one text, a line per file, JSON lines by base name", () => {
  const lines = file("lines.txt", "first\nsecond\n\n");
  expect(readReferences(lines, ["a.wav", "b.wav"])).toEqual(["first", "second"]);
  expect(readReferences(lines, ["a.wav"])).toEqual(["first\nsecond\n\n"]);
  expect(() => readReferences(lines, ["a", "b", "c"])).toThrow(/2 lines for 3 audio files/);
  const json = file("texts.jsonl", '{"file":"x/b.wav","text":"B"}\n\n{"audio":"a.wav","text":"A"}\n');
  expect(readReferences(json, ["y/a.wav", "b.wav"])).toEqual(["A", "B"]);
  expect(() => readReferences(json, ["c.wav"])).toThrow(/no line for c\.wav/);
  expect(() => readReferences(file("bad.jsonl", '{"file":"a"}\n'), ["a"])).toThrow(
    /line 1: expected the strings/,
  );
  expect(() => readReferences(file("no.jsonl", "text\n"), ["a"])).toThrow(/line 1: not JSON/);
  expect(() => readReferences(join(folder, "none.txt"), ["a"])).toThrow(/none\.txt/);
});

test("texts are normalized by their languages before they are compared", () => {
  expect(scoreTexts(["It's 5 o'clock!"], ["it is five o'clock"], ["English"])).toEqual({ wer: 0, cer: 0 });
  expect(scoreTexts(["Wie geht's?"], ["wie geht s"], ["German"])).toEqual({ wer: 0, cer: 0 });
  expect(scoreTexts(["今天天气。"], ["今天 天气"], ["Chinese"]).cer).toBe(0);
  expect(scoreTexts(["a b", "c d"], ["a b", "c x"], ["", ""])).toEqual({
    wer: 0.25,
    cer: expect.closeTo(1 / 6),
  });
});

test("stars by the word errors that were added", () => {
  const added = [-0.01, 0.002, 0.003, 0.015, 0.03, 0.1, 0.11];
  expect(added.map((points) => starsOf(0.05 + points - 1e-9, 0.05))).toEqual([5, 5, 4, 3, 2, 1, 0]);
});
