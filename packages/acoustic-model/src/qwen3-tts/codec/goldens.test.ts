import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  compareCase,
  compareTensor,
  GOLDEN_BACKENDS,
  GoldenModels,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
  type GoldenTensor,
  type GoldenVariant,
} from "@voxquant/goldens";
import { ConfigError, openCheckpoint, Runtime, selectDevice } from "@voxquant/quant-core";
import { parseCodecConfig } from "./config.js";
import { CodecDecoder } from "./decoder.js";
import { CodecWeights } from "./weights.js";

const FAMILY = "qwen3-tts-codec";
const rules = new ToleranceRules(FAMILY);

interface CaseJson {
  readonly kind: string;
  readonly stored_waveform_frames?: Readonly<Record<string, readonly [number, number]>>;
  readonly chunked?: readonly {
    readonly chunk_size: number;
    readonly left_context_size: number;
    readonly segment?: readonly [number, number];
    readonly segment_tensor?: string;
  }[];
  readonly rows?: readonly { readonly ref: number; readonly total: number; readonly cut_exact: number }[];
}

type Tensors = ReadonlyMap<string, GoldenTensor>;

function compare(
  variant: GoldenVariant,
  golden: string,
  name: string,
  actual: ArrayLike<number>,
  expected: GoldenTensor,
) {
  const { tolerance } = rules.find(variant.name, golden, name);
  const rule = { tensor: name, ...(tolerance !== undefined && { tolerance }) };
  return compareTensor(name, actual, expected, rule);
}

/**
 * Every stage that the case holds, from a decode whose stages are watched, and the samples of one that is not; if
 * `thorough` (not on the slow reference backend) also streaming and upstream's chunks.
 */
async function checkDecode(
  decoder: CodecDecoder,
  variant: GoldenVariant,
  golden: GoldenCase,
  tensors: Tensors,
  thorough: boolean,
): Promise<number> {
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  const codes = tensors.get("codes")!.data as Int32Array;
  const traced = new Map<string, GoldenTensor>();
  const watched = await decoder.decode(codes, { trace: (name, tensor) => traced.set(name, tensor) });
  const samples = await decoder.decode(codes);
  const { samplesPerFrame } = decoder.config;
  for (const [part, [from, to]] of Object.entries(json.stored_waveform_frames ?? {})) {
    const range = samples.subarray(from * samplesPerFrame, to * samplesPerFrame);
    traced.set(`wav.${part}`, { shape: [range.length], data: range });
  }
  const compared = compareCase(rules, variant, golden, tensors, (name) => traced.get(name)?.data);
  // What is fused where nobody watches must be the same signal.
  const unwatched = compare(variant, golden.name, "wav", samples, { shape: [watched.length], data: watched });
  expect([unwatched.ok, unwatched.message]).toEqual([true, unwatched.message]);
  if (!thorough) return compared;
  await checkStreaming(decoder, codes, samples);
  return compared + 1 + (await checkChunked(decoder, variant, golden, json, tensors));
}

/** Pieces of 1, 2, 3, … frames, until 10 and then again, are the whole to 1e-5. */
async function checkStreaming(decoder: CodecDecoder, codes: Int32Array, whole: Float32Array): Promise<void> {
  const { groups, samplesPerFrame } = decoder.config;
  const stream = decoder.createStream();
  let worst = 0;
  for (let at = 0, size = 1; at < codes.length; at += size * groups, size = 1 + (size % 10)) {
    const piece = await stream.decode(codes.subarray(at, at + size * groups));
    const from = (at / groups) * samplesPerFrame;
    piece.forEach((sample, i) => (worst = Math.max(worst, Math.abs(sample - whole[from + i]!))));
  }
  stream.dispose();
  expect(worst).toBeLessThan(1e-5);
}

/** Upstream's chunked decode: each chunk from scratch with some frames before it, whose samples are dropped. */
async function checkChunked(
  decoder: CodecDecoder,
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  tensors: Tensors,
): Promise<number> {
  const { groups, samplesPerFrame } = decoder.config;
  const codes = tensors.get("codes")!.data as Int32Array;
  const frames = codes.length / groups;
  let compared = 0;
  for (const {
    chunk_size: size,
    left_context_size: context,
    segment,
    segment_tensor: name,
  } of json.chunked ?? []) {
    if (segment === undefined || name === undefined || !tensors.has(name)) continue;
    const [from, to] = segment;
    const samples = new Float32Array(frames * samplesPerFrame);
    for (let start = 0; start < frames && start * samplesPerFrame < to; start += size) {
      const end = Math.min(start + size, frames);
      if (end * samplesPerFrame <= from) continue;
      const before = start - context > 0 ? context : start;
      const chunk = await decoder.decode(codes.subarray((start - before) * groups, end * groups));
      samples.set(chunk.subarray(before * samplesPerFrame), start * samplesPerFrame);
    }
    const result = compare(variant, golden.name, name, samples.subarray(from, to), tensors.get(name)!);
    expect([result.ok, result.message]).toEqual([true, result.message]);
    compared++;
  }
  return compared;
}

