import type { StopReason } from "@voxquant/acoustic-model";
import type { BenchJob } from "@voxquant/cli-core";

/** What a process that speaks for a comparison is asked to do. */
export interface ValidateJob extends BenchJob {
  /** Model folder, file or URL. */
  readonly source: string;
  readonly choice: "auto" | "safetensors" | "gguf";
  readonly texts: readonly string[];
  readonly speaker: string | null;
  readonly language: string | null;
  readonly instruct: string | null;
  /** File of a cloned voice. */
  readonly voice: string | null;
  /** Null: the checkpoint's; 0: greedy. */
  readonly temperature: number | null;
  readonly normalize: boolean;
  readonly seed: number;
  /** Codes of the other model's sentences, null for the one that is compared with. */
  readonly reference: readonly (readonly number[])[] | null;
  /** Where the audio goes: float32 samples as the machine has them, `SENTENCE-KIND.f32`. */
  readonly folder: string;
}

/** Audio of a sentence: the model's own speech, along the reference's codes, and the reference's codes themselves. */
export const AUDIO_KINDS = ["free", "forced", "codec"] as const;
export type AudioKind = (typeof AUDIO_KINDS)[number];

/** A sentence without its audio. */
export interface SpokenCodes {
  readonly text: string;
  readonly stopReason: StopReason;
  readonly freeCodes: readonly number[];
  readonly forcedCodes: readonly number[];
  readonly ends: boolean;
}

export interface ValidateBench {
  job: ValidateJob;
  stages: {
    readonly prompt_ms: number;
    readonly talker_ms_per_frame: number;
    readonly predictor_ms_per_frame: number;
    readonly codec_ms_per_frame: number;
    readonly frames: number;
  };
  detail: {
    readonly sampleRate: number;
    readonly groups: number;
    readonly sentences: readonly SpokenCodes[];
  };
  quality: object;
}
