import { ConfigError } from "@voxquant/quant-core";
import type { ByteLevelBpe } from "@voxquant/text";
import { parseOutput } from "./postprocess.js";

/** Sampling rate of the audio, in hertz. */
const SAMPLE_RATE = 16000;
const REPLACEMENT = "\ufffd";

export interface StreamingOptions {
  /** Audio per step, in seconds. Default 2. */
  readonly chunkSeconds?: number;
  /** First steps that are answered from nothing. Default 2. */
  readonly unfixedChunks?: number;
  /** Tokens at the end of an answer that the next step may change. Default 5. */
  readonly unfixedTokens?: number;
  /** English name of the language that the prompt forces, null if the model tells. */
  readonly language: string | null;
}

/** What a step asks of the model. */
export interface StreamingStep {
  /** All audio from the stream's beginning, 16 kHz mono; the memory is used again after the step. */
  readonly audio: Float32Array;
  /** Text that the answer begins with, after the prompt. */
  readonly prefix: string;
}

/** Runs the model on a step and returns the ids that it generates after the prefix. */
export type StreamingGenerate = (step: StreamingStep) => Promise<readonly number[]>;

/**
 * The part of an answer that the next step keeps: all but its last tokens. More are given up where that would cut a
 * character.
 */
export function rollBack(tokenizer: ByteLevelBpe, answer: string, unfixedTokens: number): string {
  const ids = tokenizer.encode(answer);
  for (let end = ids.length - unfixedTokens; end > 0; end--) {
    const prefix = tokenizer.decode(ids.slice(0, end), { skipSpecial: false });
    if (!prefix.includes(REPLACEMENT)) return prefix;
  }
  return "";
}

/** The part of an answer that the last step keeps: at least one token, and a cut character stays cut (as upstream). */
export function rollBackAtEnd(tokenizer: ByteLevelBpe, answer: string, unfixedTokens: number): string {
  const ids = tokenizer.encode(answer);
  return tokenizer.decode(ids.slice(0, Math.max(1, ids.length - unfixedTokens)), { skipSpecial: false });
}

/**
 * Upstream's streaming procedure (`qwen_asr/inference/qwen3_asr.py`, `streaming_transcribe`): at every full chunk the
 * model hears all audio so far and goes on from the answer it had, less its last tokens. Calls must not overlap.
 */
export class StreamingTranscript {
  readonly #tokenizer: ByteLevelBpe;
  readonly #generate: StreamingGenerate;
  readonly #language: string | null;
  readonly #chunk: number;
  readonly #unfixedChunks: number;
  readonly #unfixedTokens: number;
  #audio = new Float32Array(0);
  /** Samples that came, and those of them that the model has heard. */
  #received = 0;
  #heard = 0;
  #steps = 0;
  #answer = "";

  /** @throws ConfigError for an option out of range */
  constructor(tokenizer: ByteLevelBpe, options: StreamingOptions, generate: StreamingGenerate) {
    const { chunkSeconds = 2, unfixedChunks = 2, unfixedTokens = 5, language } = options;
    if (!(chunkSeconds > 0 && chunkSeconds <= 3600)) {
      throw new ConfigError(`chunkSeconds is ${chunkSeconds}, expected more than 0 and at most 3600`);
    }
    for (const [name, value] of Object.entries({ unfixedChunks, unfixedTokens })) {
      if (!(Number.isInteger(value) && value >= 0)) {
        throw new ConfigError(`${name} is ${value}, expected a whole number from 0`);
      }
    }
    this.#tokenizer = tokenizer;
    this.#generate = generate;
    this.#language = language;
    this.#chunk = Math.max(1, Math.round(chunkSeconds * SAMPLE_RATE));
    this.#unfixedChunks = unfixedChunks;
    this.#unfixedTokens = unfixedTokens;
  }

  /** Steps that the model has made. */
  get steps(): number {
    return this.#steps;
  }

  /** Samples that wait for their chunk to fill. */
  get bufferedSamples(): number {
    return this.#received - this.#heard;
  }

  /** Samples that the model has heard. */
  get heardSamples(): number {
    return this.#heard;
  }

  /** The raw answer so far, with the language tag if the model gives one. */
  get answer(): string {
    return this.#answer;
  }

  /** Language so far, "" if none is known. */
  get language(): string {
    return this.#steps === 0 ? "" : parseOutput(this.#answer, this.#language).language;
  }

  /** Transcript so far; its end may change with the next step. */
  get text(): string {
    return parseOutput(this.#answer, this.#language).text;
  }

  /**
   * Adds audio, floats in [-1, 1] or 16-bit integers, and makes a step for every chunk that fills.
   * @returns true if a step was made
   */
  async push(samples: Float32Array | Int16Array): Promise<boolean> {
    this.#append(samples);
    const before = this.#steps;
    while (this.bufferedSamples >= this.#chunk) {
      const prefix = this.#keepsAnswer() ? rollBack(this.#tokenizer, this.#answer, this.#unfixedTokens) : "";
      await this.#step(this.#heard + this.#chunk, prefix);
    }
    return this.#steps > before;
  }

  /**
   * Ends the stream with a step for the audio that is left, if any is.
   * @returns true if a step was made
   */
  async finish(): Promise<boolean> {
    if (this.bufferedSamples === 0) return false;
    const prefix = this.#keepsAnswer()
      ? rollBackAtEnd(this.#tokenizer, this.#answer, this.#unfixedTokens)
      : "";
    await this.#step(this.#received, prefix);
    return true;
  }

  #keepsAnswer(): boolean {
    return this.#steps >= this.#unfixedChunks;
  }

  async #step(samples: number, prefix: string): Promise<void> {
    this.#heard = samples;
    const ids = await this.#generate({ audio: this.#audio.subarray(0, samples), prefix });
    this.#answer = prefix + this.#tokenizer.decode(ids, { skipSpecial: true });
    this.#steps++;
  }

  #append(samples: Float32Array | Int16Array): void {
    const length = this.#received + samples.length;
    if (length > this.#audio.length) {
      const grown = new Float32Array(Math.max(length, 2 * this.#audio.length));
      grown.set(this.#audio.subarray(0, this.#received));
      this.#audio = grown;
    }
    const scale = samples instanceof Int16Array ? 1 / 32768 : 1;
    for (let i = 0; i < samples.length; i++) this.#audio[this.#received + i] = samples[i]! * scale;
    this.#received = length;
  }
}
