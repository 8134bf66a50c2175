/**
 * Why a transcription ended: `eos`, the model finished; `length`, the token budget ran out and text may be missing;
 * `repetition`, the model repeated itself and was stopped, what it repeated is in the text once; `no-speech`, there was
 * nothing to transcribe.
 */
export type StopReason = "eos" | "length" | "repetition" | "no-speech";

/** A word and when it is said, in seconds of the recording. */
export interface Word {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A piece of the recording that was transcribed in one go. Times in seconds of the recording. */
export interface TranscriptSegment {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** English name of the language, empty if the model did not say. */
  readonly language: string;
  /** Generated ids, the end token included. */
  readonly tokens: readonly number[];
  readonly stopReason: StopReason;
  /** With `timestamps: "word"`. */
  readonly words?: readonly Word[];
  /** How many repetitions the guard cut from the end of the text; absent if none. */
  readonly truncatedRepeats?: number;
}

/** Where the time went, in milliseconds, and how many tokens it was spent on. */
export interface Timings {
  /** Loading the model, once per model. */
  readonly loadMs: number;
  /** Log-mel features. */
  readonly featuresMs: number;
  readonly encoderMs: number;
  readonly prefillMs: number;
  /** Prompt tokens, audio included. */
  readonly prefillTokens: number;
  /** Those of them whose keys and values an earlier prompt with the same beginning left. */
  readonly prefillCachedTokens: number;
  readonly decodeMs: number;
  /** Generated tokens. */
  readonly decodeTokens: number;
  /** Decoding the audio file, resampling and finding speech. */
  readonly vadMs: number;
  /** The whole call, without `loadMs`. */
  readonly totalMs: number;
}

export interface Transcript {
  readonly text: string;
  /** Languages of the segments in order, repetitions collapsed, joined by commas; empty without speech. */
  readonly language: string;
  /** Segments with text, in order of time. */
  readonly segments: readonly TranscriptSegment[];
  /** Generated ids of all pieces, in order; those without text are in it too. */
  readonly tokens: readonly number[];
  /** The first of `length`, `repetition`, `eos` that any segment has; `no-speech` where there is none. */
  readonly stopReason: StopReason;
  readonly audioSeconds: number;
  readonly timings: Timings;
}
