import type { TraceSink } from "@voxquant/nn";
import type { Precision } from "@voxquant/quant-core";

export type TtsVariant = "base" | "custom_voice" | "voice_design";

/** A voice that a checkpoint brings along. */
export interface Speaker {
  /** Lower case, as in the checkpoint; `speaker` options are matched without regard to case. */
  readonly name: string;
  /** Row of the talker's codec embedding. */
  readonly id: number;
  /** Dialect that this voice speaks where the language is automatic or Chinese, such as `sichuan_dialect`. */
  readonly dialect: string | null;
}

/** What a loaded model is and can do. */
export interface TtsModelInfo {
  readonly family: "qwen3-tts";
  readonly variant: TtsVariant;
  /** The checkpoint's own size tag, such as `0b6`. */
  readonly size: string;
  /** Where it was loaded from. */
  readonly location: string;
  /** What the weights are, such as "BF16" or "Q8_0 with F16". */
  readonly weights: string;
  /** Backend in use: native, wasm, cpu or tensorflow. */
  readonly backend: string;
  readonly precision: Precision;
  /** Hz of the synthesized audio. */
  readonly sampleRate: number;
  /** Codec frames per second. */
  readonly frameRate: number;
  /** Codes per frame. */
  readonly codeGroups: number;
  readonly speakers: readonly Speaker[];
  /** Names that `language` accepts, `auto` first. */
  readonly languages: readonly string[];
  /** Whether `createVoice` works: the checkpoint has a speaker encoder. */
  readonly canClone: boolean;
  /** Whether `instruct` has an effect. */
  readonly takesInstruct: boolean;
  readonly parameterBytes: number;
}

/** How one stage draws from its distribution. */
export interface SamplingSettings {
  /** Divides the logits; 0 takes the most likely code. */
  readonly temperature: number;
  /** Codes kept, ties included; 0: all. */
  readonly topK: number;
  /** Probability mass kept of what top-k left, 0 to 1. */
  readonly topP: number;
}

/** A cloned voice, reusable and serialisable: what `createVoice` makes of reference audio. */
export interface Voice {
  /** Speaker embedding, `[talker hidden size]`. */
  readonly xVector: Float32Array;
  /** Codes of the reference, time-major `[frames · groups]`; with `referenceText` they are continued in context. */
  readonly referenceCodes: Int32Array | null;
  /** What is said in the reference. */
  readonly referenceText: string | null;
}

export interface SynthesizeOptions {
  /** One of `info.speakers`; default: the checkpoint's first. Only for `custom_voice`. */
  readonly speaker?: string;
  /** One of `info.languages`; default `auto`. */
  readonly language?: string;
  /** How to speak, or for `voice_design` what voice to speak with, in plain words. */
  readonly instruct?: string;
  /** A cloned voice, for `base` checkpoints, which have none of their own. */
  readonly voice?: Voice;
  /** Same seed, same speech; default: a random one. */
  readonly seed?: number;
  /** Default: the checkpoint's. 0 takes the most likely code in both stages, which tends to loop. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  /** Divides positive and multiplies negative logits of codes that were already used; 1: off. */
  readonly repetitionPenalty?: number;
  /** Sampling of the code predictor; default: the checkpoint's `subtalker_*`, greedy where `temperature` is 0. */
  readonly predictor?: Partial<SamplingSettings>;
  /** Longest speech of one sentence, seconds; default: what is plausible for its text. */
  readonly maxSeconds?: number;
  /**
   * Text is fed along with the frames instead of before them. Default: the variant's usual layout (`base` true, others
   * false).
   */
  readonly streamingText?: boolean;
  /** Write out numbers, dates, units and abbreviations first; default true. */
  readonly normalize?: boolean;
  /** Codec frames in the first chunk of a sentence's audio, default 4. Chunks grow from there. */
  readonly firstChunkFrames?: number;
  /** Codec frames in a chunk, at most; default 10. */
  readonly chunkFrames?: number;
  /**
   * Index of the sentence to begin with, default 0. A sentence sounds the same whether those before it are spoken or not,
   * so that a long text can be continued where it was interrupted.
   */
  readonly fromSentence?: number;
  /** Aborts within one frame; the promise or iterator rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  onProgress?(progress: SynthesizeProgress): void;
  /** Something in the request has no effect, or had to be changed. */
  onWarning?(message: string): void;
  /** The audio of a sentence is complete; in the order of the text. */
  onSentence?(sentence: SynthesizedSentence): void;
  /** After the last sentence. */
  onFinish?(timings: SynthesisTimings): void;
}

