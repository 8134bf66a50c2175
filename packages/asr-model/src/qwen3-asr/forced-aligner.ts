import { AudioError } from "@voxquant/audio";
import type { TraceSink } from "@voxquant/nn";
import { ConfigError } from "@voxquant/quant-core";
import type { ForcedAligner } from "../asr-model.js";
import { MAX_ALIGNED_PIECE_SECONDS, SAMPLE_RATE, SPLIT_SEARCH_SECONDS } from "../pieces.js";
import type { Word } from "../transcript.js";
import {
  alignedWords,
  alignerWords,
  buildAlignerInput,
  fixTimestamps,
  type AlignerWordOptions,
} from "./aligner-text.js";
import type { Qwen3AsrModel } from "./model.js";

/** Pieces of the official splitting may be longer than its limit by as much as it searches. */
const MAX_SAMPLES = (MAX_ALIGNED_PIECE_SECONDS + SPLIT_SEARCH_SECONDS) * SAMPLE_RATE;

export interface AlignOptions {
  readonly signal?: AbortSignal;
  /** Receives the stage tensors. */
  readonly trace?: TraceSink;
}

/** Qwen3-ForcedAligner (`qwen_asr/inference/qwen3_forced_aligner.py`). */
export class Qwen3ForcedAligner implements ForcedAligner {
  readonly #model: Qwen3AsrModel;
  readonly #segmentMs: number;
  readonly #wordOptions: AlignerWordOptions;
  #disposed = false;

  /** @throws ConfigError for a recogniser's model */
  constructor(model: Qwen3AsrModel, wordOptions: AlignerWordOptions = {}) {
    const { aligner } = model.config;
    if (aligner === null) throw new ConfigError(`${model.location}: not a forced aligner's checkpoint`);
    this.#model = model;
    this.#segmentMs = aligner.segmentMs;
    this.#wordOptions = wordOptions;
  }

  get location(): string {
    return this.#model.location;
  }

  get languages(): readonly string[] {
    return this.#model.config.languages;
  }

  async align(
    samples: Float32Array,
    text: string,
    language: string,
    options: AlignOptions = {},
  ): Promise<Word[]> {
    const { words } = await this.alignWords(
      samples,
      alignerWords(text, language, this.#wordOptions),
      options,
    );
    return words;
  }

  /**
   * Times of words that are cut already.
   * @returns the words, and the model's class (unit: the checkpoint's segment time) of the start and end of each; a pair
   *   even where there are no words
   */
  async alignWords(
    samples: Float32Array,
    words: readonly string[],
    { signal, trace }: AlignOptions = {},
  ): Promise<{ words: Word[]; classes: Int32Array }> {
    if (this.#disposed)
      throw new ConfigError(`${this.location}: the aligner was disposed of; load it again to go on`);
    if (samples.length < this.#model.minSamples) {
      throw new AudioError(
        "too_short",
        `the audio to align has ${samples.length} samples, at least ${this.#model.minSamples} are needed`,
      );
    }
    if (samples.length > MAX_SAMPLES) {
      const seconds = (samples.length / SAMPLE_RATE).toFixed(1);
      throw new AudioError(
        "bad_input",
        `the audio to align is ${seconds} s long, ${MAX_ALIGNED_PIECE_SECONDS} s are possible: cut it at pauses`,
      );
    }
    await this.#model.verifyUnchanged();
    const audioTokens = this.#model.audioTokens(samples.length);
    const ids = buildAlignerInput(this.#model.tokenizer, this.#model.config, { words, audioTokens });
    trace?.("input_ids", { shape: [ids.length], data: Int32Array.from(ids) });
    const { classes } = await this.#model.align(samples, ids, {
      ...(signal === undefined ? {} : { signal }),
      ...(trace === undefined ? {} : { trace }),
    });
    const times = fixTimestamps(Array.from(classes, (index) => index * this.#segmentMs));
    return { words: alignedWords(words, times), classes };
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#model.dispose();
  }
}
