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
export interface Job {
  /** Model folder, file or URL. */
  readonly source: string;
  readonly decoderWeights: "auto" | "safetensors" | "gguf";
  readonly decoderGguf: string | null;
  readonly backend: string;
  readonly threads: number | null;
  readonly precision: "fast" | "exact";
  readonly workload: Workload;
}

/** Milliseconds, bytes and counts of one run; null where the system does not tell. */
export interface Metrics {
  /** Spawn of a fresh process until the model is ready. */
  readonly cold_start_ms: number;
  /** The load call in it. */
  readonly load_ms: number;
  /** The first transcription, which is not counted elsewhere. */
  readonly warmup_ms: number;
  /** Reading, decoding and resampling audio, and finding speech. */
  readonly audio_ms: number;
  readonly features_ms: number;
  readonly encoder_ms: number;
  readonly prefill_ms: number;
  readonly prefill_tokens: number;
  readonly decode_ms: number;
  readonly decode_tokens: number;
  readonly decode_ms_per_token: number;
  /** Tokens in the cache when the decoding began that `decode_ms_per_token` was measured in; null for audio files. */
  readonly decode_context: number | null;
  /** Audio in until its text is complete, all files. */
  readonly total_ms: number;
  /** total_ms by the audio's length. */
  readonly rtf: number;
  /** Audio in until the first token, mean over the files. */
  readonly ttft_ms: number | null;
  /** Longest time in which the event loop got no turn. */
  readonly event_loop_max_ms: number;
  /** Of the measured transcription, all threads. */
  readonly user_ms: number;
  readonly sys_ms: number;
  /** From here on: of the whole process, load and warm-up included. */
  readonly peak_rss_bytes: number;
  readonly private_bytes: number | null;
  readonly mapped_bytes: number | null;
  readonly minor_faults: number;
  readonly major_faults: number;
  readonly instructions: number | null;
  readonly cycles: number | null;
  /** Spawn until exit. */
  readonly wall_ms: number;
}

export type MetricName = keyof Metrics;

/** Those that the measured process knows itself. */
export type OwnMetrics = Omit<
  Metrics,
  "cold_start_ms" | "private_bytes" | "mapped_bytes" | "instructions" | "cycles" | "wall_ms"
>;

export interface Outcome {
  readonly metrics: OwnMetrics;
  /** What runs the model: backend, instruction set and thread count in use. */
  readonly backend: string;
  readonly isa: string;
  readonly threads: number;
  /** Types of the weights, e.g. "Q8_0 with F16". */
  readonly weightTypes: string;
  readonly audioSeconds: number;
  /** Per file. */
  readonly texts: readonly string[];
  /** Per file the English name of the language that was found, "" if none. */
  readonly languages: readonly string[];
  /** Length of the generations, if not as asked for. */
  readonly note: string | null;
}

/** From the measuring process to the one that asked. Times are milliseconds since the epoch. */
export type Message =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "ready"; readonly at: number }
  | { readonly kind: "done"; readonly outcome: Outcome }
  | { readonly kind: "failed"; readonly name: string; readonly message: string };
