import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { goldenVariants } from "@voxquant/goldens";
import { FormatError, ResourceError, UnsupportedError } from "../errors.js";
import { MemorySink } from "./byte-sink.js";
import { GgufWriter, type WritableMetadataValue } from "./gguf-writer.js";
import { openCheckpoint } from "./open.js";
import { openModelFiles } from "./model-files.js";
import { writeSafetensors, type SafetensorsTensor } from "./safetensors-writer.js";

let folder: string;
const at = (...names: string[]) => join(folder, ...names);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-open-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function f32(name: string, ...values: number[]): SafetensorsTensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name, dtype: "F32", shape: [values.length], bytes };
}

async function ggufBytes(tensors: SafetensorsTensor[], metadata: Record<string, WritableMetadataValue>) {
  const sink = new MemorySink();
  const declared = tensors.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape }));
  const writer = new GgufWriter(sink, declared, { metadata: new Map(Object.entries(metadata)) });
  for (const { name, bytes } of tensors) await writer.write(name, bytes);
  await writer.finish();
  return sink.concat();
}

const splitKeys = (no: number, count: number, tensors: number): Record<string, WritableMetadataValue> => ({
  "split.no": { type: "u16", value: no },
  "split.count": { type: "u16", value: count },
  "split.tensors.count": { type: "i32", value: tensors },
});

async function floats(source: Parameters<typeof openCheckpoint>[0], name: string): Promise<number[]> {
  const checkpoint = await openCheckpoint(source);
  const { bytes } = await checkpoint.read(name);
  const values = [...new Float32Array(bytes.slice().buffer)];
  await checkpoint.close();
  return values;
}

describe("sources", () => {
  it("opens a path, a file URL, a folder, a Blob and memory alike", async () => {
    const path = at("model.safetensors");
    const tensors = [f32("b", 1, 2, 3), f32("a", -1)];
    await writeSafetensors(path, tensors, { format: "pt" });
    const sink = new MemorySink();
    await writeSafetensors(sink, tensors);
    const bytes = sink.concat();
    for (const source of [
      path,
      pathToFileURL(path),
      pathToFileURL(path).href,
      folder,
      new Blob([bytes]),
      bytes,
      bytes.buffer,
    ]) {
      expect(await floats(source, "b")).toEqual([1, 2, 3]);
      expect(await floats(source, "a")).toEqual([-1]);
    }
    const checkpoint = await openCheckpoint(path, { map: false });
    expect(checkpoint.files).toEqual([{ name: "model.safetensors", byteLength: statSync(path).size }]);
    expect(checkpoint.metadata.get("format")).toBe("pt");
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b"]);
    expect(await checkpoint.readRange("b", 4, 8)).toEqual(new Uint8Array(Float32Array.of(2).buffer));
    await expect(checkpoint.readRange("b", 4, 13)).rejects.toThrow(RangeError);
    await expect(checkpoint.read("c")).rejects.toThrow(ResourceError);
    await checkpoint.close();
    await expect(checkpoint.read("b")).rejects.toThrow("the file was closed");
  });

  it("lists dtypes that ggml lacks, and refuses them as weights", async () => {
    await writeSafetensors(at("m.safetensors"), [
      { name: "mask", dtype: "BOOL", shape: [3], bytes: Uint8Array.of(1, 0, 1) },
    ]);
    const checkpoint = await openCheckpoint(at("m.safetensors"));
    await expect(checkpoint.read("mask")).rejects.toThrow(UnsupportedError);
    expect(await checkpoint.readRange("mask", 0, 3)).toEqual(Uint8Array.of(1, 0, 1));
    await checkpoint.close();
  });

  it("reads beyond 4 GiB", async () => {
    const size = 5 * 2 ** 30;
    const header = Buffer.from(`{"huge":{"dtype":"U8","shape":[${size}],"data_offsets":[0,${size}]}}`);
    const preamble = Buffer.alloc(8);
    preamble.writeBigUInt64LE(BigInt(header.length));
    const path = at("huge.safetensors");
    writeFileSync(path, Buffer.concat([preamble, header]));
    truncateSync(path, 8 + header.length + size - 4); // sparse
    appendFileSync(path, Uint8Array.of(1, 2, 3, 4));
    const checkpoint = await openCheckpoint(path);
    expect(await checkpoint.readRange("huge", size - 5, size - 1)).toEqual(Uint8Array.of(0, 1, 2, 3));
    await checkpoint.close();
  });
});

