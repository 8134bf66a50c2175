import { dirname, join } from "node:path";
import { readFileSync } from "node:fs";
import { applyPeakGuard, readWav, toMono } from "@voxquant/audio";
import {
  compareTensor,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
  type GoldenTensor,
  type GoldenVariant,
} from "@voxquant/goldens";
import {
  BackendError,
  dequantize,
  elementCount,
  GGML_TYPES,
  quantizeRows,
  Runtime,
  selectDevice,
  type BackendName,
  type Checkpoint,
  type GgmlType,
  type Weight,
} from "@voxquant/quant-core";
import type { TraceSink } from "@voxquant/nn";
import { openModel, type OpenedModel } from "../open-model.js";
import { transcribe } from "../transcriber.js";
import { Qwen3ForcedAligner } from "./forced-aligner.js";
import { Qwen3AsrModel, type Piece } from "./model.js";
import { factsOf } from "./recognizer.js";
import { streamTranscripts } from "./stream.js";

const FAMILY = "qwen3-asr";
const BACKENDS = ["cpu", "wasm", "native"] as const satisfies readonly BackendName[];
const rules = new ToleranceRules(FAMILY);
const variants = goldenVariants(FAMILY);

interface CaseJson {
  readonly audio: string;
  readonly audio_range?: readonly [number, number];
  readonly context?: string;
  readonly language_forced?: string | null;
  readonly max_new_tokens?: number;
  readonly audio_tokens?: number;
  readonly generated_ids?: readonly number[];
  readonly raw_text?: string;
  readonly parsed?: { readonly language: string; readonly text: string };
  readonly stop?: string;
  readonly select?: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly items?: readonly unknown[];
  readonly timestamp_positions?: readonly number[];
  // Aligner
  readonly text?: string;
  readonly language?: string;
  readonly classes?: readonly number[];
}

interface AlignedItem {
  readonly text: string;
  readonly start_time: number;
  readonly end_time: number;
}

/** Counts for the line that is printed for each folder. */
interface Tally {
  readonly cases: Set<string>;
  compared: number;
  readonly skipped: Set<string>;
}

const RULE_TABLES = new Set(["prompts", "tokenizer-cases", "streaming", "transcribe"]);

function kindOf(golden: GoldenCase): "batch" | "align" | "recognize" | "streaming" | "transcribe" | null {
  if (golden.name === "streaming" || golden.name === "transcribe") return golden.name;
  if (RULE_TABLES.has(golden.name)) return null; // compared where the rules are
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  if (json.items !== undefined && json.timestamp_positions === undefined) return "batch";
  if (json.timestamp_positions !== undefined) return "align";
  return json.generated_ids === undefined ? null : "recognize";
}

/** 16 kHz mono by the official rules; null for a file at another rate, whose resampler was another one. */
function readAudio(golden: GoldenCase, file: string, range?: readonly [number, number]): Float32Array | null {
  const { sampleRate, channels } = readWav(readFileSync(join(dirname(golden.jsonPath), file)));
  if (sampleRate !== 16000) return null;
  const mono = applyPeakGuard(toMono({ channels }).slice());
  return range === undefined ? mono : mono.slice(range[0], range[1]);
}

/** The input of a case: the stored tensor where there is one, else the file. */
function inputOf(
  golden: GoldenCase,
  json: CaseJson,
  tensors: ReadonlyMap<string, GoldenTensor>,
): Float32Array {
  const stored = tensors.get("audio");
  if (stored !== undefined) return stored.data as Float32Array;
  const samples = readAudio(golden, json.audio, json.audio_range);
  if (samples === null) throw new Error(`${golden.name}: the audio is not at 16 kHz and no tensor holds it`);
  return samples;
}

/** The elements of a traced tensor that the golden holds: indices per leading axis, negative ones from the end. */
function selectElements(
  { shape, data }: GoldenTensor,
  select: readonly (readonly number[])[] | undefined,
): ArrayLike<number> {
  if (select === undefined) return data;
  const inner = elementCount(shape.slice(select.length));
  let offsets = [0];
  select.forEach((indices, axis) => {
    const size = shape[axis]!;
    offsets = offsets.flatMap((offset) => indices.map((i) => offset * size + (i < 0 ? size + i : i)));
  });
  const picked = new Float64Array(offsets.length * inner);
  offsets.forEach((offset, i) => {
    for (let k = 0; k < inner; k++) picked[i * inner + k] = data[offset * inner + k]!;
  });
  return picked;
}

