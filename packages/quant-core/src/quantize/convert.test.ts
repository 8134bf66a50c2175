import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, FormatError, ResourceError } from "../errors.js";
import { floatsToBf16s } from "../formats/half.js";
import { openModelFiles } from "../formats/model-files.js";
import { openCheckpoint } from "../formats/open.js";
import { writeSafetensors, type SafetensorsTensor } from "../formats/safetensors-writer.js";
import { compareCheckpoints } from "./compare.js";
import { quantizeCheckpoint, type QuantizeOptions } from "./convert.js";
import { dequantize } from "./dequantize.js";
import { readImportance, writeImportance } from "./importance.js";
import { quantizeRows } from "./quantize-rows.js";
import { GENERIC_PROFILE, type QuantizeProfile } from "./recipe.js";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-quantize-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const profile: QuantizeProfile = {
  ...GENERIC_PROFILE,
  architecture: "toy",
  tiedHead: { head: "head.weight", embedding: "embed_tokens.weight" },
};

const { imul } = Math;

function values(count: number, seed = 1): Float32Array {
  const x = new Float32Array(count);
  for (let i = 0, state = seed; i < count; i++) {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    x[i] = state / 2 ** 32 - 0.5;
  }
  return x;
}

/** Rounded to bfloat16, as the checkpoint holds them. */
function bf16(
  name: string,
  shape: readonly number[],
  x = values(shape.reduce((a, b) => a * b, 1)),
): SafetensorsTensor {
  const bits = new Uint16Array(x.length);
  floatsToBf16s(x, bits);
  return { name, dtype: "BF16", shape, bytes: new Uint8Array(bits.buffer) };
}

function f32(name: string, shape: readonly number[], x: Float32Array): SafetensorsTensor {
  return { name, dtype: "F32", shape, bytes: new Uint8Array(x.buffer) };
}

async function model(...tensors: SafetensorsTensor[]): Promise<string> {
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return folder;
}

function options(more: Partial<QuantizeOptions> = {}): QuantizeOptions {
  return { input: folder, output: join(folder, "out.gguf"), qtype: "q8_0", scope: "all", ...more };
}

async function readValues(path: string, name: string): Promise<Float32Array> {
  const checkpoint = await openCheckpoint(path);
  const { dtype, shape, bytes } = await checkpoint.read(name);
  const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
  dequantize(dtype, bytes, out);
  await checkpoint.close();
  return out;
}

/** Everything but the model that a test wrote. */
function leftovers(): string[] {
  return readdirSync(folder).filter((name) => name !== "model.safetensors");
}

test("one complete file: blocks, metadata, the model's files, no tied head", async () => {
  const matrix = values(3 * 512, 7);
  const embedding = bf16("embed_tokens.weight", [5, 64]);
  await model(
    f32("layer.weight", [3, 512], matrix),
    bf16("norm.weight", [64]),
    embedding,
    { ...embedding, name: "head.weight" },
    bf16("conv.weight", [4, 8, 3, 4]),
  );
  writeFileSync(join(folder, "config.json"), '{"model_type":"toy"}');
  writeFileSync(join(folder, "merges.txt"), "a b\n");
  const progress: number[] = [];
  const report = await quantizeCheckpoint(
    options({
      qtype: "q4_k",
      onProgress: ({ bytesDone, bytesTotal }) => progress.push(bytesDone / bytesTotal),
    }),
    profile,
  );
  expect(report.droppedHead).toBe("head.weight");
  expect(report.warnings).toEqual([]);
  expect(progress.at(-1)).toBe(1);
  expect(leftovers().sort()).toEqual(["config.json", "merges.txt", "out.gguf"]);

  const file = await openCheckpoint(report.output);
  expect(file.metadata.get("general.architecture")).toBe("toy");
  expect(file.metadata.get("general.file_type")).toBe(14);
  expect(file.metadata.get("general.quantization_version")).toBe(2);
  const types = [...file.tensors.values()].map(
    ({ name, dtype, shape }) => `${name} ${dtype} ${shape.join("x")}`,
  );
  expect(types.sort()).toEqual([
    "conv.weight Q5_0 4x96",
    "embed_tokens.weight BF16 5x64",
    "layer.weight Q4_K 3x512",
    "norm.weight F32 64",
  ]);
  expect((await file.read("layer.weight")).bytes).toEqual(quantizeRows("Q4_K", matrix, 512));
  const files = await openModelFiles(report.output, file);
  expect(await files.readText("merges.txt")).toBe("a b\n");
  await file.close();
  expect(readFileSync(report.output).length).toBe(report.outputBytes);
  expect(report.tensors.find(({ name }) => name === "conv.weight")?.fallback).toMatch(/row length 96/);
});

