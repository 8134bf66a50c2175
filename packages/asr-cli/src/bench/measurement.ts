import type { BenchJob } from "@voxquant/cli-core";
import type { AsrQuality } from "./quality.js";

/** The clips of a run: files, or a generated one for a model of random weights. */
export type Workload =
  | {
      readonly kind: "files";
      readonly audio: readonly string[];
      readonly language: string | null;
      readonly maxTokens: number | null;
    }
  | {
      readonly kind: "synthetic";
      /** Of each clip. */
      readonly audioSeconds: number;
      /** Clips recognised together. */
      readonly batch: number;
      /** Prompt of the run, padded to this; null: what the clip takes. */
      readonly prefillTokens: number | null;
      readonly decodeTokens: number;
      /** Tokens in the cache where decoding is measured; null: those of the prompt. */
      readonly context: number | null;
    };

/** What a measuring process is asked to do. */
export interface AsrJob extends BenchJob {
  /** Model folder, file or URL. */
  readonly source: string;
  readonly decoderWeights: "auto" | "safetensors" | "gguf";
  readonly decoderGguf: string | null;
  readonly workload: Workload;
}

/** Milliseconds and counts of one run's stages. */
export interface AsrStages {
  /** Reading, decoding and resampling audio, and finding speech. */
  readonly audio_ms: number;
  readonly features_ms: number;
  readonly encoder_ms: number;
  readonly prefill_ms: number;
  readonly prefill_tokens: number;
  /** Those of them that were not computed, because an earlier prompt began with them. */
  readonly prefill_cached_tokens: number;
  readonly decode_ms: number;
  readonly decode_tokens: number;
  readonly decode_ms_per_token: number;
  /** Tokens in the cache when the decoding began that `decode_ms_per_token` was measured in; null for audio files. */
  readonly decode_context: number | null;
  /** Audio in until the first token, mean over the files. */
  readonly ttft_ms: number | null;
}

export interface AsrBench {
  job: AsrJob;
  stages: AsrStages;
  detail: {
    /** Per file. */
    readonly texts: readonly string[];
    /** Per file the English name of the language that was found, "" if none. */
    readonly languages: readonly string[];
  };
  quality: AsrQuality;
}
