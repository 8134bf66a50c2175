import { concat2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { MEL_CONFIGS, MelFrontEnd } from "@voxquant/audio";
import {
  EventLoopBreak,
  generateGreedy,
  PromptCache,
  traceTensor,
  type GenerationSequence,
  type StopReason,
  type TraceSink,
} from "@voxquant/nn";
import {
  ConfigError,
  FormatError,
  requireText,
  type Checkpoint,
  type ModelFiles,
  type Runtime,
} from "@voxquant/quant-core";
import { ByteLevelBpe, TokenizerError } from "@voxquant/text";
import { Mutex } from "../mutex.js";
import { parseQwen3AsrConfig, type Qwen3AsrConfig } from "./config.js";
import { parseOutput } from "./postprocess.js";
import { buildPrompt } from "./prompt.js";
import { cutRepeats, RepetitionGuard } from "./repetition.js";
import { loadNetwork, Qwen3AsrWeights, type Qwen3AsrNetwork } from "./weights.js";

/** An opened checkpoint: its tensors, for a decoder kept apart a second file, and its small text files. */
export interface Qwen3AsrParts {
  /** Path or URL, for messages. */
  readonly location: string;
  readonly main: Checkpoint;
  /** A GGUF with the decoder's tensors, which then come from there. */
  readonly decoder: Checkpoint | null;
  readonly files: ModelFiles;
}

/** One clip to recognise. */
export interface Piece {
  /** 16 kHz mono in [-1, 1], more than 200 samples. */
  readonly samples: Float32Array;
  /** Free text in the system turn that biases the result. */
  readonly context?: string;
  /** English name of a supported language, null or absent: the model tells. */
  readonly language?: string | null;
  /** Ids that the answer begins with, for streaming. */
  readonly prefixIds?: readonly number[];
  readonly maxTokens: number;
}

export interface Recognition {
  /** Generated ids (without the prefix), with the end token if `stopReason` is `eos`. */
  readonly ids: readonly number[];
  /** Decoded ids, special tokens skipped: `language English<asr_text>…`. */
  readonly raw: string;
  /** Language that was asked for or that the model named, "" if none. */
  readonly language: string;
  readonly text: string;
  readonly stopReason: StopReason;
  /** Repetitions that were cut from the end after the guard stopped the generation. */
  readonly truncatedRepeats: number;
  readonly audioTokens: number;
  readonly promptTokens: number;
}

/** Sums over calls, in milliseconds and tokens. */
export interface StageTimings {
  featuresMs: number;
  encoderMs: number;
  prefillMs: number;
  prefillTokens: number;
  prefillCachedTokens: number;
  decodeMs: number;
  decodeTokens: number;
}

export interface RecognizeOptions {
  readonly signal?: AbortSignal;
  /** Sees each generated token: index of the piece, id, and the text that it completes. */
  readonly onToken?: (piece: number, id: number, text: string) => void;
  /** Receives every stage, for a single piece. */
  readonly trace?: TraceSink;
  /** Stop generations that repeat themselves. Default true. */
  readonly repetitionGuard?: boolean;
  /** Is added to. */
  readonly timings?: StageTimings;
}

/** Qwen3-ASR or Qwen3-ForcedAligner, loaded: clips in, ids and text out. One call at a time; further calls wait. */
export class Qwen3AsrModel {
  readonly config: Qwen3AsrConfig;
  readonly tokenizer: ByteLevelBpe;
  readonly runtime: Runtime;
  readonly location: string;
  /** Types of the weights, largest part first. */
  readonly weightSummary: string;
  readonly #parts: Qwen3AsrParts;
  readonly #network: Qwen3AsrNetwork;
  readonly #promptCache: PromptCache;
  readonly #frontEnd: MelFrontEnd;
  readonly #mutex = new Mutex();

  private constructor(
    parts: Qwen3AsrParts,
    config: Qwen3AsrConfig,
    tokenizer: ByteLevelBpe,
    runtime: Runtime,
    network: Qwen3AsrNetwork,
    weightSummary: string,
  ) {
    this.#parts = parts;
    this.config = config;
    this.tokenizer = tokenizer;
    this.runtime = runtime;
    this.location = parts.location;
    this.weightSummary = weightSummary;
    this.#network = network;
    this.#promptCache = new PromptCache(runtime, network.decoder);
    this.#frontEnd = new MelFrontEnd({ ...MEL_CONFIGS.qwen3Asr, mels: config.encoder.melBins });
  }

  /**
   * Builds the model from opened files, on the runtime's device. The parts belong to the model from here on.
   * @throws ConfigError for a missing or wrong config field, ResourceError for a missing file or tensor
   */
  static async load(parts: Qwen3AsrParts, runtime: Runtime): Promise<Qwen3AsrModel> {
    const { files, location } = parts;
    const config = parseQwen3AsrConfig(
      await requireText(files, "config.json"),
      await files.readText("generation_config.json"),
      location,
    );
    const tokenizer = await loadTokenizer(files);
    const weights = new Qwen3AsrWeights(parts.main, parts.decoder);
    const summary = weights.summary();
    const network = await loadNetwork(runtime, weights, config);
    return new Qwen3AsrModel(parts, config, tokenizer, runtime, network, summary);
  }

  /** Audio tokens of a clip of this many samples. */
  audioTokens(samples: number): number {
    return this.#network.encoder.tokenCount(this.#frontEnd.frameCount(samples));
  }

  /** Fewest samples that a clip must have. */
  get minSamples(): number {
    return this.#frontEnd.minSamples;
  }

  /** @throws ResourceError if a file of the model was cut, changed or replaced since it was opened */
  async verifyUnchanged(): Promise<void> {
    await this.#parts.main.verifyUnchanged();
    await this.#parts.decoder?.verifyUnchanged();
  }

  /**
   * Recognises several clips in one pass; each result equals that of the clip alone.
   * @throws AudioError for a clip that is too short, the signal's reason when aborted
   */
  recognize(pieces: readonly Piece[], options: RecognizeOptions = {}): Promise<Recognition[]> {
    return this.#mutex.run(() => this.#recognize(pieces, options));
  }

  /**
   * One causal pass over `<|audio_start|><|audio_pad|>…<|audio_end|>` and the aligner's text.
   * @returns logits `[positions of timestampId in inputIds, classes]` and their largest class
   * @throws ConfigError if this is not a forced aligner's checkpoint
   */
  align(
    samples: Float32Array,
    inputIds: readonly number[],
    options: Pick<RecognizeOptions, "signal" | "trace"> = {},
  ): Promise<{ classes: Int32Array; logits: Float32Array }> {
    const { aligner } = this.config;
    if (aligner === null) throw new ConfigError(`${this.location} is not a forced aligner`);
    return this.#mutex.run(async () => {
      const pause = new EventLoopBreak(options.signal);
      const audio = await this.#encode(samples, pause, options.trace);
      const embeds = this.#splice(inputIds, audio, options.trace);
      this.runtime.releaseUnused();
      const { decoder } = this.#network;
      const cache = decoder.createCache(inputIds.length);
      try {
        const rows = [{ cache, start: 0, count: inputIds.length, position: 0 }];
        const hidden = await decoder.forward(embeds, rows, pause, options.trace);
        const positions = inputIds.flatMap((id, at) => (id === aligner.timestampId ? [at] : []));
        if (positions.length === 0) {
          hidden.dispose();
          return { classes: new Int32Array(0), logits: new Float32Array(0) };
        }
        const picked = decoder.pickRows(hidden, positions);
        hidden.dispose();
        const result = this.runtime.run(() => {
          const logits = decoder.head.forward(picked);
          traceTensor(options.trace, "timestamp_logits", logits);
          return { classes: decoder.head.argmax(picked), logits: Float32Array.from(logits.dataSync()) };
        });
        picked.dispose();
        return result;
      } finally {
        this.runtime.releaseKvCache(cache);
      }
    });
  }

  /** Frees the weights and closes the files. Waits for a call that is running. */
  dispose(): Promise<void> {
    return this.#mutex.run(async () => {
      this.runtime.dispose();
      await this.#parts.main.close();
      await this.#parts.decoder?.close();
    });
  }

  async #recognize(pieces: readonly Piece[], options: RecognizeOptions): Promise<Recognition[]> {
    const { signal, trace, timings } = options;
    signal?.throwIfAborted();
    const pause = new EventLoopBreak(signal);
    const prompts: { ids: number[]; audioTokens: number; embeds: Tensor2D }[] = [];
    try {
      for (const piece of pieces) {
        const audio = await this.#encode(piece.samples, pause, trace, timings);
        const audioTokens = audio.shape[0];
        const prompt = buildPrompt(this.tokenizer, this.config, {
          context: piece.context ?? "",
          language: piece.language ?? null,
          audioTokens,
        });
        const ids = [...prompt, ...(piece.prefixIds ?? [])];
        trace?.("prompt_ids", { shape: [ids.length], data: Int32Array.from(ids) });
        prompts.push({ ids, audioTokens, embeds: this.#splice(ids, audio, trace) });
      }
    } catch (error) {
      for (const { embeds } of prompts) embeds.dispose();
      throw error;
    }
    this.runtime.releaseUnused(); // the encoder's wide activations, before the caches fill

    const guards = pieces.map(() => (options.repetitionGuard === false ? null : new RepetitionGuard()));
    const sequences = pieces.map((piece, i): GenerationSequence => {
      const decoder = this.tokenizer.streamDecoder({ skipSpecial: true });
      return {
        embeds: prompts[i]!.embeds,
        beginning: prompts[i]!.ids.slice(0, prompts[i]!.ids.indexOf(this.config.audioTokenId)),
        maxTokens: piece.maxTokens,
        onToken: (id) => {
          options.onToken?.(i, id, decoder.push(id));
          return guards[i]?.push(id) === true ? "repetition" : undefined;
        },
      };
    });
    const start = performance.now();
    let prefilled = start;
    let cachedTokens = 0;
    const generated = await generateGreedy(this.runtime, this.#network.decoder, sequences, {
      endIds: new Set(this.config.endIds),
      pause,
      promptCache: this.#promptCache,
      ...(trace === undefined ? {} : { trace }),
      onPrefilled: (cached) => {
        prefilled = performance.now();
        cachedTokens = cached;
      },
    });
    if (timings !== undefined) {
      timings.prefillMs += prefilled - start;
      timings.decodeMs += performance.now() - prefilled;
      for (const { ids } of prompts) timings.prefillTokens += ids.length;
      timings.prefillCachedTokens += cachedTokens;
      for (const { ids } of generated) timings.decodeTokens += ids.length;
    }
    return generated.map(({ ids, stopReason }, i) => this.#result(pieces[i]!, prompts[i]!, ids, stopReason));
  }

  #result(
    piece: Piece,
    prompt: { ids: readonly number[]; audioTokens: number },
    ids: readonly number[],
    stopReason: StopReason,
  ): Recognition {
    const cut = stopReason === "repetition" ? cutRepeats(ids) : { ids, repeats: 0 };
    const raw = this.tokenizer.decode([...(piece.prefixIds ?? []), ...cut.ids], { skipSpecial: true });
    const { language, text } = parseOutput(raw, piece.language ?? null);
    return {
      ids,
      raw,
      language,
      text,
      stopReason,
      truncatedRepeats: cut.repeats,
      audioTokens: prompt.audioTokens,
      promptTokens: prompt.ids.length,
    };
  }

  async #encode(
    samples: Float32Array,
    pause: EventLoopBreak,
    trace?: TraceSink,
    timings?: StageTimings,
  ): Promise<Tensor2D> {
    const start = performance.now();
    const mel = this.#frontEnd.compute(samples);
    trace?.("mel", { shape: [mel.mels, mel.frames], data: mel.data });
    const computed = performance.now();
    await pause.pass();
    const audio = await this.#network.encoder.encode(mel, pause, trace);
    if (timings !== undefined) {
      timings.featuresMs += computed - start;
      timings.encoderMs += performance.now() - computed;
    }
    return audio;
  }

  /** Embeddings of the prompt with the audio rows in place of its pads; consumes `audio`. */
  #splice(ids: readonly number[], audio: Tensor2D, trace?: TraceSink): Tensor2D {
    const { audioTokenId } = this.config;
    const { embedding } = this.#network.decoder;
    const first = ids.indexOf(audioTokenId);
    const count = ids.filter((id) => id === audioTokenId).length;
    if (count !== audio.shape[0] || ids.lastIndexOf(audioTokenId) - first + 1 !== count) {
      throw new ConfigError(`the prompt has ${count} audio positions for ${audio.shape[0]} audio embeddings`);
    }
    const embeds = this.runtime.run(() => {
      const parts = [audio];
      if (first > 0) parts.unshift(embedding.lookup(ids.slice(0, first)));
      const rest = ids.slice(first + count);
      if (rest.length > 0) parts.push(embedding.lookup(rest));
      return concat2d(parts, 0);
    });
    audio.dispose();
    traceTensor(trace, "inputs_embeds", embeds);
    return embeds;
  }
}

async function loadTokenizer(files: ModelFiles): Promise<ByteLevelBpe> {
  try {
    return await ByteLevelBpe.fromModelFiles(
      (name) => files.readText(name),
      (name) => requireText(files, name),
    );
  } catch (cause) {
    if (!(cause instanceof TokenizerError)) throw cause;
    throw new FormatError(`${files.location}: ${cause.message}`, { cause });
  }
}
