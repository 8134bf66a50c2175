import {
  compareCase,
  compareTensor,
  GOLDEN_BACKENDS,
  GoldenModels,
  GoldenTally,
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
import {
  dequantize,
  elementCount,
  GGML_TYPES,
  openCheckpoint,
  openModelFiles,
  quantizeRows,
  Runtime,
  selectDevice,
  withReads,
  type GgmlType,
  type Weight,
} from "@voxquant/quant-core";
import { penalizeRepetition, Sampler, softmax } from "@voxquant/nn";
import type { GeneratedSpeech, SpeechRequest } from "./generate.js";
import { Qwen3TtsModel } from "./model.js";
import type { PromptPosition } from "./prompt.js";
import { resolveSampling } from "./speech-sampling.js";

const FAMILY = "qwen3-tts";
const rules = new ToleranceRules(FAMILY);
const variants = goldenVariants(FAMILY);

type Each<T> = T | readonly T[];

interface CaseJson {
  readonly call: {
    readonly text: Each<string>;
    readonly speaker?: Each<string | null>;
    readonly language?: Each<string | null> | null;
    readonly instruct?: Each<string | null>;
    readonly non_streaming_mode: boolean;
    readonly do_sample?: boolean;
    readonly subtalker_dosample?: boolean;
    readonly max_new_tokens: number;
    readonly repetition_penalty?: number;
    readonly temperature?: number;
    readonly top_k?: number;
    readonly top_p?: number;
    readonly subtalker_temperature?: number;
    readonly subtalker_top_k?: number;
    readonly subtalker_top_p?: number;
  };
  readonly voice_clone_prompt?: readonly {
    readonly ref_text: string | null;
    readonly ref_frames: number | null;
  }[];
  readonly rows: readonly {
    readonly input_ids: readonly number[];
    readonly prompt_length: number;
    readonly left_pad: number;
    readonly prompt: readonly (readonly [number, number | string | null])[];
    readonly trailing_text_ids: readonly number[];
    readonly frames: number;
    readonly finish: string;
    readonly sampled_c0: readonly number[];
    readonly codes: readonly (readonly number[])[];
  }[];
}

type Tensors = Map<string, GoldenTensor>;

const isGeneration = (golden: GoldenCase) =>
  golden.tensorsPath !== null && readGoldenJson<Partial<CaseJson>>(golden.jsonPath).rows !== undefined;

const isSampled = (json: CaseJson) => json.call.do_sample !== false;

const at = <T>(value: Each<T>, i: number): T =>
  Array.isArray(value) ? (value as readonly T[])[i]! : (value as T);

/** The requests that a case's call stands for. */
function requestsOf(json: CaseJson, tensors: Tensors): SpeechRequest[] {
  const { call } = json;
  return json.rows.map((row, i): SpeechRequest => {
    const language = call.language == null ? null : at(call.language, i);
    const clone = json.voice_clone_prompt?.[json.voice_clone_prompt.length === 1 ? 0 : i];
    const codes = tensors.get(`ref_codes.${i}`);
    return {
      text: at(call.text, i),
      ...(language === null ? {} : { language }),
      ...(call.speaker === undefined ? {} : { speaker: at(call.speaker, i) ?? "" }),
      ...(call.instruct === undefined ? {} : { instruct: at(call.instruct, i) ?? "" }),
      ...(clone === undefined
        ? {}
        : {
            voice: {
              xVector: tensors.get(`ref_spk_embedding.${i}`)!.data as Float32Array,
              referenceCodes: codes === undefined ? null : (codes.data as Int32Array),
              referenceText: clone.ref_text,
            },
          }),
      streamingText: !call.non_streaming_mode,
      ...(isSampled(json) ? { forcedCodes: Int32Array.from(row.codes.flat()) } : {}),
      maxFrames: call.max_new_tokens - 1,
      guards: false,
      ...samplingOf(json),
    };
  });
}

function samplingOf({ call }: CaseJson) {
  const predictor = {
    ...(call.subtalker_dosample === false ? { temperature: 0 } : {}),
    ...(call.subtalker_temperature === undefined ? {} : { temperature: call.subtalker_temperature }),
    ...(call.subtalker_top_k === undefined ? {} : { topK: call.subtalker_top_k }),
    ...(call.subtalker_top_p === undefined ? {} : { topP: call.subtalker_top_p }),
  };
  return {
    ...(call.do_sample === false ? { temperature: 0 } : {}),
    ...(call.temperature === undefined ? {} : { temperature: call.temperature }),
    ...(call.top_k === undefined ? {} : { topK: call.top_k }),
    ...(call.top_p === undefined ? {} : { topP: call.top_p }),
    ...(call.repetition_penalty === undefined ? {} : { repetitionPenalty: call.repetition_penalty }),
    predictor,
    seed: 1,
  };
}

async function generateTraced(model: Qwen3TtsModel, requests: readonly SpeechRequest[]) {
  const tensors: Tensors = new Map();
  const results = await model.generate(requests, { trace: (name, tensor) => tensors.set(name, tensor) });
  return { results, tensors };
}

/** The rows that a golden tensor holds: the first of a stage, and a batch's prompts one under the other, padded on the left. */
function sameRows(
  name: string,
  golden: GoldenTensor,
  actual: Tensors,
  json: CaseJson,
): ArrayLike<number> | undefined {
  const [, ...rest] = golden.shape;
  const width = elementCount(rest);
  if (name === "prompt_embeds" && json.rows.length > 1) {
    const data = new Float32Array(elementCount(golden.shape));
    json.rows.forEach(({ left_pad: pad }, i) => {
      const row = actual.get(`${i}.${name}`)!;
      data.set(row.data, i * width + pad * row.shape[1]!);
    });
    return data;
  }
  const traced = actual.get(name);
  if (traced === undefined) return undefined;
  const rows = golden.shape[0]!;
  if (/^(\d+\.)?trailing_text$/.test(name) && traced.shape[0]! < rows) {
    // A batch's shorter queues are padded on the right, with what comes after their end.
    const pad = actual.get("tts_pad")!.data;
    const data = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) data.set(pad, row * width);
    data.set(traced.data);
    return data;
  }
  return traced.data.subarray(0, rows * width);
}

