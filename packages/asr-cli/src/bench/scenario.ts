import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";
import { quantizationType, quantizeCheckpoint } from "@voxquant/quant-core";
import { UsageError } from "../exit.js";
import { quantizeProfileOf } from "../family.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";
import type { Job, Workload } from "./measurement.js";
import { SYNTHETIC_SIZES, type SyntheticName } from "./shapes.js";
import { syntheticModel } from "./synthetic-model.js";

/** One row of the result: a model with some weights on a backend. */
export interface Scenario {
  /** Name of the model, for people. */
  readonly model: string;
  /** `safetensors`, a quantization type, or a file's name. */
  readonly weights: string;
  readonly job: Job;
  /** Local files with the weights, empty for a URL. */
  readonly files: readonly string[];
  readonly fileBytes: number;
}

export interface ScenarioAxes {
  readonly backends: readonly string[];
  /** Null: the backend's default. */
  readonly threads: readonly (number | null)[];
  readonly precision: Job["precision"];
  readonly workload: Workload;
}

/** Weights of one model, ready to be loaded. */
interface Weights {
  readonly name: string;
  readonly source: string;
  readonly decoderWeights: Job["decoderWeights"];
  readonly decoderGguf: string | null;
  readonly files: readonly string[];
}

/** All weights × backends × thread counts of a model on disk. Types are quantized into `cache` first. */
export async function scenariosOfModel(
  source: string,
  weights: readonly string[],
  cache: string,
  axes: ScenarioAxes,
  session: Session,
): Promise<Scenario[]> {
  const model = basename(source.replace(/[\\/]+$/, ""), ".gguf");
  const isFolder = existsSync(source) && statSync(source).isDirectory();
  const wanted = weights.length > 0 ? weights : [isFolder ? "safetensors" : basename(source)];
  const prepared: Weights[] = [];
  for (const name of wanted) {
    if (weights.length === 0 && !isFolder) prepared.push(whole(basename(source), source));
    else if (name.toLowerCase() === "safetensors") {
      prepared.push({ ...whole("safetensors", source), decoderWeights: "safetensors" });
    } else if (extname(name).toLowerCase() === ".gguf") {
      prepared.push(isFolder ? withDecoder(source, name) : whole(basename(name), name));
    } else {
      requireType(name, "weights");
      prepared.push(whole(name.toLowerCase(), await quantized(source, name.toLowerCase(), cache, session)));
    }
  }
  return cross(model, prepared, axes);
}

/** The same for models of random weights, one for each type. */
export async function syntheticScenarios(
  name: SyntheticName,
  qtypes: readonly string[],
  cache: string,
  axes: ScenarioAxes,
  { terminal, signal }: Session,
): Promise<Scenario[]> {
  const prepared: Weights[] = [];
  for (const qtype of qtypes) {
    requireType(qtype, "qtype");
    const progress = startProgress(terminal, `Writing random ${qtype} weights`, "bytes");
    try {
      const path = await syntheticModel(name, qtype, cache, {
        signal,
        onProgress: (done, total, tensor) => progress.update(done, total, tensor),
      });
      prepared.push(whole(qtype.toLowerCase(), path));
    } finally {
      progress.stop();
    }
  }
  return cross(`synthetic ${name}`, prepared, axes);
}

export function syntheticName(given: string): SyntheticName {
  if (Object.hasOwn(SYNTHETIC_SIZES, given)) return given as SyntheticName;
  const names = Object.keys(SYNTHETIC_SIZES).join(", ");
  throw new UsageError(`--synthetic "${given}" is not known. Choose one of: ${names}`);
}

function requireType(name: string, flagName: string): void {
  try {
    quantizationType(name);
  } catch (error) {
    throw new UsageError(`--${flagName}: ${(error as Error).message}`);
  }
}

function whole(name: string, source: string): Weights {
  return { name, source, decoderWeights: "auto", decoderGguf: null, files: weightFiles(source) };
}

/** A model folder whose decoder, or the whole model, comes from a GGUF file. */
function withDecoder(folder: string, gguf: string): Weights {
  return {
    name: basename(gguf),
    source: folder,
    decoderWeights: "gguf",
    decoderGguf: resolve(gguf),
    files: [...weightFiles(folder), gguf],
  };
}

function weightFiles(source: string): string[] {
  if (!existsSync(source)) return [];
  if (!statSync(source).isDirectory()) return [source];
  return readdirSync(source)
    .filter((name) => name.endsWith(".safetensors"))
    .map((name) => join(source, name));
}

function cross(model: string, weights: readonly Weights[], axes: ScenarioAxes): Scenario[] {
  const { backends, threads, precision, workload } = axes;
  return weights.flatMap(({ name, source, decoderWeights, decoderGguf, files }) =>
    backends.flatMap((backend) =>
      threads.map((count) => ({
        model,
        weights: name,
        job: { source, decoderWeights, decoderGguf, backend, threads: count, precision, workload },
        files,
        fileBytes: files.reduce((sum, file) => sum + statSync(file).size, 0),
      })),
    ),
  );
}

/** The whole model in one type, quantized once per state of its files. */
async function quantized(
  source: string,
  qtype: string,
  cache: string,
  { terminal, signal }: Session,
): Promise<string> {
  const state = createHash("sha256");
  for (const file of weightFiles(source)) {
    const { size, mtimeMs } = statSync(file);
    state.update(`${resolve(file)}\0${size}\0${mtimeMs}\0`);
  }
  const name = basename(source.replace(/[\\/]+$/, ""), ".gguf");
  const output = join(cache, `${name}-${qtype}-${state.digest("hex").slice(0, 12)}.gguf`);
  if (existsSync(output)) return output;
  mkdirSync(cache, { recursive: true });
  const profile = await quantizeProfileOf(source);
  const progress = startProgress(terminal, `Quantizing ${name} to ${qtype}`, "bytes");
  try {
    await quantizeCheckpoint(
      {
        input: source,
        output,
        qtype,
        scope: "all",
        quantizeEmbeddings: true,
        signal,
        onProgress: ({ bytesDone, bytesTotal, tensor }) => progress.update(bytesDone, bytesTotal, tensor),
        onWarning: (message) => terminal.warn(message),
      },
      profile,
    );
  } finally {
    progress.stop();
  }
  return output;
}