test("the same bytes with any number of threads, and with tensors larger than a piece", async () => {
  await model(
    bf16("a.weight", [1200, 2048]),
    bf16("b.weight", [3, 96]),
    bf16("embed_tokens.weight", [40, 70_001]),
  );
  const outputs = await Promise.all(
    [1, 2, 5].map(async (threads) => {
      const output = join(folder, `out-${threads}.gguf`);
      await quantizeCheckpoint(options({ output, threads, qtype: "q4_0" }), profile);
      return readFileSync(output);
    }),
  );
  expect(outputs[1]!.equals(outputs[0]!)).toBe(true);
  expect(outputs[2]!.equals(outputs[0]!)).toBe(true);
});

test("a prefix scope writes F16 for the rest, without the model's files", async () => {
  await model(
    bf16("d.layer.weight", [4, 64]),
    bf16("d.embed_tokens.weight", [4, 64]),
    bf16("e.layer.weight", [4, 64]),
  );
  writeFileSync(join(folder, "config.json"), "{}");
  const { output } = await quantizeCheckpoint(options({ scope: "d." }), profile);
  const file = await openCheckpoint(output);
  expect([...file.tensors.values()].map(({ name, dtype }) => `${name} ${dtype}`).sort()).toEqual([
    "d.embed_tokens.weight F16",
    "d.layer.weight Q8_0",
  ]);
  expect([...file.metadata.keys()].filter((key) => key.startsWith("voxquant."))).toEqual([]);
  await file.close();
});

test("values beyond a type's range make it fall back: F16, then what the source has", async () => {
  const large = new Float32Array(64).fill(5e6);
  const larger = new Float32Array(64).fill(-3e7);
  const half = values(64).map((x) => 1e5 * x);
  await model(
    f32("fits.weight", [2, 32], large),
    f32("overflows.weight", [2, 32], larger),
    bf16("embed_tokens.weight", [2, 32], half),
  );
  const report = await quantizeCheckpoint(options(), profile);
  const types = Object.fromEntries(report.tensors.map(({ name, to, fallback }) => [name, [to, fallback]]));
  expect(types["fits.weight"]).toEqual(["Q8_0", null]);
  expect(types["overflows.weight"]).toEqual(["F32", "values too large for F16"]);
  expect(await readValues(report.output, "overflows.weight")).toEqual(larger);

  const legacy = await quantizeCheckpoint(options({ scope: "embed", force: true }), profile);
  expect(legacy.tensors[0]).toMatchObject({ to: "F16", fallback: null });
  await model(
    bf16(
      "embed_tokens.weight",
      [2, 32],
      half.map((x) => 2 * x),
    ),
  );
  const wide = await quantizeCheckpoint(options({ scope: "embed", force: true }), profile);
  expect(wide.tensors[0]).toMatchObject({ to: "BF16", fallback: "values too large for F16" });
});

