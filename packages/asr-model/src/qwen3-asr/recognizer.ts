import { LinkedAbort } from "@voxquant/nn";
import { ConfigError } from "@voxquant/quant-core";
import type {
  AsrModel,
  AudioInput,
  PartialTranscript,
  StreamedText,
  StreamOptions,
  TranscribeOptions,
} from "../asr-model.js";
import { partialTranscripts } from "../partial-transcripts.js";
import type { Transcript } from "../transcript.js";
import { transcribe, type ModelFacts } from "../transcriber.js";
import { SUPPORTED_LANGUAGES } from "./languages.js";
import type { Qwen3AsrModel } from "./model.js";
import { streamTranscripts } from "./stream.js";

/** @param loadMs time that loading took */
export function factsOf(
  { config, runtime }: Pick<Qwen3AsrModel, "config" | "runtime">,
  loadMs = 0,
): ModelFacts {
  const { layers, kvHeads, headDim } = config.decoder;
  return {
    loadMs,
    kvCacheBytes: (capacity) => runtime.kvCacheBytes({ layers, kvHeads, headDim, capacity }),
  };
}

/** A Qwen3-ASR model as an AsrModel. */
export class Qwen3AsrRecognizer implements AsrModel {
  readonly family = "qwen3-asr";
  readonly backend: string;
  readonly #model: Qwen3AsrModel;
  readonly #facts: ModelFacts;
  readonly #calls = new Map<LinkedAbort, Promise<unknown>>();
  #disposed = false;

  constructor(model: Qwen3AsrModel, backend: string, loadMs: number) {
    this.#model = model;
    this.backend = backend;
    this.#facts = factsOf(model, loadMs);
  }

  get location(): string {
    return this.#model.location;
  }

  get languages(): readonly string[] {
    const { languages } = this.#model.config;
    return languages.length > 0 ? languages : SUPPORTED_LANGUAGES;
  }

  get weights(): string {
    return this.#model.weightSummary;
  }

  transcribe(audio: AudioInput, options: TranscribeOptions = {}): Promise<Transcript> {
    return this.#call(options.signal, async (signal) => {
      await this.#model.verifyUnchanged();
      return transcribe(this.#model, audio, { ...options, signal }, this.#facts);
    });
  }

  transcribeIterator(audio: AudioInput, options: TranscribeOptions = {}): AsyncIterable<PartialTranscript> {
    return partialTranscripts(options, (reporting) => this.transcribe(audio, reporting));
  }

  async *transcribeStream(
    pcm: AsyncIterable<Float32Array>,
    options: StreamOptions = {},
  ): AsyncGenerator<StreamedText, void, undefined> {
    const stream = streamTranscripts(pcm, options, this.#model.tokenizer, (piece, signal) =>
      this.#call(signal, (either) => this.#model.recognize([piece], { signal: either })),
    );
    await this.#call(options.signal, () => this.#model.verifyUnchanged());
    yield* stream;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const call of this.#calls.keys()) call.abort(this.#disposedError());
    await Promise.allSettled(this.#calls.values());
    await this.#model.dispose();
  }

  #disposedError(): ConfigError {
    return new ConfigError(`${this.location}: the model was disposed of; load it again to go on`);
  }

  /** Runs work with a signal that is aborted by the caller's and by dispose. */
  async #call<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#disposed) throw this.#disposedError();
    const call = new LinkedAbort(signal);
    const result = work(call.signal);
    this.#calls.set(call, result);
    try {
      return await result;
    } finally {
      this.#calls.delete(call);
      call.release();
    }
  }
}
