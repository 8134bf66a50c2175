import type { BenchJob } from "@voxquant/cli-core";
import type { TtsQuality } from "./quality.js";

/** What is spoken in a run: texts, or so many frames by a model of random weights. */
export type Workload =
  | {
      readonly kind: "texts";
      readonly texts: readonly string[];
      readonly speaker: string | null;
      readonly language: string | null;
      readonly instruct: string | null;
      /** File of a cloned voice. */
      readonly voice: string | null;
      /** Null: the checkpoint's; 0: greedy. */
      readonly temperature: number | null;
      readonly normalize: boolean;
      /** Model folder or file that tells what is heard; null: nobody listens. */
      readonly recognizer: string | null;
    }
  | {
      readonly kind: "synthetic";
      /** Tokens of each text. */
      readonly textTokens: number;
      /** Of each speech. */
      readonly frames: number;
    };

/** What a measuring process is asked to do. */
export interface TtsJob extends BenchJob {
  /** Model folder, file or URL. */
  readonly source: string;
  readonly talkerWeights: "auto" | "safetensors" | "gguf";
  readonly talkerGguf: string | null;
  readonly seed: number;
  /** Texts spoken together; with 1 each is streamed alone. */
  readonly batch: number;
  readonly workload: Workload;
}

/** Milliseconds and counts of one run's stages, summed over all texts. */
export interface TtsStages {
  /** Texts through tokenizer, embeddings and talker. */
  readonly prompt_ms: number;
  /** Positions of all prompts. */
  readonly prompt_tokens: number;
  readonly talker_ms: number;
  readonly talker_ms_per_frame: number;
  readonly predictor_ms: number;
  readonly predictor_ms_per_frame: number;
  readonly codec_ms: number;
  readonly codec_ms_per_frame: number;
  /** Text in until the first audio is there, mean over the texts; null where texts are spoken together. */
  readonly first_audio_ms: number | null;
  /** The same from where the prompt was read; null also for texts of several sentences. */
  readonly first_audio_after_prompt_ms: number | null;
  readonly frames: number;
  readonly batch: number;
}

export interface TtsBench {
  job: TtsJob;
  stages: TtsStages;
  detail: {
    /** Per text, time-major. */
    readonly codes: readonly (readonly number[])[];
    /** Codes per frame. */
    readonly groups: number;
    /** What a recogniser heard, per text; null if nobody listened. */
    readonly heard: readonly string[] | null;
  };
  quality: TtsQuality;
}