describe("shards", () => {
  it("follows an index, and takes each tensor from the file it names", async () => {
    await writeSafetensors(at("one.safetensors"), [f32("a", 1), f32("both", 1)]);
    await writeSafetensors(at("two.safetensors"), [f32("b", 2), f32("both", 2)]);
    const weightMap = { a: "one.safetensors", b: "two.safetensors", both: "two.safetensors" };
    writeFileSync(
      at("model.safetensors.index.json"),
      JSON.stringify({ metadata: {}, weight_map: weightMap }),
    );
    for (const source of [folder, at("model.safetensors.index.json")]) {
      expect(await floats(source, "a")).toEqual([1]);
      expect(await floats(source, "both")).toEqual([2]);
    }
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.files.map(({ name }) => name)).toEqual(["one.safetensors", "two.safetensors"]);
    await checkpoint.close();
  });

  it.each([
    ["../x.safetensors", FormatError, "plain file name"],
    ["/etc/passwd", FormatError, "plain file name"],
    ["..\\x", FormatError, "plain file name"],
    ["missing.safetensors", ResourceError, "missing.safetensors: this shard of the checkpoint is missing"],
    [3, FormatError, "gives no file name"],
  ])("refuses an index that names %s", async (name, type, message) => {
    writeFileSync(at("model.safetensors.index.json"), JSON.stringify({ weight_map: { a: name } }));
    await expect(openCheckpoint(folder)).rejects.toThrow(type);
    await expect(openCheckpoint(folder)).rejects.toThrow(message);
  });

  it("refuses an index that does not fit its shards, or is none", async () => {
    await writeSafetensors(at("one.safetensors"), [f32("a", 1)]);
    const index = at("model.safetensors.index.json");
    writeFileSync(index, JSON.stringify({ weight_map: { b: "one.safetensors" } }));
    await expect(openCheckpoint(folder)).rejects.toThrow('places tensor "b" in one.safetensors');
    for (const text of ["{", "[]", "{}", '{"weight_map":{}}']) {
      writeFileSync(index, text);
      await expect(openCheckpoint(folder)).rejects.toThrow(FormatError);
    }
  });

  it("finds shards without an index, all of them", async () => {
    const nameOf = (i: number) => `model-0000${i}-of-00003.safetensors`;
    for (const i of [1, 2, 3]) await writeSafetensors(at(nameOf(i)), [f32(`t${i}`, i)]);
    expect(await floats(folder, "t3")).toEqual([3]);
    rmSync(at(nameOf(2)));
    await expect(openCheckpoint(folder)).rejects.toThrow(/model-00002-of-00003.*missing/);
    await writeSafetensors(at(nameOf(2)), [f32("t1", 1)]);
    await expect(openCheckpoint(folder)).rejects.toThrow('tensor "t1" is in');
    writeFileSync(at("model-00001-of-00002.safetensors"), "");
    await expect(openCheckpoint(folder)).rejects.toThrow("different sets");
  });

  it("merges a split GGUF", async () => {
    const nameOf = (i: number) => at(`m-0000${i}-of-00002.gguf`);
    const first = { "general.architecture": "x", ...splitKeys(0, 2, 2) };
    writeFileSync(nameOf(1), await ggufBytes([f32("a", 1)], first));
    await expect(openCheckpoint(nameOf(1))).rejects.toThrow(/m-00002-of-00002\.gguf.*missing/);
    writeFileSync(nameOf(2), await ggufBytes([f32("b", 2, 3)], splitKeys(1, 2, 2)));
    expect(await floats(nameOf(1), "a")).toEqual([1]);
    expect(await floats(nameOf(1), "b")).toEqual([2, 3]);
    const checkpoint = await openCheckpoint(nameOf(1));
    expect([...checkpoint.metadata.keys()]).toEqual(["general.architecture"]);
    await checkpoint.close();
    await expect(openCheckpoint(nameOf(2))).rejects.toThrow(
      "part 2 of a split file; open the first, m-00001-of-00002.gguf",
    );
    writeFileSync(nameOf(2), await ggufBytes([f32("b", 2)], splitKeys(0, 2, 2)));
    await expect(openCheckpoint(nameOf(1))).rejects.toThrow("split.no is 0, expected 1");
    writeFileSync(nameOf(2), await ggufBytes([], splitKeys(1, 2, 2)));
    await expect(openCheckpoint(nameOf(1))).rejects.toThrow(
      "split.tensors.count is 2, its 2 files have 1 tensors",
    );
    const renamed = at("other.gguf");
    renameSync(nameOf(1), renamed);
    await expect(openCheckpoint(renamed)).rejects.toThrow("give the parts their names back");
    await expect(openCheckpoint(await ggufBytes([], splitKeys(0, 2, 0)))).rejects.toThrow(UnsupportedError);
  });
});

