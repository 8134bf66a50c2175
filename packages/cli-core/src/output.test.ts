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
import { OutputFile, checkWritable, writeOutput } from "./output.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-output-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

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

test("a file written in pieces has its name only when it is complete", async () => {
  const path = join(folder, "new", "out.bin");
  const file = await OutputFile.create(path);
  await file.write(Uint8Array.of(0, 0, 3));
  await file.write(Uint8Array.of(4));
  expect(existsSync(path)).toBe(false);
  await file.patch(0, Uint8Array.of(1, 2));
  await file.write(Uint8Array.of(5));
  await file.commit();
  expect([...readFileSync(path)]).toEqual([1, 2, 3, 4, 5]);
  const other = await OutputFile.create(join(folder, "new", "other.bin"));
  await other.write(Uint8Array.of(1));
  await other.discard();
  expect(readdirSync(join(folder, "new"))).toEqual(["out.bin"]);
  await expect(OutputFile.create(join(path, "x"))).rejects.toThrow(ResourceError);
});

test("a file written in pieces that cannot get its name leaves nothing", async () => {
  const path = join(folder, "out");
  const file = await OutputFile.create(path);
  mkdirSync(join(path, "full"), { recursive: true });
  await expect(file.commit()).rejects.toThrow(/could not be written, nothing was left/);
  expect(readdirSync(folder)).toEqual(["out"]);
});

const onLinux = existsSync("/dev/full") ? test : test.skip;
onLinux("a device is written to, not replaced; a full one is an error", async () => {
  await checkWritable("/dev/full", false);
  await expect(writeOutput("/dev/full", "text")).rejects.toThrow(/ENOSPC/);
  await writeOutput("/dev/null", "text");
  const full = await OutputFile.create("/dev/full");
  expect(full.canPatch).toBe(false);
  await expect(full.write(Uint8Array.of(1))).rejects.toThrow(/ENOSPC/);
  await full.discard();
  expect(existsSync("/dev/full")).toBe(true);
});