class Traced {
  readonly tensors = new Map<string, GoldenTensor>();
  readonly sink: TraceSink = (name, tensor) => this.tensors.set(name, tensor);
}

/** Compares all tensors of a case; returns how many. */
function compareStages(
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  expected: ReadonlyMap<string, GoldenTensor>,
  actual: ReadonlyMap<string, GoldenTensor>,
): number {
  const failures: string[] = [];
  let compared = 0;
  for (const [name, tensor] of expected) {
    const rule = rules.find(variant.name, golden.name, name);
    if (rule.use === "input" || rule.use === "info") continue;
    const traced = actual.get(name);
    if (traced === undefined) {
      failures.push(`${name} was not traced`);
      continue;
    }
    const result = compareTensor(name, selectElements(traced, json.select?.[name]), tensor, rule);
    if (!result.ok) failures.push(result.message);
    compared++;
  }
  expect(failures).toEqual([]);
  return compared;
}

const isAligner = (variant: GoldenVariant) =>
  readFileSync(join(variant.folder, "config.json"), "utf8").includes("forced_aligner");

/** Models by variant and backend; null where the backend is not available. */
const models = new Map<string, Promise<Qwen3AsrModel | null>>();

function modelOf(variant: GoldenVariant, backend: BackendName, tally: Tally): Promise<Qwen3AsrModel | null> {
  const key = `${variant.folder} ${backend}`;
  let model = models.get(key);
  if (model === undefined) {
    model = loadOn(backend, () => openVariant(variant));
    models.set(key, model);
  }
  return model.then((loaded) => {
    if (loaded === null) tally.skipped.add(`backend ${backend}`);
    return loaded;
  });
}

function openVariant(variant: GoldenVariant): Promise<OpenedModel> {
  return openModel(variant.folder, isAligner(variant) ? "qwen3-forced-aligner" : "qwen3-asr", {
    decoderWeights: "safetensors",
  });
}

async function loadOn(backend: BackendName, open: () => Promise<OpenedModel>): Promise<Qwen3AsrModel | null> {
  try {
    const { device } = await selectDevice(backend);
    return await Qwen3AsrModel.load(await open(), new Runtime(device, "exact"));
  } catch (error) {
    if (error instanceof BackendError) return null;
    throw error;
  }
}

function pieceOf(json: CaseJson, samples: Float32Array): Piece {
  return {
    samples,
    context: json.context ?? "",
    language: json.language_forced ?? null,
    maxTokens: json.max_new_tokens ?? json.generated_ids!.length,
  };
}

async function recognizeTraced(model: Qwen3AsrModel, piece: Piece) {
  const traced = new Traced();
  const [result] = await model.recognize([piece], { trace: traced.sink, repetitionGuard: false });
  traced.tensors.set("generated_ids", { shape: [result!.ids.length], data: Int32Array.from(result!.ids) });
  return { result: result!, tensors: traced.tensors };
}

async function checkRecognition(
  model: Qwen3AsrModel,
  variant: GoldenVariant,
  golden: GoldenCase,
): Promise<number> {
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  const expected =
    golden.tensorsPath === null ? new Map<string, GoldenTensor>() : readTensors(golden.tensorsPath);
  const piece = pieceOf(json, inputOf(golden, json, expected));
  const { result, tensors } = await recognizeTraced(model, piece);
  expect(result.ids).toEqual(json.generated_ids);
  // Nobody watches: the device may fuse layers.
  const [unwatched] = await model.recognize([piece], { repetitionGuard: false });
  expect(unwatched!.ids).toEqual(json.generated_ids);
  if (json.raw_text !== undefined) expect(result.raw).toBe(json.raw_text);
  if (json.parsed !== undefined)
    expect({ language: result.language, text: result.text }).toEqual(json.parsed);
  if (json.stop === "eos") expect(result.stopReason).toBe("eos");
  if (json.audio_tokens !== undefined) expect(result.audioTokens).toBe(json.audio_tokens);
  return compareStages(variant, golden, json, expected, tensors);
}

interface BatchItem extends CaseJson {
  readonly generated_ids_alone: readonly number[];
}

