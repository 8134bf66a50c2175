import { formatBytes } from "../format.js";
import type { Comparison } from "./compare.js";
import type { Machine } from "./machine.js";
import type { BenchTypes } from "./measurement.js";
import type { Column, Report } from "./report.js";
import type { BenchRun } from "./results-file.js";
import type { Summary } from "./summary.js";

const NOT_AVAILABLE = "n/a";

/** Milliseconds as people read them. */
export function duration(ms: number | null): string {
  if (ms === null) return NOT_AVAILABLE;
  if (ms >= 9995) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 999.5) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 99.5 ? `${ms.toFixed(0)} ms` : ms >= 9.95 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`;
}

export function threadsText(threads: number): string {
  return threads === 1 ? "1 thread" : `${threads} threads`;
}

export function percent(rate: number | null): string {
  return rate === null ? NOT_AVAILABLE : `${(100 * rate).toFixed(2)} %`;
}

const size = (bytes: number | null): string => (bytes === null ? NOT_AVAILABLE : formatBytes(bytes));

function large(count: number | null): string {
  return count === null ? NOT_AVAILABLE : `${(count / 1e9).toFixed(2)} G`;
}

const STARS = 5;

export function starText(stars: number): string {
  return "★".repeat(stars) + "☆".repeat(STARS - stars);
}

/** Median with minimum and maximum of the total. */
function totalRange<T extends BenchTypes>(summary: Summary<T>): string {
  const { total_ms: min } = summary.min as { total_ms?: number };
  const { total_ms: max } = summary.max as { total_ms?: number };
  const range = min === undefined || max === undefined ? "" : ` (${duration(min)}–${duration(max)})`;
  return `${duration(summary.total_ms)}${range}`;
}

function columnsOf<T extends BenchTypes>(
  report: Report<T>,
): Record<"result" | "stage" | "system", Column<T>[]> {
  const what: readonly Column<T>[] = [
    { title: "model", cell: ({ model }) => model },
    { title: "weights", cell: ({ weights }) => weights },
    { title: "backend", cell: ({ backend, isa }) => `${backend} (${isa})` },
    { title: "threads", cell: ({ threads }) => String(threads) },
  ];
  return {
    // What one chooses by.
    result: [
      ...what,
      { title: "file", cell: ({ file_bytes }) => size(file_bytes) },
      { title: "load", cell: ({ load_ms }) => duration(load_ms) },
      { title: "total (min–max)", cell: (summary) => totalRange(summary) },
      { title: "× real time", cell: ({ rtf }) => (1 / rtf).toFixed(1) },
      { title: "RTF", cell: ({ rtf }) => rtf.toFixed(3) },
      { title: "peak RSS", cell: ({ peak_rss_bytes }) => size(peak_rss_bytes) },
      { title: "private", cell: ({ private_bytes }) => size(private_bytes) },
      { title: "mapped", cell: ({ mapped_bytes }) => size(mapped_bytes) },
      ...report.qualityColumns,
      { title: "quality", cell: ({ stars }) => (stars === null ? NOT_AVAILABLE : starText(stars)) },
    ],
    stage: [
      ...what,
      { title: "cold start", cell: ({ cold_start_ms }) => duration(cold_start_ms) },
      ...report.stageColumns,
      { title: "event loop", cell: ({ event_loop_delay_max_ms }) => duration(event_loop_delay_max_ms) },
    ],
    // The process as the system counts it.
    system: [
      ...what,
      { title: "user", cell: ({ user_ms }) => duration(user_ms) },
      { title: "system", cell: ({ sys_ms }) => duration(sys_ms) },
      { title: "minor faults", cell: ({ minor_faults }) => minor_faults.toFixed(0) },
      { title: "major faults", cell: ({ major_faults }) => major_faults.toFixed(0) },
      { title: "instructions", cell: ({ instructions }) => large(instructions) },
      { title: "cycles", cell: ({ cycles }) => large(cycles) },
      { title: "warm-up", cell: ({ warmup_ms }) => duration(warmup_ms) },
      { title: "spawn to exit", cell: ({ wall_ms }) => duration(wall_ms) },
    ],
  };
}

/** Columns of a table that say what ran. */
export const WHAT_COLUMNS = 4;

/** A table of the report as text. */
export interface TextTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The tables of a run: what one chooses by, where the time goes, and what the system counts. */
export function resultTables<T extends BenchTypes>(
  summaries: readonly Summary<T>[],
  report: Report<T>,
): Record<"result" | "stage" | "system", TextTable> {
  const columns = columnsOf(report);
  const table = (list: readonly Column<T>[]): TextTable => ({
    header: list.map(({ title }) => title),
    rows: summaries.map((summary) => list.map((column) => column.cell(summary))),
  });
  return { result: table(columns.result), stage: table(columns.stage), system: table(columns.system) };
}

/** Ratios now by before: below 1 is better. */
export function comparisonTable<T extends BenchTypes>(
  comparison: readonly Comparison<T>[],
  report: Report<T>,
): TextTable {
  const what = columnsOf(report).result.slice(0, WHAT_COLUMNS);
  return {
    header: [...what.map(({ title }) => title), ...report.compared.map((name) => `${name} ×`), "verdict"],
    rows: comparison.map(({ now, before, ratios, worse }) => [
      ...what.map((column) => column.cell(now)),
      ...report.compared.map((name) => ratios[name]?.toFixed(3) ?? NOT_AVAILABLE),
      before === null ? "new" : worse.length === 0 ? "ok" : `worse: ${worse.join(", ")}`,
    ]),
  };
}

export function machineLine(machine: Machine): string {
  const { cpu, cores, governor, memory_bytes, system, node, commit, load_average, noisy } = machine;
  const parts = [
    `${cpu}, ${cores} cores${governor === null ? "" : ` (${governor})`}`,
    formatBytes(memory_bytes),
    system,
    `Node ${node}`,
    ...(commit === null ? [] : [`commit ${commit}`]),
    `load ${load_average.toFixed(2)}${noisy ? ": NOISY, other work was running" : ""}`,
  ];
  return parts.join(" · ");
}

/** How the numbers came about, in a few sentences. */
export function methodLine<T extends BenchTypes>({ summaries }: BenchRun<T>, report: Report<T>): string {
  const [first] = summaries;
  if (first === undefined) return "";
  return (
    `${first.runs === 1 ? "One run" : `Medians of ${first.runs} runs, each`} in a process of its own after one warm-up; ` +
    `${first.file_cache} file cache; ${first.audio_s.toFixed(1)} s of audio; precision ${first.precision}. ${report.method(first)}`.trim()
  );
}

export function formatMarkdown<T extends BenchTypes>(
  run: BenchRun<T>,
  comparison: readonly Comparison<T>[] | null,
  report: Report<T>,
): string {
  const { label, started, machine, summaries } = run;
  const tables = resultTables(summaries, report);
  const sections = [
    `# ${label}`,
    `${started}\n\n${machineLine(machine)}\n\n${methodLine(run, report)}`,
    markdownTable(tables.result),
    `## Stages\n\n${markdownTable(tables.stage)}`,
    `## System\n\n${markdownTable(tables.system)}`,
  ];
  const notes = summaries.filter(({ note }) => note !== null);
  if (notes.length > 0) {
    const lines = notes.map(({ model, weights, note }) => `- ${escapeCell(`${model}, ${weights}: ${note}`)}`);
    sections.push(`## Notes\n\n${lines.join("\n")}`);
  }
  if (comparison !== null)
    sections.push(`## Compared (now ÷ before)\n\n${markdownTable(comparisonTable(comparison, report))}`);
  return `${sections.join("\n\n")}\n`;
}

/** A table that can be read as text too: columns padded, all but those that say what ran flush right. */
function markdownTable({ header, rows }: TextTable, left = WHAT_COLUMNS): string {
  const cells = [header, ...rows].map((row) => row.map(escapeCell));
  const widths = header.map((_, column) => Math.max(3, ...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i < left ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(cells[0]!), line(rule), ...cells.slice(1).map(line)].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replace(/\s+/g, " ");
}