describe("what is no checkpoint", () => {
  it.each([
    ["PK\x03\x04....", "ZIP archive"],
    ["\x80\x02}q", "Python pickle"],
    ["<!DOCTYPE html><html>", "web page"],
    ["version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"],
    ['{"error": "not found"}', "JSON file"],
    ["lmgg....", "before GGUF"],
    ["\0".repeat(100), "all zeros"],
    ["", "the file is empty"],
    ["hello, world", "begins with bytes 68 65 6c 6c"],
  ])("%j is refused: %s", async (content, message) => {
    for (const name of ["model.safetensors", "model.gguf"]) {
      writeFileSync(at(name), content, "latin1");
      await expect(openCheckpoint(at(name))).rejects.toThrow(FormatError);
      await expect(openCheckpoint(at(name))).rejects.toThrow(message);
    }
  });

  it("says what is missing, or in the way", async () => {
    await expect(openCheckpoint(at("none.gguf"))).rejects.toThrow("there is no such file");
    await expect(openCheckpoint(at("none.gguf"))).rejects.toThrow(ResourceError);
    writeFileSync(at("pytorch_model.bin"), "");
    await expect(openCheckpoint(folder)).rejects.toThrow('found: "pytorch_model.bin"');
    mkdirSync(at("model.safetensors"));
    await expect(openCheckpoint(folder)).rejects.toThrow("not a regular file");
  });

  it("tells truncated files", async () => {
    await writeSafetensors(at("m.safetensors"), [f32("a", 1, 2, 3)]);
    for (const length of [statSync(at("m.safetensors")).size - 1, 40]) {
      truncateSync(at("m.safetensors"), length);
      await expect(openCheckpoint(at("m.safetensors"))).rejects.toThrow("truncated");
    }
    const bytes = await ggufBytes([f32("a", 1, 2, 3)], { "a.key": "value" });
    for (const length of [bytes.length - 32, 60, 30, 6]) {
      writeFileSync(at("m.gguf"), bytes.subarray(0, length));
      await expect(openCheckpoint(at("m.gguf"))).rejects.toThrow("truncated");
    }
  });
});

describe.each([{ map: false }, { map: true }])("a file that changes while it is open ($map)", (options) => {
  const open = async () => {
    const path = at("m.safetensors");
    await writeSafetensors(path, [f32("a", ...new Float32Array(8192))]);
    const checkpoint = await openCheckpoint(path, options);
    await checkpoint.verifyUnchanged();
    return { path, checkpoint };
  };

  it("is noticed when cut", async () => {
    const { path, checkpoint } = await open();
    truncateSync(path, 1000);
    await expect(checkpoint.read("a")).rejects.toThrow("was cut while in use");
    await expect(checkpoint.verifyUnchanged()).rejects.toThrow(ResourceError);
    await checkpoint.close();
  });

  it("is noticed when written to, replaced or removed; a replaced one is still read as it was", async () => {
    const { path, checkpoint } = await open();
    appendFileSync(path, "x");
    await expect(checkpoint.verifyUnchanged()).rejects.toThrow("changed its size");
    await writeSafetensors(path, [f32("a", 1)]);
    await expect(checkpoint.verifyUnchanged()).rejects.toThrow("was replaced");
    expect((await checkpoint.read("a")).bytes.length).toBe(32768);
    rmSync(path);
    await expect(checkpoint.verifyUnchanged()).rejects.toThrow("was removed");
    await checkpoint.close();
  });
});

describe("model files", () => {
  it("come from the folder, also that of a file", async () => {
    writeFileSync(at("config.json"), '{"a":"é"}');
    writeFileSync(at("m.gguf"), "");
    writeFileSync(at("bad.txt"), Uint8Array.of(0xff, 0xfe));
    for (const source of [folder, at("m.gguf")]) {
      const files = await openModelFiles(source);
      expect(files.location).toBe(folder);
      expect(await files.readText("config.json")).toBe('{"a":"é"}');
      expect(await files.readText("vocab.json")).toBeNull();
      await expect(files.readText("bad.txt")).rejects.toThrow(FormatError);
      await expect(files.readText("../config.json")).rejects.toThrow("plain file name");
    }
  });

  it("come from the checkpoint first", async () => {
    writeFileSync(at("config.json"), "folder");
    writeFileSync(at("vocab.json"), "folder");
    const bytes = await ggufBytes([], { "voxquant.file.config.json": "embedded" });
    const checkpoint = await openCheckpoint(bytes);
    const files = await openModelFiles(folder, checkpoint);
    expect(await files.readText("config.json")).toBe("embedded");
    expect(await files.readText("vocab.json")).toBe("folder");
    const alone = await openModelFiles(bytes, checkpoint);
    expect(await alone.readText("config.json")).toBe("embedded");
    expect(await alone.readText("vocab.json")).toBeNull();
  });
});

it.each(goldenVariants("qwen3-asr"))(
  "opens the checkpoint of qwen3-asr/$name",
  async ({ folder: variant }) => {
    const checkpoint = await openCheckpoint(variant);
    expect(checkpoint.tensors.size).toBeGreaterThan(0);
    for (const { name, byteLength } of checkpoint.tensors.values()) {
      const weight = await checkpoint.read(name);
      expect(weight.bytes.length).toBe(byteLength);
    }
    expect(JSON.parse((await (await openModelFiles(variant)).readText("config.json"))!)).toHaveProperty(
      "model_type",
    );
    await checkpoint.close();
  },
);