/** Compares all tensors of a case; returns how many. */
function compareStages(
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  expected: Tensors,
  actual: Tensors,
): number {
  return compareCase(rules, variant, golden, expected, (name, tensor) => {
    if (name === "wav" || name === "attention_mask" || name === "position_ids") return null; // the codec; padding, which we have not
    if (isSampled(json) && ["c0", "codes", "probs", "cp_probs"].includes(name)) return null; // see checkDistributions
    return sameRows(name, tensor, actual, json);
  });
}

/** The distributions that both stages draw from, computed from the stored logits and history. */
function checkDistributions(
  model: Qwen3TtsModel,
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  expected: Tensors,
): number {
  const sampling = resolveSampling(model.config.generation, samplingOf(json));
  const sampler = new Sampler();
  const failures: string[] = [];
  let compared = 0;
  const compare = (name: string, actual: Float32Array) => {
    const tensor = expected.get(name)!;
    const result = compareTensor(name, actual, tensor, rules.find(variant.name, golden.name, name));
    if (!result.ok) failures.push(result.message);
    compared++;
  };
  if (expected.has("probs")) {
    const { shape, data } = expected.get("logits")!;
    const width = shape[1]!;
    const probabilities = Float32Array.from(data);
    const seen = new Set<number>();
    json.rows[0]!.sampled_c0.forEach((code, i) => {
      const scores = probabilities.subarray(i * width, (i + 1) * width);
      penalizeRepetition(scores, seen, sampling.repetitionPenalty);
      if (i < 2) scores[width - 1] = -Infinity;
      sampler.warp(scores, sampling);
      softmax(scores);
      seen.add(code);
    });
    compare("probs", probabilities);
  }
  if (expected.has("cp_probs")) {
    const { shape, data } = expected.get("cp_logits")!;
    const width = shape.at(-1)!;
    const probabilities = Float32Array.from(data);
    for (let from = 0; from < probabilities.length; from += width) {
      const scores = probabilities.subarray(from, from + width);
      if (sampling.predictor.temperature > 0) sampler.warp(scores, sampling.predictor);
      softmax(scores);
    }
    compare("cp_probs", probabilities);
  }
  expect(failures).toEqual([]);
  return compared;
}

function symbolOf({ text, codec }: PromptPosition): readonly [number, number | string | null] {
  return [text, typeof codec === "object" && codec !== null ? `ref${codec.frame}` : codec];
}

function expectCodes(json: CaseJson, results: readonly GeneratedSpeech[]): void {
  expect(results.map(({ firstCodes }) => [...firstCodes])).toEqual(json.rows.map((row) => row.sampled_c0));
  expect(results.map(({ codes }) => [...codes])).toEqual(json.rows.map((row) => row.codes.flat()));
  expect(results.map(({ stopReason }) => stopReason)).toEqual(json.rows.map((row) => row.finish));
}

