import { FormatError, ResourceError } from "../errors.js";
import { deriveTensors, type DerivedTensor } from "./derived.js";
import { openCheckpoint } from "./open.js";
import { writeSafetensors, type SafetensorsTensor } from "./safetensors-writer.js";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "voxquant-derived-"));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
async function checkpointOf(...tensors: SafetensorsTensor[]) {
  const path = join(folder, `${made++}.safetensors`);
  await writeSafetensors(path, tensors);
  return openCheckpoint(path, { map: false });
}

function f32(name: string, shape: readonly number[], values: readonly number[]): SafetensorsTensor {
  return { name, dtype: "F32", shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

const bf16 = (name: string, shape: readonly number[], bits: readonly number[]): SafetensorsTensor => ({
  name,
  dtype: "BF16",
  shape,
  bytes: new Uint8Array(Uint16Array.from(bits).buffer),
});

/** Rows divided by their counts. */
const means: DerivedTensor = {
  name: "means",
  shape: [2, 3],
  sources: ["sums", "counts"],
  sourceShapes: [[2, 3], [2]],
  derive: ([sums, counts]) => sums!.map((x, i) => x / counts![Math.floor(i / 3)]!),
};

const floats = (bytes: Uint8Array) => [...new Float32Array(bytes.slice().buffer)];

test("a tensor is computed when it is read, whole or in pieces", async () => {
  const source = await checkpointOf(
    f32("sums", [2, 3], [2, 4, 6, 8, 12, 16]),
    bf16("counts", [2], [0x4000, 0x4080]), // 2, 4
  );
  let computed = 0;
  const counted = { ...means, derive: (x: readonly Float32Array[]) => (computed++, means.derive(x)) };
  const checkpoint = deriveTensors(source, [counted]);
  expect([...checkpoint.tensors.keys()]).toEqual(["means"]);
  expect(checkpoint.tensors.get("means")).toMatchObject({ dtype: "F32", shape: [2, 3], byteLength: 24 });
  expect(computed).toBe(0);
  const { dtype, shape, bytes } = await checkpoint.read("means");
  expect({ dtype, shape, values: floats(bytes) }).toEqual({
    dtype: "F32",
    shape: [2, 3],
    values: [1, 2, 3, 2, 3, 4],
  });
  const pieces = await Promise.all([
    checkpoint.readRange("means", 0, 8),
    checkpoint.readRange("means", 8, 24),
  ]);
  expect(pieces.flatMap(floats)).toEqual([1, 2, 3, 2, 3, 4]);
  expect(computed).toBe(2); // once for both pieces
  await expect(checkpoint.readRange("means", 8, 28)).rejects.toThrow(RangeError);
  await expect(checkpoint.read("sums")).rejects.toThrow(ResourceError);
  await checkpoint.close();
});

test("sources that are missing, of another shape or no floats are told before anything is computed", async () => {
  const sums = f32("sums", [2, 3], [1, 2, 3, 4, 5, 6]);
  const integers: SafetensorsTensor = { name: "counts", dtype: "I64", shape: [2], bytes: new Uint8Array(16) };
  for (const { tensors, error, message } of [
    { tensors: [sums], error: ResourceError, message: /"counts" is missing, which means is made of/ },
    {
      tensors: [sums, f32("counts", [3], [1, 2, 3])],
      error: FormatError,
      message: /"counts" has shape \[3\], the config asks for \[2\]/,
    },
    { tensors: [sums, integers], error: FormatError, message: /"counts" is I64, expected F32/ },
  ]) {
    const source = await checkpointOf(...tensors);
    expect(() => deriveTensors(source, [means])).toThrow(error);
    expect(() => deriveTensors(source, [means])).toThrow(message);
    await source.close();
  }
});

test("a derivation of the wrong length is a defect", async () => {
  const source = await checkpointOf(f32("sums", [2, 3], [1, 2, 3, 4, 5, 6]), f32("counts", [2], [1, 1]));
  const wrong = deriveTensors(source, [{ ...means, derive: () => new Float32Array(5) }]);
  await expect(wrong.read("means")).rejects.toThrow(/5 values were derived for shape \[2, 3\]/);
  await source.close();
});
