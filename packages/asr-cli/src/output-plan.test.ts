import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "@voxquant/cli-core";
import { planOutput } from "./output-plan.js";

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
