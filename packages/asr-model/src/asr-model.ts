import type { AudioBuffer } from "@voxquant/audio";
import type { TraceSink } from "@voxquant/nn";
import type { Transcript, TranscriptSegment, Word } from "./transcript.js";

/**
 * Where audio comes from: a path (Node) or URL, the bytes of a file in any supported format, decoded channels, samples
 * (one channel), or a stream of a file's bytes.
 */
export type AudioInput =
  | string
  | URL
  | Uint8Array
  | Blob
  | AudioBuffer
  | { readonly samples: Float32Array; readonly sampleRate: number }
  | AsyncIterable<Uint8Array>;

export interface TranscribeOptions {
  /** Language spoken, as English name or ISO code; default: the model tells. */
  readonly language?: string;
  /** Context: names, terms, any text that helps to spell what is said. */
  readonly prompt?: string;
  /** Aborts within one step of the model; the promise rejects with the signal's reason (an AbortError by default). */
  readonly signal?: AbortSignal;
  /** Most tokens generated for a piece; default 16 per second + 64, at least 256, at most 4096. */
  readonly maxTokens?: number;
  /** Longest piece with voice activity detection, seconds, default 30. */
  readonly segmentSeconds?: number;
  /** Pieces transcribed together, default 8. The result does not depend on it. */
  readonly batchSize?: number;
  /**
   * Cut at pauses and leave out what is not speech (default). With false everything is transcribed, in pieces of up to
   * 1200 s cut at quiet places and joined without spaces, as the official package does.
   */
  readonly vad?: boolean;
  /** `word` needs an `aligner`. Default `segment`. */
  readonly timestamps?: "segment" | "word";
  readonly aligner?: ForcedAligner;
  /** Receives the stage tensors of each piece, which are then transcribed one by one. */
  readonly trace?: TraceSink;
  onProgress?(progress: TranscribeProgress): void;
  /** Each generated token; `text` is what it completes, raw (with the model's language tag). */
  onToken?(token: { readonly segment: number; readonly id: number; readonly text: string }): void;
  /** Each finished segment, in order of time. */
  onSegment?(segment: TranscriptSegment): void;
}

export interface TranscribeProgress {
  /** Seconds of the recording that are transcribed or were found to be silent. */
  readonly secondsDone: number;
  /** Estimated from the part of the file that was read; null for live streams and URLs. */
  readonly secondsTotal: number | null;
  /** Segments so far. */
  readonly segments: number;
}

/** Gives words that are known their times. */
export interface ForcedAligner {
  /** Where it was loaded from. */
  readonly location: string;
  /** English names of the languages it was trained for; others are tried all the same. */
  readonly languages: readonly string[];
  /**
   * The words of `text` with their times in seconds from the first sample, rounded to milliseconds.
   * @param samples 16 kHz mono, more than 200, at most 180 s
   * @param language English name; it decides how the text is cut into words
   * @throws AudioError for audio out of these bounds, the signal's reason when aborted
   */
  align(
    samples: Float32Array,
    text: string,
    language: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Word[]>;
  dispose(): Promise<void>;
}

export interface PartialTranscript {
  /** The whole text so far; its end may still change. */
  readonly text: string;
  /** The segment that was just finished. */
  readonly segment?: TranscriptSegment;
  /** In the last item only. */
  readonly final?: Transcript;
}

export interface StreamOptions extends Pick<
  TranscribeOptions,
  "language" | "prompt" | "signal" | "maxTokens"
> {
  /** Audio between two results, seconds, default 2. */
  readonly chunkSeconds?: number;
}

export interface StreamedText {
  /** The whole text so far; its end may still change until `final`. */
  readonly text: string;
  readonly language: string;
  readonly final: boolean;
}

/** A speech recogniser. Calls may overlap: they take turns on the model and never see each other. */
export interface AsrModel {
  readonly family: "qwen3-asr";
  /** Where it was loaded from. */
  readonly location: string;
  /** Backend in use: native, wasm, cpu or tensorflow. */
  readonly backend: string;
  /** English names that `language` accepts. */
  readonly languages: readonly string[];
  /** What the weights are, such as "BF16" or "Q8_0 mix". */
  readonly weights: string;
  /**
   * Transcribes a recording of any length in bounded memory. Silence gives an empty text and `no-speech`.
   * @throws ConfigError for an unknown language or contradictory options, AudioError for unusable audio, ResourceError
   *   if the model's file changed under it, the signal's reason when aborted
   */
  transcribe(audio: AudioInput, options?: TranscribeOptions): Promise<Transcript>;
  /** The same, with the text as it comes. Leaving the loop aborts the transcription. */
  transcribeIterator(audio: AudioInput, options?: TranscribeOptions): AsyncIterable<PartialTranscript>;
  /**
   * Transcribes live audio by the official streaming procedure: after each chunk everything so far is transcribed again,
   * all but the last tokens of the previous text being kept. Best for utterances of up to a minute or two.
   * @param pcm 16 kHz mono blocks of any length
   */
  transcribeStream(pcm: AsyncIterable<Float32Array>, options?: StreamOptions): AsyncIterable<StreamedText>;
  /** Ends running calls with an error and frees the model. */
  dispose(): Promise<void>;
}