test("a head that differs from the embedding is dropped with a warning", async () => {
  await model(bf16("embed_tokens.weight", [5, 64]), bf16("head.weight", [5, 64], values(320, 99)));
  const warnings: string[] = [];
  await quantizeCheckpoint(options({ onWarning: (message) => warnings.push(message) }), profile);
  expect(warnings).toEqual([expect.stringMatching(/head\.weight is left out.*values differ/)]);
});

test("GGUF to GGUF: metadata kept, quantized again with a warning, copied where the type is the same", async () => {
  await model(bf16("a.weight", [4, 256]), bf16("embed_tokens.weight", [4, 256]));
  writeFileSync(join(folder, "config.json"), '{"a":1}');
  const first = await quantizeCheckpoint(options({ quantizeEmbeddings: true }), profile);
  const output = join(folder, "second.gguf");
  const again = { ...options({ input: first.output, output, qtype: "q4_0" }) };
  const second = await quantizeCheckpoint(again, GENERIC_PROFILE);
  expect(second.warnings).toEqual([expect.stringMatching(/1 tensors are quantized already \(Q8_0\)/)]);
  expect(second.tensors.map(({ name, from, to }) => `${name} ${from} ${to}`).sort()).toEqual([
    "a.weight Q8_0 Q4_0",
    "embed_tokens.weight Q8_0 Q8_0",
  ]);
  const file = await openCheckpoint(output);
  expect(file.metadata.get("general.architecture")).toBe("toy");
  expect(file.metadata.get("general.file_type")).toBe(2);
  expect(file.metadata.get("voxquant.file.config.json")).toBe('{"a":1}');
  const original = await readValues(first.output, "a.weight");
  expect((await file.read("a.weight")).bytes).toEqual(quantizeRows("Q4_0", original, 256));
  await file.close();
});

test("importance: weights the errors; files go round; what does not fit is refused", async () => {
  const x = values(2 * 64, 3);
  await model(f32("a.weight", [2, 64], x), f32("b.weight", [2, 64], x));
  const sums = Float32Array.from({ length: 64 }, (_, i) => 8 * (1 + (i % 7)));
  const path = join(folder, "imatrix.gguf");
  const origin = { datasets: ["speech.wav"], chunks: 4, chunkSize: 2 };
  await writeImportance(path, new Map([["a.weight", { sums, count: 8 }]]), origin);
  const means = sums.map((sum) => sum / 8);
  expect(await readImportance(path)).toEqual(new Map([["a.weight", means]]));

  const report = await quantizeCheckpoint(options({ qtype: "q4_0", imatrix: path }), profile);
  expect(report.warnings).toEqual([expect.stringMatching(/nothing for 1 of 2 tensors, such as b\.weight/)]);
  const file = await openCheckpoint(report.output);
  expect((await file.read("a.weight")).bytes).toEqual(quantizeRows("Q4_0", x, 64, means));
  expect((await file.read("b.weight")).bytes).toEqual(quantizeRows("Q4_0", x, 64));
  expect(file.metadata.get("quantize.imatrix.file")).toBe("imatrix.gguf");
  await file.close();

  const output = join(folder, "other.gguf");
  const narrow = join(folder, "narrow.gguf");
  await writeImportance(narrow, new Map([["a.weight", { sums: sums.subarray(0, 32), count: 8 }]]), origin);
  await expect(quantizeCheckpoint(options({ output, imatrix: narrow }), profile)).rejects.toThrow(
    /32 columns for a\.weight, which has 64/,
  );
  await expect(quantizeCheckpoint(options({ output, imatrix: report.output }), profile)).rejects.toThrow(
    /no tensor is named NAME\.in_sum2/,
  );
  const foreign = join(folder, "foreign.gguf");
  await writeImportance(foreign, new Map([["c.weight", { sums, count: 8 }]]), origin);
  await expect(quantizeCheckpoint(options({ output, imatrix: foreign }), profile)).rejects.toThrow(
    ConfigError,
  );
  expect(existsSync(output)).toBe(false);
});

