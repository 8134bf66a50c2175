import { MemorySink } from "./byte-sink.js";
import { GgufWriter, type WritableMetadataValue } from "./gguf-writer.js";
import { inspectCheckpoint } from "./inspect.js";
import { openCheckpoint } from "./open.js";

it("describes header, metadata, tensors and totals as JSON can carry them", async () => {
  const sink = new MemorySink();
  const metadata = new Map<string, WritableMetadataValue>([
    ["general.file_type", 7],
    ["text", "x".repeat(1000)],
    ["words", Array.from({ length: 20 }, (_, i) => `w${i}`)],
    ["large", 2n ** 63n],
    ["undefined", NaN],
  ]);
  const writer = new GgufWriter(
    sink,
    [
      { name: "norm", dtype: "F32", shape: [64] },
      { name: "proj", dtype: "Q8_0", shape: [4, 64] },
      { name: "out", dtype: "Q8_0", shape: [2, 32] },
    ],
    { metadata },
  );
  await writer.write("norm", new Uint8Array(256));
  await writer.write("proj", new Uint8Array(272));
  await writer.write("out", new Uint8Array(68));
  await writer.finish();
  const bytes = sink.concat();
  const inspection = inspectCheckpoint(await openCheckpoint(bytes));
  expect(JSON.parse(JSON.stringify(inspection))).toEqual(inspection);
  expect(inspection).toMatchObject({
    location: "buffer",
    format: "gguf",
    version: 3,
    alignment: 32,
    files: [{ name: "buffer", byteLength: bytes.length }],
    totals: [
      { dtype: "Q8_0", tensors: 2, elements: 320, bytes: 340 },
      { dtype: "F32", tensors: 1, elements: 64, bytes: 256 },
    ],
    elements: 384,
    bytes: 596,
    bitsPerWeight: (596 * 8) / 384,
  });
  expect(inspection.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
    ["norm", "F32", [64]],
    ["proj", "Q8_0", [4, 64]],
    ["out", "Q8_0", [2, 32]],
  ]);
  expect(inspection.metadata).toEqual([
    { key: "general.file_type", type: "u32", value: 7, truncated: false },
    { key: "text", type: "string", length: 1000, value: "x".repeat(200), truncated: true },
    {
      key: "words",
      type: "string[]",
      length: 20,
      value: ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"],
      truncated: true,
    },
    { key: "large", type: "u64", value: "9223372036854775808", truncated: false },
    { key: "undefined", type: "f32", value: "NaN", truncated: false },
  ]);
});
