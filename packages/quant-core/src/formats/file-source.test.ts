import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResourceError } from "../errors.js";
import { FileSource, type FileMapper } from "./file-source.js";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
let folder: string;
let path: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-file-"));
  path = join(folder, "file");
  writeFileSync(path, content);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Stands in for the native addon: "maps" by reading. */
class FakeMapper implements FileMapper {
  fault = false;
  readonly unmapped: unknown[] = [];
  readonly #cut: number;

  constructor(cut = 0) {
    this.#cut = cut;
  }

  mapFile(file: string): { buffer: ArrayBuffer; handle: unknown } {
    const bytes = new Uint8Array(readFileSync(file));
    return { buffer: bytes.slice(0, bytes.length - this.#cut).buffer, handle: "handle" };
  }

  unmapFile(handle: unknown): void {
    this.unmapped.push(handle);
  }

  mappingFault(): boolean {
    return this.fault;
  }
}

it("gives views of a mapped file until it is closed", async () => {
  const mapper = new FakeMapper();
  const source = await FileSource.open(path, mapper);
  const first = await source.read(10, 20);
  expect(first).toEqual(content.subarray(10, 20));
  expect((await source.read(0, 1000)).buffer).toBe(first.buffer); // no copy
  expect(source.view(998, 1000)).toEqual(content.subarray(998));
  await source.close();
  await source.close();
  expect(mapper.unmapped).toEqual(["handle"]);
  await expect(source.read(0, 1)).rejects.toThrow("was closed");
});

it("tells a page of the mapping that was missing", async () => {
  const mapper = new FakeMapper();
  const source = await FileSource.open(path, mapper);
  await source.verifyUnchanged();
  mapper.fault = true;
  await expect(source.read(0, 1)).rejects.toThrow(ResourceError);
  await expect(source.verifyUnchanged()).rejects.toThrow("was cut while in use");
  await source.close();
});

it("reads at positions where the file cannot be mapped whole", async () => {
  const refusing: FileMapper = {
    mapFile: () => {
      throw new Error("ENODEV");
    },
    unmapFile: () => undefined,
    mappingFault: () => false,
  };
  const short = new FakeMapper(1);
  for (const mapper of [refusing, short, null]) {
    const source = await FileSource.open(path, mapper);
    expect(source.view(0, 10)).toBeNull();
    expect(await source.read(990, 1000)).toEqual(content.subarray(990));
    await source.close();
  }
  expect(short.unmapped).toEqual(["handle"]);
});

it("refuses what is no file", async () => {
  await expect(FileSource.open(folder, null)).rejects.toThrow("not a regular file");
  await expect(FileSource.open(join(folder, "none"), null)).rejects.toThrow(
    `${join(folder, "none")}: there is no such file`,
  );
});
