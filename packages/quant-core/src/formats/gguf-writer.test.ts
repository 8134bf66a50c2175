import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { ConfigError, UnsupportedError } from "../errors.js";
import { GGML_TYPES, weightByteLength, type GgmlType } from "../weight.js";
import { MemorySource } from "./byte-source.js";
import { MemorySink } from "./byte-sink.js";
import { parseGgufHeader } from "./gguf.js";
import {
  GgufWriter,
  typedMetadata,
  type GgufTensorDeclaration,
  type WritableMetadataValue,
} from "./gguf-writer.js";
import { openCheckpoint } from "./open.js";

const LONG_NAME = "talker.code_predictor.model.layers.0.post_attention_layernorm.weight";

const tensors: GgufTensorDeclaration[] = [
  { name: "embed.weight", dtype: "F16", shape: [5, 3] },
  { name: "proj.weight", dtype: "Q4_0", shape: [3, 64] },
  { name: LONG_NAME, dtype: "F32", shape: [7] },
  { name: "conv.weight", dtype: "BF16", shape: [2, 3, 1, 5] },
  { name: "empty", dtype: "F32", shape: [0, 4] },
  { name: "scale", dtype: "F32", shape: [] },
];

const metadata = new Map<string, WritableMetadataValue>([
  ["general.architecture", "qwen3-asr"],
  ["general.file_type", 2],
  ["general.alignment", 64],
  ["a.negative", -3],
  ["a.fraction", 0.5],
  ["a.base", { type: "f32", value: 1e6 }],
  ["a.large", 2 ** 40],
  ["a.largest", 2n ** 64n - 1n],
  ["a.flag", true],
  ["a.words", ["über", "", "long enough to go through the decoder, not the loop"]],
  ["a.mark", "\ufeffa byte order mark stays"],
  ["a.flags", [true, false]],
  ["a.ints", [1, -2]],
  ["a.floats", [1, 0.25]],
  ["a.bytes", Uint8Array.of(1, 255)],
  ["a.bigs", BigUint64Array.of(2n ** 60n)],
  ["a.doubles", Float64Array.of(0.1)],
  ["a.none", { type: "u16[]", value: [] }],
]);

/** Bytes that differ from tensor to tensor. */
function dataOf({ dtype, shape }: GgufTensorDeclaration, seed: number): Uint8Array {
  return Uint8Array.from({ length: weightByteLength(dtype, shape) }, (_, i) => (i * 7 + seed * 31) & 0xff);
}

async function write(
  declared: readonly GgufTensorDeclaration[],
  entries: ReadonlyMap<string, WritableMetadataValue>,
  alignment = 32,
): Promise<Uint8Array> {
  const sink = new MemorySink();
  const writer = new GgufWriter(sink, declared, { metadata: entries, alignment });
  for (const [i, tensor] of declared.entries()) {
    const bytes = dataOf(tensor, i);
    // In two pieces, as a streaming converter does; an empty tensor needs no call.
    if (bytes.length === 0) continue;
    await writer.write(tensor.name, bytes.subarray(0, 11));
    if (bytes.length > 11) await writer.write(tensor.name, bytes.subarray(11));
  }
  await writer.finish();
  const file = sink.concat();
  expect(file.length).toBe(writer.byteLength);
  return file;
}

it("writes what the reader reads: values, types, shapes and bytes", async () => {
  for (const alignment of [32, 64]) {
    const file = await write(tensors, metadata, alignment);
    expect(file.length % alignment).toBe(0);
    const checkpoint = await openCheckpoint(Buffer.from(file)); // in Node's pool: not at the beginning of its memory
    expect(checkpoint.gguf).toMatchObject({ version: 3, alignment });
    const found = Object.fromEntries(checkpoint.metadata);
    expect(found).toEqual({
      "general.architecture": "qwen3-asr",
      "general.file_type": 2,
      "a.negative": -3,
      "a.fraction": 0.5,
      "a.base": 1e6,
      "a.large": 2 ** 40,
      "a.largest": 2n ** 64n - 1n,
      "a.flag": true,
      "a.words": metadata.get("a.words"),
      "a.mark": "\ufeffa byte order mark stays",
      "a.flags": [true, false],
      "a.ints": Int32Array.of(1, -2),
      "a.floats": Float32Array.of(1, 0.25),
      "a.bytes": Uint8Array.of(1, 255),
      "a.bigs": BigUint64Array.of(2n ** 60n),
      "a.doubles": Float64Array.of(0.1),
      "a.none": new Uint16Array(0),
      ...(alignment === 32 ? {} : { "general.alignment": 64 }),
    });
    expect(checkpoint.gguf!.metadataTypes.get("a.base")).toBe("f32");
    expect(checkpoint.gguf!.metadataTypes.get("a.none")).toBe("u16[]");
    for (const [i, tensor] of tensors.entries()) {
      const weight = await checkpoint.read(tensor.name);
      expect(weight.dtype).toBe(tensor.dtype);
      expect(weight.shape).toEqual(tensor.name === "scale" ? [1] : tensor.shape);
      expect(weight.bytes).toEqual(dataOf(tensor, i));
    }
    expect(await write(tensors, typedMetadata(checkpoint), alignment)).toEqual(file);
  }
});

