import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expandGlob, matchesGlob } from "./glob.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-glob-"));
mkdirSync(join(folder, "b", "c"), { recursive: true });
for (const name of [
  "1.wav",
  "2.wav",
  "10.wav",
  ".hidden.wav",
  "x[1].wav",
  "b/3.wav",
  "b/c/4.wav",
  "b/c/notes.txt",
]) {
  writeFileSync(join(folder, name), "");
}
afterAll(() => rmSync(folder, { recursive: true }));

const expand = async (pattern: string): Promise<string[]> =>
  (await expandGlob(join(folder, pattern))).map((path) => path.slice(folder.length + 1));

test.each([
  ["*.wav", ["1.wav", "10.wav", "2.wav", "x[1].wav"]],
  ["?.wav", ["1.wav", "2.wav"]],
  ["[1-2]*.wav", ["1.wav", "10.wav", "2.wav"]],
  ["[!1]*.wav", ["2.wav", "x[1].wav"]],
  [".*.wav", [".hidden.wav"]],
  ["*/*.wav", ["b/3.wav"]],
  ["**/*.wav", ["1.wav", "10.wav", "2.wav", "b/3.wav", "b/c/4.wav", "x[1].wav"]],
  ["b/**/[0-9].wav", ["b/3.wav", "b/c/4.wav"]],
  ["b/**", ["b/3.wav", "b/c/4.wav", "b/c/notes.txt"]],
  ["*.mp3", []],
  ["nothing/*.wav", []],
])("%s", async (pattern, expected) => {
  expect(await expand(pattern)).toEqual(expected);
});

test("a path without pattern characters, or that exists, stands for itself", async () => {
  expect(await expand("missing.wav")).toEqual(["missing.wav"]);
  expect(await expand("x[1].wav")).toEqual(["x[1].wav"]);
});

test("relative patterns give relative paths", async () => {
  const before = process.cwd();
  process.chdir(folder);
  try {
    expect(await expandGlob("b/*.wav")).toEqual(["b/3.wav"]);
    expect(await expandGlob("?.wav")).toEqual(["1.wav", "2.wav"]);
  } finally {
    process.chdir(before);
  }
});

test("matchesGlob compares whole relative paths, also with patterns that would explode a regular expression", () => {
  expect(matchesGlob("a/b/c.json", "**/*.json")).toBe(true);
  expect(matchesGlob("c.json", "**/*.json")).toBe(true);
  expect(matchesGlob("a/c.json", "*.json")).toBe(false);
  expect(matchesGlob("a".repeat(5000), `${"*a".repeat(50)}*b`)).toBe(false);
});
