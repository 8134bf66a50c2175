import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { engine, tensor2d } from "@tensorflow/tfjs-core";
import { compareWaveforms, resample, toMono } from "@voxquant/audio";
import {
  compareCase,
  GOLDEN_BACKENDS,
  GoldenModels,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  whereAvailable,
  type GoldenBackend,
  type GoldenCase,
  type GoldenTensor,
  type GoldenVariant,
} from "@voxquant/goldens";
import { EventLoopBreak, type TraceSink, type WeightSource } from "@voxquant/nn";
import { openCheckpoint, Runtime, selectDevice, type Weight } from "@voxquant/quant-core";
import { parseCodecConfig } from "./config.js";
import { CodecEncoder } from "./encode.js";
import { EncoderTransformer } from "./encoder.js";
import { Codebook } from "./residual-quantizer.js";
import { CodecWeights } from "./weights.js";

const FAMILY = "qwen3-tts-codec";
const rules = new ToleranceRules(FAMILY);
const variants = goldenVariants(FAMILY);

interface CaseJson {
  readonly kind: string;
  readonly source_sample_rate?: number;
  readonly items?: readonly { readonly frames: number }[];
  readonly lengths?: readonly { readonly samples: number; readonly frames: number }[];
}

const runtimeOn = async (backend: GoldenBackend) =>
  new Runtime((await selectDevice(backend)).device, "exact");

const models = new GoldenModels(async (variant, backend) => {
  const runtime = await runtimeOn(backend);
  const folder = join(variant.folder, "speech_tokenizer");
  const config = parseCodecConfig(readFileSync(join(folder, "config.json"), "utf8"), variant.folder);
  const weights = new CodecWeights(await openCheckpoint(folder), config);
  return { runtime, config, weights, encoder: await CodecEncoder.load(runtime, weights, config) };
});

type Loaded = NonNullable<Awaited<ReturnType<typeof models.of>>>;

/** Compares every tensor of a case that its rule wants compared. */
function expectTensors(
  variant: GoldenVariant,
  golden: GoldenCase,
  expected: ReadonlyMap<string, GoldenTensor>,
  actual: ReadonlyMap<string, GoldenTensor>,
  except: ReadonlySet<string> = new Set(),
): void {
  compareCase(rules, variant, golden, expected, (name, tensor) => {
    if (except.has(name)) return null;
    const traced = actual.get(name);
    if (traced !== undefined) expect([name, traced.shape]).toEqual([name, tensor.shape]);
    return traced?.data;
  });
}

const samplesOf = (tensors: ReadonlyMap<string, GoldenTensor>, name: string) =>
  tensors.get(name)!.data as Float32Array;

const encode = (encoder: CodecEncoder, samples: Float32Array, trace?: TraceSink) =>
  encoder.encode(samples, new EventLoopBreak(), trace);

/** The mean of interleaved channels. */
function monoOf({ shape, data }: GoldenTensor): Float32Array {
  const [length, count] = shape as [number, number];
  return toMono({
    channels: Array.from({ length: count }, (_, c) =>
      Float32Array.from({ length }, (_, i) => data[i * count + c]!),
    ),
  });
}

type Runner = (
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  tensors: ReadonlyMap<string, GoldenTensor>,
  model: Loaded,
) => Promise<void>;

