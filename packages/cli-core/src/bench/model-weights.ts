import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";
import { quantizationType, quantizeCheckpoint, type QuantizeProfile } from "@voxquant/quant-core";
import { UsageError } from "../exit.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";
import type { BenchTypes, Scenario } from "./measurement.js";

/** Weights of one model, ready to be loaded. */
export interface ModelWeights {
  /** `safetensors`, a quantization type, or a file's name. */
  readonly name: string;
  /** Model folder, file or URL. */
  readonly source: string;
  /** Which of a folder's weights are to be taken where it has several. */
  readonly choice: "auto" | "safetensors" | "gguf";
  /** GGUF file beside a model folder. */
  readonly gguf: string | null;
  /** Local files that are read, empty for a URL. */
  readonly files: readonly string[];
}

/** What every scenario of a run is crossed with. */
export interface ScenarioAxes {
  readonly backends: readonly string[];
  /** Null: the backend's default. */
  readonly threads: readonly (number | null)[];
  readonly precision: "fast" | "exact";
}

/**
 * The weights of a model that are asked for: `safetensors`, a .gguf file, or a type, to which the model is quantized into
 * the folder `cache` first (once per state of its files). None asked for: those that it has.
 * @throws UsageError for a name that is none of these
 */
export async function weightsOfModel(
  source: string,
  wanted: readonly string[],
  cache: string,
  profileOf: (source: string) => Promise<QuantizeProfile>,
  session: Session,
): Promise<ModelWeights[]> {
  const isFolder = existsSync(source) && statSync(source).isDirectory();
  if (wanted.length === 0)
    return [
      isFolder
        ? { ...wholeModel("safetensors", source), choice: "safetensors" }
        : wholeModel(basename(source), source),
    ];
  const prepared: ModelWeights[] = [];
  for (const name of wanted) {
    if (name.toLowerCase() === "safetensors") {
      prepared.push({ ...wholeModel("safetensors", source), choice: "safetensors" });
    } else if (extname(name).toLowerCase() === ".gguf") {
      prepared.push(isFolder ? withGguf(source, name) : wholeModel(basename(name), name));
    } else {
      requireType(name, "weights");
      const qtype = name.toLowerCase();
      prepared.push(wholeModel(qtype, await quantized(source, qtype, cache, profileOf, session)));
    }
  }
  return prepared;
}

/** A model that is one file or folder. */
export function wholeModel(name: string, source: string): ModelWeights {
  return { name, source, choice: "auto", gguf: null, files: weightFiles(source) };
}

/** The name of a model for people: its file or folder. */
export function modelName(source: string): string {
  return basename(source.replace(/[\\/]+$/, ""), ".gguf");
}

/** All weights × backends × thread counts. */
export function crossScenarios<T extends BenchTypes>(
  model: string,
  weights: readonly ModelWeights[],
  axes: ScenarioAxes,
  jobOf: (weights: ModelWeights, run: { backend: string; threads: number | null }) => T["job"],
): Scenario<T>[] {
  return weights.flatMap((entry) =>
    axes.backends.flatMap((backend) =>
      axes.threads.map((threads) => ({
        model,
        weights: entry.name,
        job: jobOf(entry, { backend, threads }),
        files: entry.files,
        fileBytes: entry.files.reduce((sum, file) => sum + statSync(file).size, 0),
      })),
    ),
  );
}

/** @throws UsageError with the list of types */
export function requireType(name: string, flagName: string): void {
  try {
    quantizationType(name);
  } catch (error) {
    throw new UsageError(`--${flagName}: ${(error as Error).message}`);
  }
}

/** A model folder whose decoder, or the whole model, comes from a GGUF file. */
function withGguf(folder: string, gguf: string): ModelWeights {
  return {
    name: basename(gguf),
    source: folder,
    choice: "gguf",
    gguf: resolve(gguf),
    files: [...weightFiles(folder), gguf],
  };
}

/** The weight files of a model: itself, or those in its folder and the folders in it. */
function weightFiles(source: string): string[] {
  if (!existsSync(source)) return [];
  if (!statSync(source).isDirectory()) return [source];
  const inFolder = (folder: string): string[] =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => join(folder, name));
  const parts = readdirSync(source, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(source, entry.name));
  return [...inFolder(source), ...parts.flatMap(inFolder)];
}

async function quantized(
  source: string,
  qtype: string,
  cache: string,
  profileOf: (source: string) => Promise<QuantizeProfile>,
  { terminal, signal }: Session,
): Promise<string> {
  const state = createHash("sha256");
  for (const file of weightFiles(source)) {
    const { size, mtimeMs } = statSync(file);
    state.update(`${resolve(file)}\0${size}\0${mtimeMs}\0`);
  }
  const name = modelName(source);
  const output = join(cache, `${name}-${qtype}-${state.digest("hex").slice(0, 12)}.gguf`);
  if (existsSync(output)) return output;
  mkdirSync(cache, { recursive: true });
  const profile = await profileOf(source);
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
