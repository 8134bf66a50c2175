import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { FormatError, ResourceError, type Weight } from "@voxquant/quant-core";
import { parseCodecConfig } from "./config.js";
import { polyphase, tapMajor } from "./filters.js";
import { checkpointOf, randomCheckpoint, SMALL_CONFIG, type MemoryCheckpoint } from "./testing.js";
import { codebookName, codecTensors, CodecWeights, encoderCodebookName } from "./weights.js";

const config = parseCodecConfig(JSON.stringify(SMALL_CONFIG), "memory");
const tensors = codecTensors(config);

async function weightsOf(checkpoint: MemoryCheckpoint, without: readonly string[] = []): Promise<Weight[]> {
  const weights: Weight[] = [];
  for (const name of checkpoint.tensors.keys()) {
    if (!without.includes(name)) weights.push(await checkpoint.read(name));
  }
  return weights;
}

/** The tensors under our names, as a converter stores them. */
async function converted(checkpoint: MemoryCheckpoint): Promise<Weight[]> {
  const source = new CodecWeights(checkpoint, config);
  const stored: Weight[] = [];
  for (const { name, sharedWith } of tensors) {
    if (sharedWith === null) stored.push(await source.read(name));
  }
  return stored;
}

test("names are unique and short enough for ggml", () => {
  expect(new Set(tensors.map(({ name }) => name)).size).toBe(tensors.length);
  for (const { name } of tensors) expect(new TextEncoder().encode(name).length).toBeLessThan(64);
});

test("a direct tensor has its source's elements, a derived one as many as it says", async () => {
  const checkpoint = randomCheckpoint(config);
  const source = new CodecWeights(checkpoint, config);
  for (const { name, shape, direct, sources } of tensors) {
    const weight = await source.read(name);
    expect(weight.shape).toEqual(shape);
    expect([name, weight.bytes.length]).toEqual([name, 4 * shape.reduce((product, dim) => product * dim, 1)]);
    if (direct) expect(weight.bytes === (await checkpoint.read(sources[0]!)).bytes).toBe(true);
  }
});

test("the published tensors are all known: needed ones by name and shape, the others unused", () => {
  const path = goldensFolder("qwen3-tts-codec", "real-shapes.json");
  if (path === null) return;
  const published = readGoldenJson<{ config: object; tensors: { name: string; shape: number[] }[] }>(path);
  const real = parseCodecConfig(
    JSON.stringify({ model_type: "qwen3_tts_tokenizer_12hz", ...published.config }),
    "published",
  );
  const shapes = new Map(published.tensors.map(({ name, shape }) => [name, shape]));
  const used = new Set<string>();
  for (const { sources, sourceShapes } of codecTensors(real)) {
    sources.forEach((name, i) => {
      expect([name, shapes.get(name)]).toEqual([name, sourceShapes[i]]);
      used.add(name);
    });
  }
  const unused = published.tensors.filter(({ name }) => !used.has(name)).map(({ name }) => name);
  for (const name of unused) {
    expect(name).toMatch(
      /^decoder\.quantizer\..*\.input_proj\.|^encoder\.quantizer\..*\.output_proj\.|\.initialized$|acoustic_.*\.layers\.(1[5-9]|2\d|30)\./,
    );
  }
});

test("taps and phases of a filter lie as the ops read them", () => {
  // [out 1, in 2, kernel 3]: channel 0 has taps 1 2 3, channel 1 has 4 5 6.
  expect([...tapMajor(Float32Array.of(1, 2, 3, 4, 5, 6), 1, 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
  // [in 1, out 1, kernel 4] of stride 2: phase s takes w[s + 2] of the row before and w[s] of its own.
  expect([...polyphase(Float32Array.of(1, 2, 3, 4), 1, 1, 2, 2)]).toEqual([3, 1, 4, 2]);
});

test("nothing is read that was not asked for", async () => {
  const checkpoint = randomCheckpoint(config);
  const source = new CodecWeights(checkpoint, config);
  for (const { name, part } of tensors) if (part === "decoder") await source.read(name);
  expect(checkpoint.reads.filter((name) => name.startsWith("encoder."))).toEqual([]);
});

test("a converted checkpoint reads back the same, in place", async () => {
  const official = new CodecWeights(randomCheckpoint(config), config);
  const stored = await converted(randomCheckpoint(config));
  const own = new CodecWeights(checkpointOf(stored), config);
  for (const { name, sharedWith } of tensors) {
    expect(own.has(name)).toBe(true);
    const weight = await own.read(name);
    expect(Buffer.compare(weight.bytes, (await official.read(name)).bytes)).toBe(0);
    const { bytes } = stored.find((tensor) => tensor.name === (sharedWith ?? name))!;
    expect(weight.bytes === bytes).toBe(true);
  }
});

test("equal codebooks of encoder and decoder are one, others two", async () => {
  const checkpoint = randomCheckpoint(config);
  const source = new CodecWeights(checkpoint, config);
  const decoders = await source.read(codebookName(1));
  expect((await source.read(encoderCodebookName(1))).bytes === decoders.bytes).toBe(true);

  const { sources } = tensors.find(({ name }) => name === encoderCodebookName(1))!;
  const weights = (await weightsOf(checkpoint)).map((weight) => {
    if (weight.name !== sources[0]) return weight;
    const values = new Float32Array(weight.bytes.slice().buffer);
    values[0]! += 1;
    return { ...weight, bytes: new Uint8Array(values.buffer) };
  });
  const differing = new CodecWeights(checkpointOf(weights), config);
  const own = await differing.read(encoderCodebookName(1));
  expect(Buffer.compare(own.bytes, (await differing.read(codebookName(1))).bytes)).not.toBe(0);
});

test("compact holds values of bfloat16 in it", async () => {
  const checkpoint = randomCheckpoint(config);
  const wide = await new CodecWeights(checkpoint, config).read("codec.pre_conv.weight");
  const compact = await new CodecWeights(checkpoint, config, { compact: true }).read("codec.pre_conv.weight");
  expect([wide.dtype, compact.dtype]).toEqual(["F32", "BF16"]);
  const values = new Uint32Array(wide.bytes.slice().buffer);
  expect(new Uint16Array(compact.bytes.slice().buffer)).toEqual(Uint16Array.from(values, (v) => v >>> 16));
  // Folded values need all of float32.
  const folded = await new CodecWeights(checkpoint, config, { compact: true }).read(codebookName(0));
  expect(folded.dtype).toBe("F32");
});

test("missing and misshapen tensors are named", async () => {
  const name = "decoder.pre_conv.conv.weight";
  const checkpoint = randomCheckpoint(config);
  const without = new CodecWeights(checkpointOf(await weightsOf(checkpoint, [name])), config);
  expect(without.has("codec.pre_conv.weight")).toBe(false);
  await expect(without.read("codec.pre_conv.weight")).rejects.toThrow(ResourceError);
  await expect(without.read("codec.pre_conv.weight")).rejects.toThrow(`memory: tensor ${name} is missing`);

  const swapped = (await weightsOf(checkpoint)).map((weight) =>
    weight.name === name ? { ...weight, shape: [...weight.shape].reverse() } : weight,
  );
  const misshapen = new CodecWeights(checkpointOf(swapped), config);
  await expect(misshapen.read("codec.pre_conv.weight")).rejects.toThrow(FormatError);
  await expect(misshapen.read("codec.pre_conv.weight")).rejects.toThrow(
    /shape \[3, 64, 32\], .* asks for \[32, 64, 3\]/,
  );
});