/** Several clips in one pass give what each gives alone. */
async function checkBatch(model: Qwen3AsrModel, golden: GoldenCase, tally: Tally): Promise<number> {
  const json = readGoldenJson<{ items: readonly BatchItem[]; max_new_tokens: number }>(golden.jsonPath);
  const pieces: Piece[] = [];
  for (const item of json.items) {
    const samples = readAudio(golden, item.audio, item.audio_range) ?? storedAudio(golden, item.audio);
    if (samples === null) {
      tally.skipped.add(`${golden.name}: ${item.audio}`);
      return 0;
    }
    pieces.push(pieceOf({ ...item, max_new_tokens: json.max_new_tokens }, samples));
  }
  const results = await model.recognize(pieces, { repetitionGuard: false });
  expect(results.map(({ ids }) => ids)).toEqual(json.items.map((item) => item.generated_ids_alone));
  for (const [i, piece] of pieces.entries()) {
    const [alone] = await model.recognize([piece], { repetitionGuard: false });
    expect(results[i]).toEqual(alone);
  }
  return 0;
}

async function checkAlignment(
  model: Qwen3AsrModel,
  variant: GoldenVariant,
  golden: GoldenCase,
): Promise<number> {
  const json = readGoldenJson<CaseJson & { items: readonly AlignedItem[]; words: readonly string[] }>(
    golden.jsonPath,
  );
  const expected =
    golden.tensorsPath === null ? new Map<string, GoldenTensor>() : readTensors(golden.tensorsPath);
  const traced = new Traced();
  const aligner = new Qwen3ForcedAligner(model);
  const { classes, words } = await aligner.alignWords(inputOf(golden, json, expected), json.words, {
    trace: traced.sink,
  });
  expect([...classes]).toEqual(json.classes);
  expect(words.map(({ text, start, end }) => ({ text, start_time: start, end_time: end }))).toEqual(
    json.items,
  );
  return compareStages(variant, golden, json, expected, traced.tensors);
}

interface StreamingRun {
  readonly audio: string;
  readonly feed_sizes: readonly number[];
  readonly options: {
    readonly chunk_size_sec?: number;
    readonly unfixed_chunk_num?: number;
    readonly unfixed_token_num?: number;
    readonly context?: string;
    readonly language?: string;
  };
  readonly max_new_tokens_per_call: number;
  readonly steps: readonly { language: string; text: string }[];
  readonly calls: readonly {
    audio_samples: number;
    prompt_ids: readonly number[];
    generated_ids: readonly number[];
  }[];
}

/** Blocks as the reference fed them: the sizes in turn, again and again, until the audio ends. */
async function* feed(samples: Float32Array, sizes: readonly number[]): AsyncGenerator<Float32Array> {
  for (let at = 0, i = 0; at < samples.length; at += sizes[i++ % sizes.length]!) {
    yield samples.subarray(at, at + sizes[i % sizes.length]!);
  }
}

async function checkStreaming(model: Qwen3AsrModel, golden: GoldenCase): Promise<number> {
  for (const run of readGoldenJson<{ runs: readonly StreamingRun[] }>(golden.jsonPath).runs) {
    const samples = readAudio(golden, run.audio);
    if (samples === null) continue;
    const { options } = run;
    const calls: StreamingRun["calls"][number][] = [];
    let last = { text: "", language: "" };
    const stream = streamTranscripts(
      feed(samples, run.feed_sizes),
      {
        maxTokens: run.max_new_tokens_per_call,
        ...(options.chunk_size_sec === undefined ? {} : { chunkSeconds: options.chunk_size_sec }),
        ...(options.context === undefined ? {} : { prompt: options.context }),
        ...(options.language === undefined ? {} : { language: options.language }),
      },
      model.tokenizer,
      async (piece) => {
        const traced = new Traced();
        const [result] = await model.recognize([piece], { trace: traced.sink, repetitionGuard: false });
        calls.push({
          audio_samples: piece.samples.length,
          prompt_ids: [...traced.tensors.get("prompt_ids")!.data],
          generated_ids: result!.ids,
        });
        return [result!];
      },
      {
        ...(options.unfixed_chunk_num === undefined ? {} : { unfixedChunks: options.unfixed_chunk_num }),
        ...(options.unfixed_token_num === undefined ? {} : { unfixedTokens: options.unfixed_token_num }),
      },
    );
    for await (const { text, language } of stream) last = { text, language };
    expect(calls).toEqual(
      run.calls.map(({ audio_samples, prompt_ids, generated_ids }) => ({
        audio_samples,
        prompt_ids,
        generated_ids,
      })),
    );
    const { text, language } = run.steps.at(-1)!;
    expect(last).toEqual({ text, language });
  }
  return 0;
}

