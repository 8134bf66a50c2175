import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResourceError } from "@voxquant/quant-core";
import { UsageError } from "./exit.js";
import { checkWritable, planOutput, writeOutput } from "./output.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-output-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("one input, or a format that holds several, goes to one place", () => {
  expect(planOutput(undefined, ["a.wav", "b.wav"], "json", false)).toEqual({ kind: "together", path: null });
  expect(planOutput("out.json", ["a.wav", "b.wav"], "json", false)).toEqual({
    kind: "together",
    path: "out.json",
  });
  expect(planOutput("out.srt", ["a.wav"], "srt", true)).toEqual({ kind: "together", path: "out.srt" });
});

test("a folder gets one file per input", () => {
  const paths = [join(folder, "a.srt"), join(folder, "b.srt")];
  expect(planOutput(folder, ["x/a.wav", "y/b.mp3"], "srt", true)).toEqual({ kind: "each", paths });
  expect(planOutput(folder, ["x/a.wav"], "txt", false)).toEqual({
    kind: "each",
    paths: [join(folder, "a.txt")],
  });
  expect(planOutput("new/", ["-"], "txt", false)).toEqual({
    kind: "each",
    paths: [join("new", "stdin.txt")],
  });
});

test("several subtitle files need a folder, and names of their own", () => {
  expect(() => planOutput(undefined, ["a.wav", "b.wav"], "srt", true)).toThrow(UsageError);
  expect(() => planOutput(folder, ["x/a.wav", "y/a.wav"], "srt", true)).toThrow(
    /x\/a\.wav and y\/a\.wav would both/,
  );
});

test("existing output needs --force, and nothing is left of the check", async () => {
  const path = join(folder, "out.txt");
  writeFileSync(path, "old");
  await expect(checkWritable(path, false)).rejects.toThrow(/exists already.*--force/);
  await checkWritable(path, true);
  await checkWritable(join(folder, "new", "deep", "out.txt"), false);
  expect(readdirSync(folder)).toEqual(["out.txt"]);
});

test("what cannot be written is said before the work", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  await expect(checkWritable(join(file, "out.txt"), false)).rejects.toThrow(ResourceError);
  await expect(checkWritable(folder, true)).rejects.toThrow(/is a folder/);
});

test("a file appears whole, with its folders", async () => {
  const path = join(folder, "new", "out.txt");
  await writeOutput(path, "text");
  expect(readFileSync(path, "utf8")).toBe("text");
  expect(readdirSync(join(folder, "new"))).toEqual(["out.txt"]);
});

test("what fails in the middle leaves the old file and nothing else", async () => {
  const path = join(folder, "out");
  mkdirSync(path); // a file cannot be renamed to a folder's name
  await expect(writeOutput(path, "text")).rejects.toThrow(/could not be written, nothing was left/);
  expect(readdirSync(folder)).toEqual(["out"]);
});

const onLinux = existsSync("/dev/full") ? test : test.skip;
onLinux("a device is written to, not replaced; a full one is an error", async () => {
  await checkWritable("/dev/full", false);
  await expect(writeOutput("/dev/full", "text")).rejects.toThrow(/ENOSPC/);
  await writeOutput("/dev/null", "text");
  expect(existsSync("/dev/full")).toBe(true);
});
