import {
  estimateMemory,
  observeReads,
  requireMemory,
  Runtime,
  selectDevice,
  setThreads,
  type BackendName,
  type DecoderWeights,
  type ModelSource,
  type Precision,
  type ReadObserver,
} from "@voxquant/quant-core";
import type { AsrModel, ForcedAligner } from "./asr-model.js";
import { openModel, type OpenedModel, type Wanted } from "./open-model.js";
import type { AlignerWordOptions } from "./qwen3-asr/aligner-text.js";
import { Qwen3ForcedAligner } from "./qwen3-asr/forced-aligner.js";
import { Qwen3AsrModel } from "./qwen3-asr/model.js";
import { Qwen3AsrRecognizer } from "./qwen3-asr/recognizer.js";

export type AsrBackend = "auto" | BackendName;

export interface LoadAsrOptions {
  /** Default `auto`: the first that works of native, wasm, cpu. */
  readonly backend?: AsrBackend;
  /** `fast` (default) rounds activations where that pays; `exact` computes in float32. */
  readonly precision?: Precision;
  /** Where a model folder's decoder comes from; `auto` (default) takes a GGUF of a known name before the safetensors. */
  readonly decoderWeights?: DecoderWeights;
  /** The decoder's GGUF; a relative path counts from the model folder. */
  readonly decoderGguf?: string;
  /** Threads of the native and WASM kernels, for all models of the process; default: one per core, on WASM at most 8. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Refuse to load what is estimated to take more; default: the memory of the machine or of its control group. */
  readonly memoryLimitBytes?: number;
  onProgress?(progress: {
    readonly bytesDone: number;
    readonly bytesTotal: number;
    readonly what: string;
  }): void;
  onWarning?(message: string): void;
  /** Choices made on the caller's behalf: backend, weights. */
  onLog?(message: string): void;
}

/** Tokens of a piece of the default length: 30 s of audio at 13 a second, the prompt's own, and the answer's budget. */
const PIECE_TOKENS = 390 + 16 + 544;

/**
 * Loads a speech recogniser: a model folder (safetensors, sharded or not, with or without the decoder in a GGUF), a GGUF
 * file with the whole model, their URL, or such a file's content.
 * @throws ResourceError for a missing folder, file, shard or tensor; ConfigError for another family's model (the message
 *   names it and its command), a missing config field, contradictory options, or more memory than there is; BackendError
 *   if the backend is not available or too small for the model; FormatError for damaged files
 */
export async function loadAsrModel(source: ModelSource, options: LoadAsrOptions = {}): Promise<AsrModel> {
  const start = performance.now();
  const { model, backend } = await loadQwen3Asr(source, "qwen3-asr", options);
  return new Qwen3AsrRecognizer(model, backend, performance.now() - start);
}

export interface LoadAlignerOptions extends LoadAsrOptions {
  /** How Japanese and Korean are cut into words. */
  readonly words?: AlignerWordOptions;
}

/** Loads a Qwen3-ForcedAligner checkpoint, for word times. @throws as loadAsrModel */
export async function loadForcedAligner(
  source: ModelSource,
  options: LoadAlignerOptions = {},
): Promise<ForcedAligner> {
  const { model } = await loadQwen3Asr(source, "qwen3-forced-aligner", options);
  return new Qwen3ForcedAligner(model, options.words);
}

/** The model itself, for what builds on it. */
export async function loadQwen3Asr(
  source: ModelSource,
  wanted: Wanted,
  options: LoadAsrOptions,
): Promise<{ model: Qwen3AsrModel; backend: BackendName }> {
  const { signal, precision = "fast" } = options;
  signal?.throwIfAborted();
  const opened = await openModel(source, wanted, options);
  let runtime: Runtime | null = null;
  try {
    // The checkpoint before the backend: what is wrong with a file is said without waiting for one.
    const { backend, device, reason } = await selectDevice(options.backend ?? "auto");
    options.onLog?.(`backend ${backend}: ${reason}`);
    if (options.threads !== undefined) setThreads(options.threads);
    requireMemory({
      location: opened.location,
      bytes: memoryNeed(opened),
      purpose: "weights, and 30 s of audio",
      backend,
      limit: options.memoryLimitBytes,
    });
    runtime = new Runtime(device, precision);
    const model = await Qwen3AsrModel.load(reportingParts(opened, options), runtime);
    return { model, backend };
  } catch (error) {
    runtime?.dispose();
    await opened.close();
    throw error;
  }
}

/** Bytes that the weights and 30 s of audio take. */
function memoryNeed({ main, decoder }: OpenedModel): number {
  let needed = 0;
  for (const checkpoint of [main, decoder]) {
    if (checkpoint === null) continue;
    const { weightsBytes, kvBytes, scratchBytes } = estimateMemory(checkpoint, PIECE_TOKENS);
    needed += weightsBytes + kvBytes + scratchBytes;
  }
  return needed;
}

/** The parts of a model with every tensor that is read reported, and an abort seen before each. */
function reportingParts(opened: OpenedModel, { onProgress, signal }: LoadAsrOptions): OpenedModel {
  let bytesDone = 0;
  let bytesTotal = 0;
  const { main, decoder } = opened;
  for (const { name, byteLength } of main.tensors.values()) {
    if (decoder?.tensors.has(name) !== true) bytesTotal += byteLength;
  }
  for (const { byteLength } of decoder?.tensors.values() ?? []) bytesTotal += byteLength;
  const observer: ReadObserver = {
    ...(signal && { signal }),
    onRead: (what, byteLength) => {
      bytesDone += byteLength;
      onProgress?.({ bytesDone, bytesTotal, what });
    },
  };
  return {
    ...opened,
    main: observeReads(main, observer),
    decoder: decoder === null ? null : observeReads(decoder, observer),
  };
}