test("the errors of each tensor against the source", async () => {
  const x = values(4 * 512, 11);
  await model(
    f32("a.weight", [4, 512], x),
    bf16("norm.weight", [512]),
    bf16("conv.weight", [4, 8, 4, 2]),
    bf16("only.here", [3]),
  );
  const { output } = await quantizeCheckpoint(options({ qtype: "q4_0" }), profile);
  const source = await openCheckpoint(folder);
  const quantized = await openCheckpoint(output);
  const report = await compareCheckpoints(source, quantized);
  const decoded = await readValues(output, "a.weight");
  const noise = x.reduce((sum, value, i) => sum + (value - decoded[i]!) ** 2, 0);
  const signal = x.reduce((sum, value) => sum + value ** 2, 0);
  const a = report.tensors.find(({ name }) => name === "a.weight")!;
  expect(a.relativeRmse).toBeCloseTo(Math.sqrt(noise / signal), 10);
  expect(a.snrDb).toBeCloseTo(10 * Math.log10(signal / noise), 6);
  expect(a.maxError).toBe(Math.max(...x.map((value, i) => Math.abs(value - decoded[i]!))));
  expect(report.tensors.find(({ name }) => name === "norm.weight")).toMatchObject({
    relativeRmse: 0,
    snrDb: Infinity,
  });
  expect(report.tensors.find(({ name }) => name === "conv.weight")).toMatchObject({
    to: "Q4_0",
    shape: [4, 64],
  });
  expect(report.notCompared).toEqual([]);
  await source.close();
  await quantized.close();
});

describe("nothing is left when", () => {
  test("the signal aborts", async () => {
    await model(bf16("a.weight", [3000, 2048]));
    const controller = new AbortController();
    const conversion = quantizeCheckpoint(
      options({ signal: controller.signal, onProgress: () => controller.abort() }),
      profile,
    );
    await expect(conversion).rejects.toThrow(/abort/i);
    expect(leftovers()).toEqual([]);
  });

  test("a value is not finite", async () => {
    const x = values(64);
    x[40] = NaN;
    await model(f32("a.weight", [2, 32], x));
    await expect(quantizeCheckpoint(options(), profile)).rejects.toThrow(
      /tensor a\.weight.*NaN in row 1, column 8/,
    );
    await expect(quantizeCheckpoint(options(), profile)).rejects.toThrow(FormatError);
    expect(leftovers()).toEqual([]);
  });

  test("the input is cut while it is read", async () => {
    await model(bf16("a.weight", [3000, 2048]));
    const cut = () => truncateSync(join(folder, "model.safetensors"), 100_000);
    await expect(quantizeCheckpoint(options({ onProgress: cut }), profile)).rejects.toThrow(ResourceError);
    expect(leftovers()).toEqual([]);
  });

  test("the folder of the output is missing, or the scope matches nothing", async () => {
    await model(bf16("a.weight", [3, 64]));
    await expect(
      quantizeCheckpoint(options({ output: join(folder, "no", "out.gguf") }), profile),
    ).rejects.toThrow(ResourceError);
    await expect(quantizeCheckpoint(options({ scope: "x." }), profile)).rejects.toThrow(ConfigError);
    expect(leftovers()).toEqual([]);
  });
});

test("an existing output stays without force, the input always", async () => {
  await model(bf16("a.weight", [3, 64]));
  const output = join(folder, "out.gguf");
  writeFileSync(output, "precious");
  await expect(quantizeCheckpoint(options(), profile)).rejects.toThrow(/exists already/);
  expect(readFileSync(output, "utf8")).toBe("precious");
  const onto = options({ output: join(folder, "model.safetensors"), force: true });
  await expect(quantizeCheckpoint(onto, profile)).rejects.toThrow(/is a file of the input/);
  await quantizeCheckpoint(options({ force: true }), profile);
  expect(readFileSync(output).subarray(0, 4).toString()).toBe("GGUF");
});
