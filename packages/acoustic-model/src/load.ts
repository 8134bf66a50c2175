import {
  GGML_TYPES,
  isDense,
  observeReads,
  requireMemory,
  Runtime,
  selectDevice,
  setThreads,
  type BackendName,
  type GgmlType,
  type ModelSource,
  type Precision,
  type ReadObserver,
} from "@voxquant/quant-core";
import { estimateTtsMemory } from "./memory.js";
import { openTtsModel, type OpenedTtsModel, type OpenTtsOptions } from "./open-model.js";
import { CodecDecoder } from "./qwen3-tts/codec/decoder.js";
import { CodecWeights } from "./qwen3-tts/codec/weights.js";
import { Qwen3TtsModel } from "./qwen3-tts/model.js";
import { TALKER_PREFIX } from "./qwen3-tts/weights.js";
import { Qwen3TtsSynthesizer } from "./synthesizer.js";
import type { TtsModel } from "./tts-model.js";

export interface LoadTtsOptions extends OpenTtsOptions {
  /** Default `auto`: the first that works of native, wasm, cpu. */
  readonly backend?: "auto" | BackendName;
  /**
   * `fast` rounds activations where that pays, `exact` computes in float32. Default `auto`: `fast` for quantized weights,
   * `exact` for float ones, whose codes are then those of the official package.
   */
  readonly precision?: Precision | "auto";
  /** Threads of the native and WASM kernels, for all models of the process; default: one per core, on WASM at most 8. */
  readonly threads?: number;
  /** Refuse to load what is estimated to take more; default: the memory of the machine or of its control group. */
  readonly memoryLimitBytes?: number;
  onProgress?(progress: {
    readonly bytesDone: number;
    readonly bytesTotal: number;
    readonly what: string;
  }): void;
}

/** A Qwen3-TTS model in memory: text → codes → sound. What cloning needs besides is loaded when a voice is made. */
export interface LoadedQwen3Tts {
  readonly opened: OpenedTtsModel;
  readonly runtime: Runtime;
  readonly backend: BackendName;
  readonly model: Qwen3TtsModel;
  readonly codec: CodecDecoder;
  /** The codec's tensors, for its encoder. */
  readonly codecWeights: CodecWeights;
  /** Frees the device's memory and closes the files. */
  dispose(): Promise<void>;
}

/** Positions of a long sentence: 30 s at 12.5 frames a second, and its prompt. */
const SENTENCE_POSITIONS = 512;

/**
 * Loads a model that speaks.
 * @param source a model folder, a GGUF file, the URL of either, or such a file's content
 * @throws as `loadQwen3Tts`
 */
export async function loadTtsModel(source: ModelSource, options: LoadTtsOptions = {}): Promise<TtsModel> {
  return new Qwen3TtsSynthesizer(await loadQwen3Tts(source, options));
}

/**
 * Loads the networks of a Qwen3-TTS checkpoint: a model folder (safetensors, sharded or not, with or without the talker in
 * a GGUF), a GGUF file with the whole model, their URL, or such a file's content.
 * @throws ResourceError for a missing folder, file, `speech_tokenizer/`, shard or tensor; ConfigError for another family's
 *   model (the message names it and its command), a missing config field, a codec of another number of code groups,
 *   contradictory options, or more memory than there is; UnsupportedError for a 25 Hz model; BackendError if the backend
 *   is not available or too small for the model; FormatError for damaged files
 */
export async function loadQwen3Tts(
  source: ModelSource,
  options: LoadTtsOptions = {},
): Promise<LoadedQwen3Tts> {
  const { signal } = options;
  signal?.throwIfAborted();
  const opened = reporting(await openTtsModel(source, options), options);
  let runtime: Runtime | null = null;
  try {
    // The checkpoint before the backend: what is wrong with a file is said without waiting for one.
    const { backend, device, reason } = await selectDevice(options.backend ?? "auto");
    options.onLog?.(`backend ${backend}: ${reason}`);
    if (options.threads !== undefined) setThreads(options.threads);
    requireMemory({
      location: opened.location,
      bytes: memoryNeed(opened),
      purpose: "weights, and a sentence of 30 s",
      backend,
      limit: options.memoryLimitBytes,
    });
    runtime = new Runtime(device, precisionOf(opened, options.precision ?? "auto"));
    const { location, files, weights } = opened;
    const model = await Qwen3TtsModel.load({ location, files, main: weights }, runtime);
    const codecWeights = new CodecWeights(opened.codec, opened.codecConfig, { compact: true });
    const codec = await CodecDecoder.load(runtime, codecWeights, opened.codecConfig);
    const inUse = runtime;
    const dispose = async () => {
      inUse.dispose();
      await opened.close();
    };
    return { opened, runtime, backend, model, codec, codecWeights, dispose };
  } catch (error) {
    runtime?.dispose();
    await opened.close();
    throw error;
  }
}

function precisionOf({ weights }: OpenedTtsModel, wanted: Precision | "auto"): Precision {
  if (wanted !== "auto") return wanted;
  for (const { name, dtype } of weights.tensors.values()) {
    if (name.startsWith(TALKER_PREFIX) && dtype in GGML_TYPES && !isDense(dtype as GgmlType)) return "fast";
  }
  return "exact";
}

function memoryNeed({ weights, codec }: OpenedTtsModel): number {
  let needed = 0;
  for (const checkpoint of new Set([weights, codec])) {
    const { weightsBytes, kvBytes, scratchBytes } = estimateTtsMemory(checkpoint, SENTENCE_POSITIONS);
    needed += weightsBytes + kvBytes + scratchBytes;
  }
  return needed;
}

/** The model with every tensor that is read reported, and an abort seen before each. */
function reporting(opened: OpenedTtsModel, { onProgress, signal }: LoadTtsOptions): OpenedTtsModel {
  const { weights, codec } = opened;
  let bytesDone = 0;
  let bytesTotal = 0;
  for (const checkpoint of new Set([weights, codec])) {
    for (const { byteLength } of checkpoint.tensors.values()) bytesTotal += byteLength;
  }
  const observer: ReadObserver = {
    ...(signal && { signal }),
    onRead: (what, byteLength) => {
      bytesDone = Math.min(bytesDone + byteLength, bytesTotal);
      onProgress?.({ bytesDone, bytesTotal, what });
    },
  };
  const observed = observeReads(weights, observer);
  return {
    ...opened,
    weights: observed,
    codec: codec === weights ? observed : observeReads(codec, observer),
  };
}
