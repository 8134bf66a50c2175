import type { BenchTypes, MetricName } from "./measurement.js";
import type { Summary } from "./summary.js";

/** A column of the result tables. */
export interface Column<T extends BenchTypes> {
  readonly title: string;
  cell(summary: Summary<T>): string;
}

/** What a program's bench reports beyond what all have in common. */
export interface Report<T extends BenchTypes> {
  /** Columns about the quality of the result, after those about size, speed and memory. */
  readonly qualityColumns: readonly Column<T>[];
  /** Columns about where the time goes. */
  readonly stageColumns: readonly Column<T>[];
  /** The stages of a run in the order of time, at most eight; what is left of the total is `other`. */
  readonly stages: readonly { readonly name: string; readonly metric: MetricName<T> }[];
  /** What two runs are compared by: medians, smaller is better. */
  readonly compared: readonly MetricName<T>[];
  /** What of the quality got worse beyond its tolerance, e.g. `errors`; empty if nothing did. */
  worse(now: Summary<T>, before: Summary<T>): readonly string[];
  /** Quality of a point of the plot in a few words, "" without. */
  pointNote(summary: Summary<T>): string;
  /** What was run and measured against what, as sentences. */
  method(summary: Summary<T>): string;
}
