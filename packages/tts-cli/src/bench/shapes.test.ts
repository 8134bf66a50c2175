import { codecTensors, parseCodecConfig } from "@voxquant/acoustic-model";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { SYNTHETIC_SIZES, codecShapes, talkerShapes, type SyntheticName } from "./shapes.js";

const NAMES = Object.keys(SYNTHETIC_SIZES) as SyntheticName[];

interface ShapeList {
  list: [name: string, kind: string, shape: number[]][];
}

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe.each(NAMES)("%s", (name) => {
  const size = name.replace("qwen3-tts-", "");
  const shapes = talkerShapes(SYNTHETIC_SIZES[name]);

  test("talker and code predictor have the published names and shapes", () => {
    const path = goldensFolder("qwen3-tts", "tensor-lists", `real-shapes-${size}-base.json`);
    if (path === null) return;
    const published = readGoldenJson<ShapeList>(path).list.filter(([tensor]) => tensor.startsWith("talker."));
    const own = new Map(shapes.map((tensor) => [tensor.name, tensor]));
    expect([...own.keys()].sort()).toEqual(published.map(([tensor]) => tensor).sort());
    for (const [tensor, kind, shape] of published) {
      const { role, shape: ownShape } = own.get(tensor)!;
      expect([tensor, ownShape]).toEqual([tensor, shape]);
      const ownKind = role.endsWith("-output") ? "linear" : role.replace("final-", "");
      expect([tensor, ownKind]).toEqual([tensor, kind]);
    }
  });

  test("they are as many parameters as published", () => {
    const path = goldensFolder("qwen3-tts", "tensor-lists", "real-totals.json");
    if (path === null) return;
    const totals = readGoldenJson<Record<string, { tensors: number; parameters: number }>>(path);
    const published = totals[`${size}-customvoice`];
    if (published === undefined) return;
    expect({
      tensors: shapes.length,
      parameters: shapes.reduce((sum, { shape }) => sum + count(shape), 0),
    }).toEqual(published);
  });
});

test("the codec comes from the published tensors", () => {
  const path = goldensFolder("qwen3-tts-codec", "real-shapes.json");
  if (path === null) return;
  const published = readGoldenJson<{
    config: Record<string, unknown> & { decoder_config: Record<string, unknown> };
    tensors: { name: string; shape: number[] }[];
  }>(path);
  const { codec } = SYNTHETIC_SIZES["qwen3-tts-0.6b"];
  const { decoder_config: decoder, ...top } = codec;
  expect(published.config).toMatchObject(top);
  expect(published.config.decoder_config).toMatchObject(decoder);

  const tensors = codecTensors(parseCodecConfig(JSON.stringify(codec), "test"));
  const shapes = new Map(published.tensors.map(({ name, shape }) => [name, shape]));
  for (const { sources, sourceShapes } of tensors)
    sources.forEach((source, i) => expect([source, shapes.get(source)]).toEqual([source, sourceShapes[i]]));
  const used = new Set(tensors.flatMap(({ sources }) => sources));
  const left = published.tensors.filter(({ name }) => name.startsWith("decoder.") && !used.has(name));
  // What only training and the unused ends of the quantizers have.
  expect(left.filter(({ name }) => !/\.(input_proj|output_proj)\.|_codebook\./.test(name))).toEqual([]);
  expect(codecShapes(SYNTHETIC_SIZES["qwen3-tts-0.6b"]).map(({ name }) => name)).toEqual(
    tensors.map(({ name }) => name),
  );
});