/** By the `kind` of a case. */
const RUNNERS: Readonly<Record<string, Runner>> = {
  encode: async (variant, golden, json, tensors, { encoder }) => {
    const stereo = tensors.get("stereo");
    const samples = samplesOf(tensors, "wav");
    if (stereo !== undefined) expect(monoOf(stereo)).toEqual(samples);
    const traced = new Map<string, GoldenTensor>();
    await encode(encoder, samples, (name, tensor) => traced.set(name, tensor));
    expectTensors(variant, golden, tensors, traced);
    expect(await encode(encoder, samples)).toEqual(traced.get("codes")!.data);
    const at16k = tensors.get("wav16");
    if (at16k !== undefined) {
      // Another filter than the reference's, so that codes may differ; the same clip nevertheless.
      const ours = resample(
        at16k.data as Float32Array,
        json.source_sample_rate ?? 16000,
        encoder.config.sampleRate,
      );
      expect(ours.length).toBe(samples.length);
      expect(compareWaveforms(samples, ours, encoder.config.sampleRate).correlation).toBeGreaterThan(0.98);
    }
  },
  roundtrip: async (variant, golden, _json, tensors, { encoder }) => {
    const codes = await encode(encoder, samplesOf(tensors, "wav"));
    const actual = new Map([["codes", { shape: tensors.get("codes")!.shape, data: codes }]]);
    expectTensors(variant, golden, tensors, actual, new Set(["wav_out"])); // decoded in goldens.test.ts
  },
  "encode-batch": async (variant, golden, json, tensors, { encoder, config }) => {
    const actual = new Map<string, GoldenTensor>();
    for (const [i, { frames }] of json.items!.entries()) {
      const codes = await encode(encoder, samplesOf(tensors, `wav.${i}`));
      actual.set(`codes_alone.${i}`, { shape: [frames, config.groups], data: codes });
    }
    expectTensors(variant, golden, tensors, actual);
  },
  "encode-lengths": async (variant, golden, json, tensors, { encoder, config }) => {
    const actual = new Map<string, GoldenTensor>();
    for (const { samples, frames } of json.lengths!) {
      expect(encoder.frameCount(samples)).toBe(frames);
      await encode(encoder, samplesOf(tensors, "wav").subarray(0, samples), (name, tensor) =>
        actual.set(`${name}.${samples}`, tensor),
      );
      expect(actual.get(`codes.${samples}`)!.shape).toEqual([frames, config.groups]);
    }
    expectTensors(variant, golden, tensors, actual);
  },
  stage: async (variant, golden, _json, tensors, { runtime, config, weights }) => {
    const { shape, data } = tensors.get("x")!;
    const transformer = await EncoderTransformer.load(runtime, weights, config.encoder!);
    // In pieces, as a long clip runs.
    const [rows, width] = shape as [number, number];
    const cache = transformer.createCache(runtime, rows);
    const out = new Float32Array(data.length);
    for (let start = 0, count = 1; start < rows; start += count, count = Math.min(3 * count, rows - start)) {
      const piece = (data as Float32Array).subarray(start * width, (start + count) * width);
      const y = runtime.run(() => transformer.forward(tensor2d(piece, [count, width]), cache, start, null));
      out.set(y.dataSync(), start * width);
      y.dispose();
    }
    runtime.releaseKvCache(cache);
    expectTensors(variant, golden, tensors, new Map([["full_causal", { shape, data: out }]]));
  },
};

const isOurs = (json: CaseJson, tensors: ReadonlyMap<string, GoldenTensor>) =>
  json.kind in RUNNERS && (json.kind !== "stage" || tensors.has("full_causal"));

const isCheckpoint = ({ folder }: GoldenVariant) =>
  existsSync(join(folder, "speech_tokenizer", "config.json"));

for (const variant of variants.filter(isCheckpoint)) {
  describe.each(GOLDEN_BACKENDS)(`${variant.name} on %s`, (backend) => {
    for (const golden of variant.cases) {
      if (golden.tensorsPath === null) continue;
      const json = readGoldenJson<CaseJson>(golden.jsonPath);
      const tensors = readTensors(golden.tensorsPath);
      if (!isOurs(json, tensors)) continue;
      test(golden.name, async () => {
        const model = await models.of(variant, backend);
        if (model !== null) await RUNNERS[json.kind]!(variant, golden, json, tensors, model);
      });
    }

    test("no samples, and an aborted call, are errors; no tensors are left behind", async () => {
      const model = await models.of(variant, backend);
      if (model === null) return;
      await expect(encode(model.encoder, new Float32Array(0))).rejects.toThrow(/no samples/);
      const { numTensors } = engine().memory();
      const reason = new Error("enough");
      const aborted = new EventLoopBreak(AbortSignal.abort(reason));
      await expect(model.encoder.encode(new Float32Array(5000), aborted)).rejects.toBe(reason);
      await encode(model.encoder, new Float32Array(5000));
      expect(engine().memory().numTensors).toBe(numTensors);
    });
  });
}

const searches = variants.flatMap((variant) =>
  variant.cases.flatMap((golden) => {
    const tensors =
      golden.tensorsPath === null ? new Map<string, GoldenTensor>() : readTensors(golden.tensorsPath);
    return tensors.has("table") && tensors.has("index") ? [{ variant, golden, tensors }] : [];
  }),
);

describe.each(GOLDEN_BACKENDS)("nearest entries on %s", (backend) => {
  if (searches.length === 0) test.skip("no goldens", () => undefined);
  for (const { variant, golden, tensors } of searches) {
    test(golden.name, async () => {
      const runtime = await whereAvailable(backend, () => runtimeOn(backend));
      if (runtime === null) return;
      const table = tensors.get("table")!;
      const weight: Weight = {
        name: "table",
        dtype: "F32",
        shape: table.shape,
        bytes: new Uint8Array(table.data.buffer),
      };
      const source: WeightSource = {
        has: () => true,
        read: () => Promise.resolve(weight),
        readVector: () => Promise.resolve(table.data as Float32Array),
      };
      const codebook = await Codebook.load(runtime, source, "table");
      const index = codebook.nearest(tensors.get("h")!.data as Float32Array);
      const { shape } = tensors.get("index")!;
      expectTensors(variant, golden, tensors, new Map([["index", { shape, data: index }]]));
    });
  }
});