/** Numbered clips, each decoded alone and all of them in turns through streams that are open together. */
async function checkBatch(
  decoder: CodecDecoder,
  variant: GoldenVariant,
  golden: GoldenCase,
  tensors: Tensors,
) {
  const { groups } = decoder.config;
  const clips = [...tensors.keys()].filter((name) => name.startsWith("codes.")).map((name) => name.slice(6));
  const streams = clips.map(() => decoder.createStream());
  const pieces = clips.map((): Float32Array[] => []);
  const codesOf = (clip: string) => tensors.get(`codes.${clip}`)!.data as Int32Array;
  const longest = Math.max(...clips.map((clip) => codesOf(clip).length));
  for (let at = 0; at < longest; at += 2 * groups) {
    await Promise.all(
      clips.map(async (clip, i) => {
        pieces[i]!.push(await streams[i]!.decode(codesOf(clip).subarray(at, at + 2 * groups)));
      }),
    );
  }
  for (const [i, clip] of clips.entries()) {
    streams[i]!.dispose();
    const expected = tensors.get(`wav.${clip}`)!;
    for (const actual of [await decoder.decode(codesOf(clip)), pieces[i]!.flatMap((piece) => [...piece])]) {
      const result = compare(variant, golden.name, `wav.${clip}`, actual, expected);
      expect([result.ok, result.message]).toEqual([true, result.message]);
    }
  }
  return 2 * clips.length;
}

/** Codes that upstream reads in some way of its own are refused. */
async function checkInvalid(decoder: CodecDecoder, tensors: Tensors): Promise<number> {
  const { groups, decoder: sizes, samplesPerFrame } = decoder.config;
  let refused = 0;
  for (const [name, { data }] of tensors) {
    if (!name.startsWith("codes_")) continue;
    const decoded = decoder.decode(data as Int32Array);
    if (data.every((code) => code >= 0)) {
      expect(await decoded).toHaveLength((data.length / groups) * samplesPerFrame);
      continue;
    }
    await expect(decoded).rejects.toThrow(ConfigError);
    refused++;
  }
  const frame = new Int32Array(groups);
  await expect(decoder.decode(Int32Array.of(...frame.subarray(1)))).rejects.toThrow(ConfigError);
  await expect(decoder.decode(frame, { groups: groups - 1 })).rejects.toThrow(ConfigError);
  await expect(decoder.decode(frame.fill(sizes.codebookSize))).rejects.toThrow(ConfigError);
  expect(await decoder.decode(new Int32Array(0))).toHaveLength(0);
  return refused + 4;
}

async function checkCase(
  decoder: CodecDecoder,
  variant: GoldenVariant,
  golden: GoldenCase,
  thorough: boolean,
): Promise<number> {
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  const tensors: Tensors = golden.tensorsPath === null ? new Map() : readTensors(golden.tensorsPath);
  switch (json.kind) {
    case "decode":
      return checkDecode(decoder, variant, golden, tensors, thorough);
    case "decode-batch":
      return checkBatch(decoder, variant, golden, tensors);
    case "decode-invalid":
      return checkInvalid(decoder, tensors);
    case "roundtrip": {
      const samples = await decoder.decode(tensors.get("codes")!.data as Int32Array);
      const result = compare(variant, golden.name, "wav_out", samples, tensors.get("wav_out")!);
      expect([result.ok, result.message]).toEqual([true, result.message]);
      return 1;
    }
    default: // arithmetic of the reference's cut
      for (const { ref, cut_exact: cut } of json.rows!)
        expect(ref * decoder.config.samplesPerFrame).toBe(cut);
      return json.rows!.length;
  }
}

const KINDS = new Set(["decode", "decode-batch", "decode-invalid", "roundtrip", "arithmetic"]);

const decoders = new GoldenModels(async (variant, backend) => {
  const { device } = await selectDevice(backend);
  const folder = join(variant.folder, "speech_tokenizer");
  const config = parseCodecConfig(readFileSync(join(folder, "config.json"), "utf8"), variant.folder);
  const weights = new CodecWeights(await openCheckpoint(folder), config);
  return CodecDecoder.load(new Runtime(device, "exact"), weights, config);
});

const variants = goldenVariants(FAMILY).filter(({ folder }) => existsSync(join(folder, "speech_tokenizer")));

for (const variant of variants) {
  const cases = variant.cases.filter(({ name, jsonPath, tensorsPath }) => {
    const { kind } = readGoldenJson<CaseJson>(jsonPath);
    if (!KINDS.has(kind)) return false; // encoding has its own test
    if (tensorsPath !== null || kind === "arithmetic") return true;
    process.stderr.write(`${FAMILY}/${variant.name}: ${name} has no tensors, skipped\n`);
    return false;
  });
  for (const backend of GOLDEN_BACKENDS) {
    describe(`reference decodes of ${variant.name} on ${backend}`, () => {
      let decoder: CodecDecoder | null = null;
      let compared = 0;
      beforeAll(async () => {
        decoder = await decoders.of(variant, backend);
      });
      afterAll(() => {
        const what = `${cases.length} cases, ${compared} comparisons`;
        const result = decoder === null ? "skipped, not available" : what;
        process.stderr.write(`${FAMILY}/${variant.name} decoding on ${backend}: ${result}\n`);
      });
      for (const golden of cases) {
        test(golden.name, async () => {
          if (decoder === null) return;
          const count = await checkCase(decoder, variant, golden, backend !== "cpu");
          expect(count).toBeGreaterThan(0);
          compared += count;
        });
      }
      test("its checkpoint is usable", () => {
        expect(decoder === null || decoder.config.groups > 1).toBe(true);
      });
    });
  }
}

test("variants have a speech tokenizer or are skipped", () => {
  expect(variants.every(({ folder }) => existsSync(join(folder, "speech_tokenizer", "config.json")))).toBe(
    true,
  );
});
