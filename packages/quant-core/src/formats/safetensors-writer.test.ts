import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldensFolder, readGoldenJson, readTensors } from "@voxquant/goldens";
import { ConfigError, ResourceError } from "../errors.js";
import { MemorySink } from "./byte-sink.js";
import { openCheckpoint } from "./open.js";
import { writeSafetensors } from "./safetensors-writer.js";

const tensor = (name: string, dtype: string, shape: number[], length: number) => ({
  name,
  dtype,
  shape,
  bytes: new Uint8Array(length).fill(name.length),
});

it("writes what the reader and an independent one read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-safetensors-"));
  try {
    const path = join(folder, "t.safetensors");
    const values = new Uint8Array(Float32Array.of(1, 2).buffer);
    await writeSafetensors(path, [{ name: 'a"\n', dtype: "F32", shape: [2], bytes: values }]);
    await writeSafetensors(path, [{ name: 'a"\n', dtype: "F32", shape: [2, 1], bytes: values }]); // replaced
    expect(readTensors(path).get('a"\n')).toEqual({ shape: [2, 1], data: Float32Array.of(1, 2) });
    expect(readdirSync(folder)).toEqual(["t.safetensors"]);
    await expect(writeSafetensors(join(folder, "none", "t"), [])).rejects.toThrow(ResourceError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("orders tensors by element size, then by name, and aligns them", async () => {
  const sink = new MemorySink();
  await writeSafetensors(
    sink,
    [
      tensor("b", "U8", [3], 3),
      tensor("1", "F32", [], 4),
      tensor("c", "I64", [1], 8),
      tensor("0", "F32", [2], 8),
    ],
    { format: "pt" },
  );
  const checkpoint = await openCheckpoint(sink.concat());
  expect([...checkpoint.tensors.keys()]).toEqual(["c", "0", "1", "b"]);
  expect(checkpoint.tensors.get("c")!.offset % 8).toBe(0);
  expect(checkpoint.metadata.get("format")).toBe("pt");
});

const path = goldensFolder("ggml-quants.json");
const golden =
  path === null
    ? undefined
    : readGoldenJson<{ safetensors: { valid: { id: string; hex: string }[] } }>(path).safetensors.valid.find(
        ({ id }) => id.includes("as_written_by_the_reference_library"),
      );
(golden === undefined ? it.skip : it)("lays out the reference library's own file the same way", async () => {
  const original = await openCheckpoint(new Uint8Array(Buffer.from(golden!.hex, "hex")));
  const tensors = await Promise.all(
    [...original.tensors.values()].reverse().map(async ({ name, dtype, shape, byteLength }) => ({
      name,
      dtype,
      shape,
      bytes: await original.readRange(name, 0, byteLength),
    })),
  );
  const sink = new MemorySink();
  await writeSafetensors(sink, tensors, Object.fromEntries(original.metadata) as Record<string, string>);
  const copy = await openCheckpoint(sink.concat());
  expect([...copy.tensors]).toEqual([...original.tensors]);
});

it("refuses what does not fit", async () => {
  const write = (...tensors: Parameters<typeof writeSafetensors>[1]) =>
    writeSafetensors(new MemorySink(), tensors);
  await expect(write(tensor("a", "F32", [2], 4))).rejects.toThrow(ConfigError);
  await expect(write(tensor("a", "Q8_0", [32], 34))).rejects.toThrow(ConfigError);
  await expect(write(tensor("a", "U8", [1], 1), tensor("a", "I8", [1], 1))).rejects.toThrow("repeated");
  await expect(write(tensor("__metadata__", "U8", [1], 1))).rejects.toThrow("reserved");
});
