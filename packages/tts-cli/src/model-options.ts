import type { TtsModel } from "@voxquant/acoustic-model";
import {
  BACKENDS,
  choiceOf,
  numberOf,
  parseBytes,
  resolveModel,
  startProgress,
  text,
  type Session,
} from "@voxquant/cli-core";
import { CATALOGUE } from "./catalogue.js";

/** Flags that say which model runs, and how. */
export const MODEL_OPTIONS = {
  model: text("model folder, .gguf file, URL, or the name of a downloaded model"),
  "talker-weights": text("auto, safetensors or gguf: which weights of a model folder the talker takes", {
    default: "auto",
  }),
  "talker-gguf": text("GGUF file with the talker's weights, relative to the model folder"),
  backend: text("auto, native, wasm, cpu or tensorflow", { default: "auto" }),
  threads: text("threads (default: all cores; on wasm at most 8)"),
  precision: text("fast, exact (float32 activations), or auto: exact for float weights", { default: "auto" }),
  "memory-limit": text("refuse a model that needs more, e.g. 4GB (default: what the machine has)"),
} as const;

export interface ModelArguments {
  readonly model?: string | undefined;
  readonly "talker-weights": string;
  readonly "talker-gguf"?: string | undefined;
  readonly backend: string;
  readonly threads?: string | undefined;
  readonly precision: string;
  readonly "memory-limit"?: string | undefined;
}

/** How a model is loaded. */
export interface LoadOptions {
  readonly backend: (typeof BACKENDS)[number];
  readonly precision: "auto" | "fast" | "exact";
  readonly talkerWeights: "auto" | "safetensors" | "gguf";
  readonly talkerGguf?: string;
  readonly threads?: number;
  readonly memoryLimitBytes?: number;
  readonly signal: AbortSignal;
  onLog(message: string): void;
  onProgress(progress: {
    readonly bytesDone: number;
    readonly bytesTotal: number;
    readonly what: string;
  }): void;
}

/** Loads a model of the library. */
export type LoadModel = (source: string, options: LoadOptions) => Promise<TtsModel>;

type Settings = Omit<LoadOptions, "signal" | "onLog" | "onProgress">;

/** Checks the flags before anything is loaded. @throws UsageError */
export function modelSettings(given: ModelArguments): Settings {
  const threads = numberOf(given.threads, "threads", { min: 1, max: 256, integer: true });
  const limit = given["memory-limit"];
  const gguf = given["talker-gguf"];
  return {
    backend: choiceOf(given.backend, "backend", BACKENDS),
    precision: choiceOf(given.precision, "precision", ["auto", "fast", "exact"] as const),
    talkerWeights: choiceOf(given["talker-weights"], "talker-weights", [
      "auto",
      "safetensors",
      "gguf",
    ] as const),
    ...(gguf === undefined ? {} : { talkerGguf: gguf }),
    ...(threads === undefined ? {} : { threads }),
    ...(limit === undefined ? {} : { memoryLimitBytes: parseBytes(limit, "--memory-limit") }),
  };
}

/** Loads the model that `--model` names, with a progress bar. */
export async function loadModel(
  load: LoadModel,
  given: ModelArguments,
  settings: Settings,
  { terminal, signal, env }: Session,
): Promise<TtsModel> {
  const source = resolveModel(given.model, CATALOGUE, env);
  const progress = startProgress(terminal, "Loading", "bytes");
  try {
    return await load(source, {
      ...settings,
      signal,
      onProgress: ({ bytesDone, bytesTotal, what }) => progress.update(bytesDone, bytesTotal, what),
      onLog: (message) => terminal.info(message),
    });
  } finally {
    progress.stop();
  }
}