interface TranscribeCase {
  readonly audio: readonly { readonly file: string }[];
  readonly context: string | readonly string[];
  readonly language: string | null | readonly (string | null)[];
  readonly return_time_stamps: boolean;
  readonly max_new_tokens: number;
  readonly max_inference_batch_size: number;
  readonly results: readonly {
    readonly language: string;
    readonly text: string;
    readonly time_stamps: readonly AlignedItem[] | null;
  }[];
}

/** The official package's `transcribe`, through ours without voice activity detection. */
async function checkTranscribe(
  model: Qwen3AsrModel,
  golden: GoldenCase,
  backend: BackendName,
  tally: Tally,
): Promise<number> {
  const json = readGoldenJson<{ aligner?: string; cases: readonly TranscribeCase[] }>(golden.jsonPath);
  const alignerVariant = variants.find(
    ({ folder }) => json.aligner !== undefined && join(dirname(golden.jsonPath), json.aligner) === folder,
  );
  const alignerModel = alignerVariant === undefined ? null : await modelOf(alignerVariant, backend, tally);
  for (const item of json.cases) {
    if (item.audio.length > 1 && item.max_inference_batch_size !== 1) continue; // upstream's batches change results
    for (const [i, { file }] of item.audio.entries()) {
      const expected = item.results[i]!;
      const samples = readAudio(golden, file) ?? storedAudio(golden, file);
      if (samples === null || (item.return_time_stamps && alignerModel === null)) {
        tally.skipped.add(`${golden.name}: ${samples === null ? file : "time stamps"}`);
        continue;
      }
      const language = typeof item.language === "object" ? item.language?.[i] : item.language;
      const transcript = await transcribe(
        model,
        { samples, sampleRate: 16000 },
        {
          vad: false,
          maxTokens: item.max_new_tokens,
          prompt: typeof item.context === "string" ? item.context : item.context[i]!,
          ...(language == null ? {} : { language }),
          ...(item.return_time_stamps
            ? { timestamps: "word" as const, aligner: new Qwen3ForcedAligner(alignerModel!) }
            : {}),
        },
        factsOf(model),
      );
      expect({ text: transcript.text, language: transcript.language }).toEqual({
        text: expected.text,
        language: expected.language,
      });
      if (!item.return_time_stamps) continue;
      const words = transcript.segments.flatMap((segment) => segment.words ?? []);
      expect(words.map(({ text, start, end }) => ({ text, start_time: start, end_time: end }))).toEqual(
        expected.time_stamps,
      );
    }
  }
  return 0;
}

/** A file's 16 kHz samples as another case of the folder holds them. */
function storedAudio(golden: GoldenCase, file: string): Float32Array | null {
  const variant = variants.find(({ cases }) => cases.includes(golden))!;
  for (const other of variant.cases) {
    if (other.tensorsPath === null || readGoldenJson<CaseJson>(other.jsonPath).audio !== file) continue;
    const stored = readTensors(other.tensorsPath).get("audio");
    if (stored !== undefined) return stored.data as Float32Array;
  }
  return null;
}

/** A checkpoint whose matrices are replaced where `replace` returns something. */
function replacing(opened: OpenedModel, replace: (weight: Weight) => Weight): OpenedModel {
  const main: Checkpoint = {
    ...(opened.main.gguf === undefined ? {} : { gguf: opened.main.gguf }),
    format: opened.main.format,
    location: opened.main.location,
    files: opened.main.files,
    metadata: opened.main.metadata,
    tensors: opened.main.tensors,
    read: async (name) => replace(await opened.main.read(name)),
    readRange: (name, start, end) => opened.main.readRange(name, start, end),
    verifyUnchanged: () => opened.main.verifyUnchanged(),
    close: () => opened.main.close(),
  };
  return { ...opened, main };
}

function toFloats(weight: Weight): Float32Array {
  const values = new Float32Array(elementCount(weight.shape));
  dequantize(weight.dtype, weight.bytes, values);
  return values;
}