export interface TracedSynthesizeOptions extends SynthesizeOptions {
  /** Receives the stage tensors of talker and code predictor; of several sentences those of each under `INDEX.`. */
  readonly trace?: TraceSink;
}

export interface SynthesizeProgress {
  readonly sentencesDone: number;
  readonly sentencesTotal: number;
  /** Seconds of audio so far. */
  readonly seconds: number;
}

export interface AudioChunk {
  /** Mono, nominally -1 to 1. */
  readonly samples: Float32Array;
  readonly sampleRate: number;
  /** Seconds from the beginning of the whole output. */
  readonly start: number;
  /** Index of the sentence that it belongs to. */
  readonly sentence: number;
}

/**
 * Why a sentence ended: the model's end code, the frame limit, a tail of silence, or codes that repeat themselves. Only
 * the first is the model's own decision.
 */
export type StopReason = "eos" | "length" | "silence" | "repetition";

export interface SynthesizedSentence {
  readonly text: string;
  /** Seconds in the whole output. */
  readonly start: number;
  readonly end: number;
  readonly stopReason: StopReason;
  /** Time-major, `[frames · groups]`. */
  readonly codes: Int32Array;
}

/** Where the time of a synthesis went, milliseconds; requests of one batch share theirs. */
export interface SynthesisTimings {
  readonly promptMs: number;
  /** From the call to the first chunk of audio. */
  readonly firstAudioMs: number;
  readonly talkerMs: number;
  readonly predictorMs: number;
  readonly codecMs: number;
  readonly totalMs: number;
  /** Positions of the prompts of all sentences. */
  readonly promptTokens: number;
  readonly frames: number;
}

export interface SynthesizedSpeech {
  /** Mono, nominally -1 to 1. */
  readonly samples: Float32Array;
  readonly sampleRate: number;
  /** Seconds. */
  readonly duration: number;
  readonly sentences: readonly SynthesizedSentence[];
  /** What was said with; the same seed gives the same speech again. */
  readonly seed: number;
  readonly warnings: readonly string[];
  readonly timings: SynthesisTimings;
}

export interface BatchOptions {
  /** Ends the whole batch, as that of any of its requests does. */
  readonly signal?: AbortSignal;
  onProgress?(progress: SynthesizeProgress): void;
}

export interface CreateVoiceOptions {
  /** What is said in the recording; with it, its manner of speaking is continued too, else its timbre alone is taken. */
  readonly text?: string;
  readonly signal?: AbortSignal;
}

/** A speech synthesizer. Calls may overlap: they take turns on the model and never see each other. */
export interface TtsModel {
  readonly info: TtsModelInfo;
  /**
   * Speaks a text of any length in bounded memory; the audio comes while it is made, as fast as it is taken. Leaving the
   * loop aborts.
   * @throws ConfigError for an unusable text, an unknown speaker or language, or contradictory options; the signal's
   *   reason when aborted
   */
  synthesize(text: string, options?: TracedSynthesizeOptions): AsyncIterable<AudioChunk>;
  /** The whole speech at once: the same samples, several sentences being made together. Errors as `synthesize`. */
  synthesizeToBuffer(text: string, options?: SynthesizeOptions): Promise<SynthesizedSpeech>;
  /** Several texts in one pass, each result as if it had been alone. Errors as `synthesize`. */
  synthesizeBatch(
    requests: readonly ({ readonly text: string } & SynthesizeOptions)[],
    options?: BatchOptions,
  ): Promise<SynthesizedSpeech[]>;
  /**
   * A voice from a recording of 3 to 30 s.
   * @throws UnsupportedError for a checkpoint that cannot clone, AudioError for a recording too short or silent
   */
  createVoice(
    audio: { readonly samples: Float32Array; readonly sampleRate: number },
    options?: CreateVoiceOptions,
  ): Promise<Voice>;
  /** Ends running calls with an error and frees the model. */
  dispose(): Promise<void>;
}
