import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResourceError } from "../errors.js";
import { FileSink } from "./byte-sink.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-sink-"));
  path = join(folder, "out.bin");
});
afterEach(() => rmSync(folder, { recursive: true }));

it("shows a file only when it is complete", async () => {
  const sink = new FileSink(path);
  await sink.write(Uint8Array.of(1, 2));
  await sink.write(Uint8Array.of(3));
  expect(existsSync(path)).toBe(false);
  await sink.commit();
  expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  expect(readdirSync(folder)).toEqual(["out.bin"]);
  sink.abort(); // after a good end: no effect
  expect(readdirSync(folder)).toEqual(["out.bin"]);
});

it("leaves nothing after an abort, and the old file as it was", async () => {
  writeFileSync(path, "old");
  expect(() => new FileSink(path)).toThrow("exists already");
  const sink = new FileSink(path, { force: true });
  await sink.write(Uint8Array.of(1));
  sink.abort();
  expect(readdirSync(folder)).toEqual(["out.bin"]);
  expect(readFileSync(path, "utf8")).toBe("old");
});

it("tells a folder that cannot be written", () => {
  expect(() => new FileSink(join(folder, "none", "out.bin"))).toThrow(ResourceError);
});
