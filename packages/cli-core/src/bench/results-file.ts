import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError, ResourceError } from "@voxquant/quant-core";
import type { Machine } from "./machine.js";
import type { BenchTypes, Measured } from "./measurement.js";
import type { Summary } from "./summary.js";

/** A labelled run of the bench. */
export interface BenchRun<T extends BenchTypes> {
  readonly label: string;
  /** ISO 8601. */
  readonly started: string;
  readonly machine: Machine;
  readonly summaries: readonly Summary<T>[];
}

/** JSON lines: the machine, every single run, and the summaries, each with its `kind`. */
export function formatResults<T extends BenchTypes>(
  run: BenchRun<T>,
  measured: readonly Measured<T>[],
): string {
  const { label, started, machine, summaries } = run;
  const lines: object[] = [{ kind: "bench", label, started, ...machine }];
  for (const { scenario, results, fileSha256 } of measured) {
    const { model, weights } = scenario;
    results.forEach(({ metrics, backend, isa, threads, detail }, index) => {
      lines.push({
        kind: "run",
        label,
        run: index + 1,
        model,
        weights,
        file_bytes: scenario.fileBytes,
        file_sha256: fileSha256,
        backend,
        isa,
        threads,
        ...metrics,
        ...detail,
      });
    });
  }
  for (const summary of summaries) lines.push({ kind: "summary", label, ...summary });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/**
 * The summaries of an earlier run.
 * @param run its label, or the path of its file
 * @throws ResourceError if there is none, FormatError if the file is no result file
 */
export function readResults<T extends BenchTypes>(run: string, folder: string): BenchRun<T> {
  const path = existsSync(run) ? run : join(folder, `${run}.jsonl`);
  if (!existsSync(path))
    throw new ResourceError(`${path}: no such run; give its --run-label or its .jsonl file`);
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  let records: Record<string, unknown>[];
  try {
    records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  } catch (cause) {
    throw new FormatError(`${path}: not a result file of bench (${(cause as Error).message})`, { cause });
  }
  const [head] = records;
  if (head?.["kind"] !== "bench") throw new FormatError(`${path}: not a result file of bench`);
  return {
    label: String(head["label"]),
    started: String(head["started"]),
    machine: head as unknown as Machine,
    summaries: records.filter(({ kind }) => kind === "summary") as unknown as Summary<T>[],
  };
}