it("is read by @huggingface/gguf", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-gguf-"));
  try {
    const path = join(folder, "model.gguf");
    writeFileSync(path, await write(tensors, metadata));
    const { metadata: found, tensorInfos } = await gguf(path, { allowLocalFile: true });
    expect(found).toMatchObject({
      version: 3,
      "general.architecture": "qwen3-asr",
      "a.words": metadata.get("a.words"),
    });
    expect(tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number), Number(dtype)])).toEqual(
      tensors.map(({ name, shape, dtype }) => [
        name,
        shape.length === 0 ? [1] : [...shape].reverse(),
        GGML_TYPES[dtype].id,
      ]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("writes every ggml type", async () => {
  const all = (Object.keys(GGML_TYPES) as GgmlType[]).map((dtype) => ({
    name: dtype,
    dtype,
    shape: [2, 256],
  }));
  const { tensors: found } = await parseGgufHeader(new MemorySource(await write(all, new Map())));
  expect([...found.values()].map(({ dtype, shape }) => ({ name: dtype, dtype, shape }))).toEqual(all);
});

it("writes a file without tensors, and tells names that ggml refuses", async () => {
  const file = await write([], new Map([["general.architecture", "none"]]));
  expect((await parseGgufHeader(new MemorySource(file))).metadata.get("general.architecture")).toBe("none");
  expect(new GgufWriter(new MemorySink(), tensors).longNames).toEqual([LONG_NAME]);
});

it("refuses what the format cannot hold", () => {
  const create = (declared: GgufTensorDeclaration[], key = "k", value: WritableMetadataValue = 1) =>
    new GgufWriter(new MemorySink(), declared, { metadata: new Map([[key, value]]) });
  expect(() => create([tensors[0]!, tensors[0]!])).toThrow(ConfigError);
  expect(() => create([{ name: "c", dtype: "F32", shape: [1, 2, 3, 4, 5] }])).toThrow(UnsupportedError);
  expect(() => create([{ name: "c", dtype: "Q8_0", shape: [2, 33] }])).toThrow("row length 33");
  expect(() => create([], "")).toThrow(ConfigError);
  expect(() => create([], "k", { type: "u8", value: 256 })).toThrow('metadata "k": 256 is no u8');
  expect(() => create([], "k", { type: "i32", value: 0.5 })).toThrow(ConfigError);
  expect(() => create([], "k", { type: "string", value: 1 })).toThrow(ConfigError);
  expect(() => new GgufWriter(new MemorySink(), [], { alignment: 48 })).toThrow(ConfigError);
});

it("refuses data out of order, too long or missing", async () => {
  const writer = new GgufWriter(new MemorySink(), tensors.slice(0, 2));
  await expect(writer.write("proj.weight", new Uint8Array(1))).rejects.toThrow('of "embed.weight"');
  await expect(writer.write("embed.weight", new Uint8Array(31))).rejects.toThrow("30 or fewer");
  await writer.write("embed.weight", new Uint8Array(30));
  await expect(writer.finish()).rejects.toThrow('108 bytes of "proj.weight" are missing');
});

it("reads a vocabulary of 151,936 tokens", async () => {
  const tokens = Array.from({ length: 151_936 }, (_, i) => (i % 17 === 0 ? `Ġ✓${i}` : `token${i}`));
  const file = await write([], new Map<string, WritableMetadataValue>([["tokenizer.ggml.tokens", tokens]]));
  const { metadata: found } = await parseGgufHeader(new MemorySource(file));
  expect(found.get("tokenizer.ggml.tokens")).toEqual(tokens);
});
