import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { applyPeakGuard, readWav, toMono } from "@voxquant/audio";
import {
  compareCase,
  GoldenModels,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
  type GoldenTensor,
  type GoldenVariant,
} from "@voxquant/goldens";
import type { TraceSink } from "@voxquant/nn";
import { elementCount, Runtime, selectDevice, type BackendName } from "@voxquant/quant-core";
import { openModel, type OpenedModel } from "../open-model.js";
import { Qwen3AsrModel, type Piece } from "./model.js";

export const FAMILY = "qwen3-asr";
export const variants = goldenVariants(FAMILY);
const rules = new ToleranceRules(FAMILY);

export interface CaseJson {
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

export interface AlignedItem {
  readonly text: string;
  readonly start_time: number;
  readonly end_time: number;
}

const RULE_TABLES = new Set(["prompts", "tokenizer-cases", "streaming", "transcribe"]);

/** What is compared of a case, null for a table of rules, which is compared where the rules are. */
export function kindOf(
  golden: GoldenCase,
): "batch" | "align" | "recognize" | "streaming" | "transcribe" | null {
  if (golden.name === "streaming" || golden.name === "transcribe") return golden.name;
  if (RULE_TABLES.has(golden.name)) return null;
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  if (json.items !== undefined && json.timestamp_positions === undefined) return "batch";
  if (json.timestamp_positions !== undefined) return "align";
  return json.generated_ids === undefined ? null : "recognize";
}

/** 16 kHz mono by the official rules; null for a file at another rate, whose resampler was another one. */
export function readAudio(
  golden: GoldenCase,
  file: string,
  range?: readonly [number, number],
): Float32Array | null {
  const { sampleRate, channels } = readWav(readFileSync(join(dirname(golden.jsonPath), file)));
  if (sampleRate !== 16000) return null;
  const mono = applyPeakGuard(toMono({ channels }).slice());
  return range === undefined ? mono : mono.slice(range[0], range[1]);
}

/** The input of a case: the stored tensor where there is one, else the file. */
export function inputOf(
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

/** A file's 16 kHz samples as another case of the folder holds them. */
export function storedAudio(golden: GoldenCase, file: string): Float32Array | null {
  const variant = variants.find(({ cases }) => cases.includes(golden))!;
  for (const other of variant.cases) {
    if (other.tensorsPath === null || readGoldenJson<CaseJson>(other.jsonPath).audio !== file) continue;
    const stored = readTensors(other.tensorsPath).get("audio");
    if (stored !== undefined) return stored.data as Float32Array;
  }
  return null;
}

/** The tensors of a case, none if it has no file of them. */
export function tensorsOf(golden: GoldenCase): Map<string, GoldenTensor> {
  return golden.tensorsPath === null ? new Map() : readTensors(golden.tensorsPath);
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

/** Keeps what a model traces. */
export class Traced {
  readonly tensors = new Map<string, GoldenTensor>();
  readonly sink: TraceSink = (name, tensor) => this.tensors.set(name, tensor);
}

/** Compares all tensors of a case; returns how many. */
export function compareStages(
  variant: GoldenVariant,
  golden: GoldenCase,
  json: CaseJson,
  expected: ReadonlyMap<string, GoldenTensor>,
  actual: ReadonlyMap<string, GoldenTensor>,
): number {
  return compareCase(rules, variant, golden, expected, (name) => {
    const traced = actual.get(name);
    return traced && selectElements(traced, json.select?.[name]);
  });
}

/** A variant as a recogniser or an aligner, from its safetensors. */
export function openVariant({ folder }: GoldenVariant): Promise<OpenedModel> {
  const isAligner = readFileSync(join(folder, "config.json"), "utf8").includes("forced_aligner");
  return openModel(folder, isAligner ? "qwen3-forced-aligner" : "qwen3-asr", {
    decoderWeights: "safetensors",
  });
}

export async function loadOn(backend: BackendName, opened: OpenedModel): Promise<Qwen3AsrModel> {
  const { device } = await selectDevice(backend);
  return Qwen3AsrModel.load(opened, new Runtime(device, "exact"));
}

export const models = new GoldenModels(async (variant, backend) =>
  loadOn(backend, await openVariant(variant)),
);

/** The clip of a case as the model takes it. */
export function pieceOf(json: CaseJson, samples: Float32Array): Piece {
  return {
    samples,
    context: json.context ?? "",
    language: json.language_forced ?? null,
    maxTokens: json.max_new_tokens ?? json.generated_ids!.length,
  };
}

/** Runs a clip with all its stages. */
export async function recognizeTraced(model: Qwen3AsrModel, piece: Piece) {
  const traced = new Traced();
  const [result] = await model.recognize([piece], { trace: traced.sink, repetitionGuard: false });
  traced.tensors.set("generated_ids", { shape: [result!.ids.length], data: Int32Array.from(result!.ids) });
  return { result: result!, tensors: traced.tensors };
}