async function checkCase(
  model: Qwen3TtsModel,
  backend: GoldenBackend,
  variant: GoldenVariant,
  golden: GoldenCase,
): Promise<number> {
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  const expected: Tensors = readTensors(golden.tensorsPath!);
  const requests = requestsOf(json, expected);
  requests.forEach((request, i) => {
    const prompt = model.prompt(request);
    const row = json.rows[i]!;
    expect(prompt.positions.map(symbolOf)).toEqual(row.prompt);
    expect(prompt.trailing).toEqual(row.trailing_text_ids);
  });
  const traced = await generateTraced(model, requests);
  let compared = compareStages(variant, golden, json, expected, traced.tensors);
  // Nobody watches: the device may fuse layers. The reference backend, which is slow, has nothing to fuse.
  if (backend !== "cpu") expect(await model.generate(requests)).toEqual(traced.results);
  if (isSampled(json)) {
    compared += checkDistributions(model, variant, golden, json, expected);
    if (json.call.subtalker_dosample === false) {
      const later = (codes: ArrayLike<number>) =>
        Array.from(codes).filter((_, i) => i % model.config.codeGroups !== 0);
      expect(later(traced.results[0]!.codes)).toEqual(later(json.rows[0]!.codes.flat()));
    }
  } else {
    expectCodes(json, traced.results);
  }
  if (requests.length > 1) {
    const alone = await Promise.all(requests.map((request) => model.generate([request])));
    expect(alone.flat()).toEqual(traced.results);
  }
  return compared;
}

async function loadOn(
  backend: GoldenBackend,
  { folder }: GoldenVariant,
  replace: (weight: Weight) => Weight = (weight) => weight,
): Promise<Qwen3TtsModel> {
  const { device } = await selectDevice(backend);
  const checkpoint = await openCheckpoint(folder);
  const main = withReads(checkpoint, async (name) => replace(await checkpoint.read(name)));
  const files = await openModelFiles(folder);
  return Qwen3TtsModel.load({ location: folder, main, files }, new Runtime(device, "exact"));
}

const models = new GoldenModels((variant, backend) => loadOn(backend, variant));

if (variants.length === 0) test.skip("there are no reference checkpoints", () => undefined);

for (const variant of variants) {
  const tally = new GoldenTally();
  const runnable = variant.cases.filter(isGeneration).map((golden) => ({ name: golden.name, golden }));
  if (runnable.length === 0) continue;

  describe(`${FAMILY}/${variant.name}`, () => {
    afterAll(() => tally.report(FAMILY, variant));

    describe.each(GOLDEN_BACKENDS)("%s", (backend) => {
      test.each(runnable)("$name", async ({ golden }) => {
        const model = await models.of(variant, backend);
        if (model === null) {
          tally.skipped.add(`backend ${backend}`);
          return;
        }
        tally.cases.add(golden.name);
        tally.compared += await checkCase(model, backend, variant, golden);
      });
    });
  });
}

function toFloats(weight: Weight): Float32Array {
  const values = new Float32Array(elementCount(weight.shape));
  dequantize(weight.dtype, weight.bytes, values);
  return values;
}

/** A matrix in blocks of a type; as it is where its rows do not fit. */
function quantized(weight: Weight, dtype: GgmlType): Weight {
  const columns = weight.shape.at(-1)!;
  if (weight.shape.length !== 2 || columns % GGML_TYPES[dtype].block !== 0) return weight;
  return { ...weight, dtype, bytes: quantizeRows(dtype, toFloats(weight), columns) };
}

function dequantized(weight: Weight): Weight {
  const values = toFloats(weight);
  return { ...weight, dtype: "F32", bytes: new Uint8Array(values.buffer) };
}

// Quantized weights with float activations: the reference is the float model on the dequantized weights. Both are fed
// the stored codes, so that a near tie cannot part them.
const QUANTIZED_TYPES = ["Q8_0", "Q4_0", "Q6_K"] as const satisfies readonly GgmlType[];

for (const variant of variants) {
  const golden = variant.cases.filter(isGeneration).find((candidate) => {
    const json = readGoldenJson<CaseJson>(candidate.jsonPath);
    return json.rows.length === 1 && json.rows[0]!.frames > 2;
  });
  if (golden === undefined) continue;

  describe(`${FAMILY}/${variant.name} quantized`, () => {
    test.each(QUANTIZED_TYPES)("%s", async (dtype) => {
      const json = readGoldenJson<CaseJson>(golden.jsonPath);
      const [request] = requestsOf(json, readTensors(golden.tensorsPath!));
      const forced = { ...request!, forcedCodes: Int32Array.from(json.rows[0]!.codes.slice(0, 6).flat()) };
      const inBlocks = (weight: Weight) => quantized(weight, dtype);
      const float = await loadOn("cpu", variant, (weight) => dequantized(inBlocks(weight)));
      const expected = await generateTraced(float, [forced]);
      for (const backend of GOLDEN_BACKENDS) {
        const model = await whereAvailable(backend, () => loadOn(backend, variant, inBlocks));
        if (model === null) continue;
        const actual = await generateTraced(model, [forced]);
        expect(actual.results).toEqual(expected.results);
        compareStages(
          variant,
          golden,
          { ...json, call: { ...json.call, do_sample: false } },
          expected.tensors,
          actual.tensors,
        );
        model.runtime.dispose();
      }
      float.runtime.dispose();
    });
  });
}

afterAll(async () => {
  for (const model of await models.all()) model.runtime.dispose();
});
