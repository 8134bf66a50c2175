import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePerf, perfCommand } from "./perf-counters.js";
import { parseStatus } from "./process-status.js";
import { readReferences, scoreTexts, starText, starsOf } from "./quality.js";
import { readResults } from "./results-file.js";
import { spreadOf } from "./statistics.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test("spread of measurements", () => {
  expect(spreadOf([null, null])).toBeNull();
  expect(spreadOf([3])).toEqual({ median: 3, min: 3, max: 3, p95: 3, cv: 0 });
  expect(spreadOf([4, null, 1, 2, 3])).toEqual({
    median: 2.5,
    min: 1,
    max: 4,
    p95: expect.closeTo(3.85),
    cv: expect.closeTo(1.290994 / 2.5),
  });
});

test("resident parts of a process", () => {
  const status = "Name:\tnode\nVmHWM:\t  200 kB\nRssAnon:\t  120 kB\nRssFile:\t   80 kB\nRssShmem:\t 0 kB\n";
  expect(parseStatus(status)).toEqual({ privateBytes: 120 * 1024, mappedBytes: 80 * 1024 });
  expect(parseStatus("Name:\tnode\n")).toBeNull();
});

test("counts of perf stat", () => {
  const counted =
    "# started on x\n\n123456789,,instructions:u,100,100.00,1.5,insn per cycle\n82304526,,cycles:u,100,100.00,,\n";
  expect(parsePerf(counted)).toEqual({ instructions: 123456789, cycles: 82304526 });
  const none = "<not supported>,,instructions:u,0,100.00,,\n<not counted>,,cycles:u,0,0.00,,\n";
  expect(parsePerf(none)).toEqual({ instructions: null, cycles: null });
  expect(perfCommand("out", ["node", "x"]).slice(-3)).toEqual(["--", "node", "x"]);
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
  expect(starText(2)).toBe("★★☆☆☆");
});

test("results of another run: by label or path, and what is no result file", () => {
  const path = file(
    "old.jsonl",
    '{"kind":"bench","label":"old","started":"s"}\n{"kind":"summary","model":"m"}\n',
  );
  expect(readResults("old", folder)).toMatchObject({ label: "old", summaries: [{ model: "m" }] });
  expect(readResults(path, "elsewhere").summaries).toHaveLength(1);
  expect(() => readResults("older", folder)).toThrow(/older\.jsonl: no such run/);
  expect(() => readResults(file("x.jsonl", "{}\n"), folder)).toThrow(/not a result file/);
  expect(() => readResults(file("y.jsonl", "no\n"), folder)).toThrow(/not a result file/);
});