/** The weight in blocks of a type, or as it is where its rows do not fit. */
function quantized(weight: Weight, dtype: GgmlType): Weight {
  const rows = weight.shape[0]!;
  const columns = elementCount(weight.shape) / rows;
  if (weight.shape.length < 2 || columns % GGML_TYPES[dtype].block !== 0) return weight;
  return { ...weight, dtype, shape: [rows, columns], bytes: quantizeRows(dtype, toFloats(weight), columns) };
}

function dequantized(weight: Weight): Weight {
  const values = toFloats(weight);
  return { ...weight, dtype: "F32", bytes: new Uint8Array(values.buffer) };
}

if (variants.length === 0) test.skip("there are no reference checkpoints", () => undefined);

for (const variant of variants) {
  const tally: Tally = { cases: new Set(), compared: 0, skipped: new Set() };

  describe(`${FAMILY}/${variant.name}`, () => {
    afterAll(async () => {
      const skipped = tally.skipped.size === 0 ? "none" : [...tally.skipped].join(", ");
      process.stderr.write(
        `goldens: ${FAMILY}/${variant.name}: ${tally.cases.size} cases, ${tally.compared} tensors compared, skipped: ${skipped}\n`,
      );
    });

    describe.each(BACKENDS)("%s", (backend) => {
      const runnable = variant.cases.flatMap((golden) => {
        const kind = kindOf(golden);
        return kind === null ? [] : [{ name: golden.name, golden, kind }];
      });
      test.each(runnable)("$name", async ({ golden, kind }) => {
        const model = await modelOf(variant, backend, tally);
        if (model === null) return;
        tally.cases.add(golden.name);
        switch (kind) {
          case "recognize":
            tally.compared += await checkRecognition(model, variant, golden);
            break;
          case "batch":
            tally.compared += await checkBatch(model, golden, tally);
            break;
          case "align":
            tally.compared += await checkAlignment(model, variant, golden);
            break;
          case "streaming":
            tally.compared += await checkStreaming(model, golden);
            break;
          case "transcribe":
            tally.compared += await checkTranscribe(model, golden, backend, tally);
            break;
        }
      });
    });
  });
}

// Quantized weights with float activations: the reference is the float model on the dequantized weights.
const QUANTIZED_TYPES = [
  "Q8_0",
  "Q4_0",
  "Q5_1",
  "Q6_K",
  "Q4_K",
  "IQ4_NL",
] as const satisfies readonly GgmlType[];

for (const variant of variants) {
  // The shortest clip: the reference backend is slow.
  const tokens = (candidate: GoldenCase) =>
    readGoldenJson<CaseJson>(candidate.jsonPath).audio_tokens ?? Infinity;
  const candidates = variant.cases.filter((candidate) => kindOf(candidate) === "recognize");
  const golden = candidates.sort((a, b) => tokens(a) - tokens(b))[0];
  if (golden === undefined) continue;

  describe(`${FAMILY}/${variant.name} quantized`, () => {
    test.each(QUANTIZED_TYPES)("%s", async (dtype) => {
      const json = readGoldenJson<CaseJson>(golden.jsonPath);
      const stored =
        golden.tensorsPath === null ? new Map<string, GoldenTensor>() : readTensors(golden.tensorsPath);
      const piece = pieceOf(json, inputOf(golden, json, stored));
      const opened = await openVariant(variant);
      try {
        const inBlocks = (weight: Weight) => quantized(weight, dtype);
        const float = await loadOn("cpu", async () =>
          replacing(opened, (weight) => dequantized(inBlocks(weight))),
        );
        const expected = await recognizeTraced(float!, piece);
        for (const backend of BACKENDS) {
          const model = await loadOn(backend, async () => replacing(opened, inBlocks));
          if (model === null) continue;
          const actual = await recognizeTraced(model, piece);
          expect(actual.result.ids).toEqual(expected.result.ids);
          compareStages(
            variant,
            golden,
            { ...json, select: {} },
            withoutMel(expected.tensors),
            actual.tensors,
          );
          model.runtime.dispose();
        }
        float!.runtime.dispose();
      } finally {
        await opened.close();
      }
    });
  });
}

/** The mel is the same by construction and has no rule of its own in a case. */
function withoutMel(tensors: ReadonlyMap<string, GoldenTensor>): Map<string, GoldenTensor> {
  const kept = new Map(tensors);
  kept.delete("mel");
  return kept;
}

afterAll(async () => {
  for (const model of models.values()) await (await model)?.dispose();
});
