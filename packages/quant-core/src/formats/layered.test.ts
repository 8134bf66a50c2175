import { mkdirSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResourceError } from "../errors.js";
import { layerCheckpoints } from "./layered.js";
import { openCheckpoint } from "./open.js";
import { writeSafetensors } from "./safetensors-writer.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-layered-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function open(file: string, values: Readonly<Record<string, number>>) {
  const path = join(folder, file);
  await writeSafetensors(
    path,
    Object.entries(values).map(([name, value]) => ({
      name,
      dtype: "F32",
      shape: [1],
      bytes: new Uint8Array(Float32Array.of(value).buffer),
    })),
  );
  return openCheckpoint(path, { map: false });
}

test("a tensor comes from the first that has it; the layers are changed and closed as one", async () => {
  mkdirSync(join(folder, "part"));
  const first = await open("first.safetensors", { a: 1, b: 2 });
  const second = await open("part/second.safetensors", { b: 3, c: 4 });
  const both = layerCheckpoints(first, { checkpoint: second, folder: "part" });
  const valueOf = async (name: string) => new Float32Array((await both.read(name)).bytes.slice().buffer)[0];
  expect(await Promise.all(["a", "b", "c"].map(valueOf))).toEqual([1, 2, 4]);
  expect(await both.readRange("c", 2, 4)).toHaveLength(2);
  expect(both.files.map(({ name }) => name)).toEqual(["first.safetensors", "part/second.safetensors"]);
  expect(both.location).toBe(first.location);
  await expect(both.read("d")).rejects.toThrow(ResourceError);
  await both.verifyUnchanged();
  truncateSync(join(folder, "part", "second.safetensors"), 8);
  await expect(both.verifyUnchanged()).rejects.toThrow(ResourceError);
  await both.close();
  await expect(second.read("c")).rejects.toThrow();
});
