/**
 * What a program's bench is about, as types: the job of a measuring process, the metrics of a run beyond the common
 * ones, what else a run gives, and the judgement on its result.
 */
export interface BenchTypes {
  /** Sent to the measuring process; must survive JSON. */
  job: BenchJob;
  /** Times and counts of the program's own stages, numbers or null; milliseconds where their names end so. */
  stages: object;
  /** Texts, codes … of a run, by which results are compared. */
  detail: object;
  /** Fields of the summary that tell how good the result is. */
  quality: object;
}

/** Parts of every job that the harness itself looks at. */
export interface BenchJob {
  readonly backend: string;
  /** Null: the backend's default. */
  readonly threads: number | null;
  readonly precision: "fast" | "exact";
}

/** Milliseconds, bytes and counts that every bench has; null where the system does not tell. */
export interface CommonMetrics {
  /** Spawn of a fresh process until the model is ready. */
  readonly cold_start_ms: number;
  /** The load call in it. */
  readonly load_ms: number;
  /** The first use of the model, which is not counted elsewhere. */
  readonly warmup_ms: number;
  /** Input in until the whole result is there. */
  readonly total_ms: number;
  /** total_ms by the audio's length. */
  readonly rtf: number;
  /** Longest time in which the event loop got no turn. */
  readonly event_loop_delay_max_ms: number;
  /** Of the measured work, all threads. */
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

/** Those that only the process that spawned the measured one can tell. */
export type OutsideMetricName =
  "cold_start_ms" | "private_bytes" | "mapped_bytes" | "instructions" | "cycles" | "wall_ms";

/** Those that `underClocks` takes. */
export type ClockMetrics = Pick<
  CommonMetrics,
  "event_loop_delay_max_ms" | "user_ms" | "sys_ms" | "peak_rss_bytes" | "minor_faults" | "major_faults"
>;

export type Metrics<T extends BenchTypes> = CommonMetrics & T["stages"];

export type MetricName<T extends BenchTypes> = keyof Metrics<T> & string;

/** Those that the measured process knows itself. */
export type OwnMetrics<T extends BenchTypes> = Omit<CommonMetrics, OutsideMetricName> & T["stages"];

/** What a measuring process reports. */
export interface Outcome<T extends BenchTypes> {
  readonly metrics: OwnMetrics<T>;
  /** What runs the model: backend, instruction set and thread count in use. */
  readonly backend: string;
  readonly isa: string;
  readonly threads: number;
  /** Types of the weights, e.g. "Q8_0 with F16". */
  readonly weightTypes: string;
  /** Of the audio that was read or made. */
  readonly audioSeconds: number;
  readonly detail: T["detail"];
  /** What a reader of the figures must know, e.g. that fewer tokens were made than asked for. */
  readonly note: string | null;
}

/** The outcome with what was measured from outside. */
export type RunResult<T extends BenchTypes> = Omit<Outcome<T>, "metrics"> & { readonly metrics: Metrics<T> };

/** One row of the result: a model with some weights on a backend. */
export interface Scenario<T extends BenchTypes> {
  /** Name of the model, for people. */
  readonly model: string;
  /** `safetensors`, a quantization type, or a file's name. */
  readonly weights: string;
  readonly job: T["job"];
  /** Local files with the weights, empty for a URL. */
  readonly files: readonly string[];
  readonly fileBytes: number;
}

/** A scenario with what its runs gave. */
export interface Measured<T extends BenchTypes> {
  readonly scenario: Scenario<T>;
  /** Of its weight files, see `digestOf`. */
  readonly fileSha256: string | null;
  readonly results: readonly RunResult<T>[];
}

/** From the measuring process to the one that asked. Times are milliseconds since the epoch. */
export type Message<T extends BenchTypes> =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "ready"; readonly at: number }
  | { readonly kind: "done"; readonly outcome: Outcome<T> }
  | { readonly kind: "failed"; readonly name: string; readonly message: string };
