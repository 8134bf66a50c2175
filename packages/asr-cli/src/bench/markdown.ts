import { formatBytes } from "../format.js";
import { COMPARED, type Comparison } from "./compare.js";
import type { Machine } from "./machine.js";
import { starText } from "./quality.js";
import type { BenchRun } from "./results-file.js";
import type { Summary } from "./summary.js";

/** A column of the result tables. */
export interface Column {
  readonly title: string;
  cell(summary: Summary): string;
}

const NOT_AVAILABLE = "n/a";

/** Milliseconds as people read them. */
export function duration(ms: number): string {
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

/** Median with minimum and maximum. */
function ranged(summary: Summary, name: "total_ms"): string {
  const { [name]: min } = summary.min;
  const { [name]: max } = summary.max;
  const range = min === undefined || max === undefined ? "" : ` (${duration(min)}–${duration(max)})`;
  return `${duration(summary[name])}${range}`;
}

const WHAT: readonly Column[] = [
  { title: "model", cell: ({ model }) => model },
  { title: "weights", cell: ({ weights }) => weights },
  { title: "backend", cell: ({ backend, isa }) => `${backend} (${isa})` },
  { title: "threads", cell: ({ threads }) => String(threads) },
];

/** Columns about speed, memory and errors: what one chooses by. */
export const RESULT_COLUMNS: readonly Column[] = [
  ...WHAT,
  { title: "file", cell: ({ file_bytes }) => size(file_bytes) },
  { title: "load", cell: ({ load_ms }) => duration(load_ms) },
  { title: "total (min–max)", cell: (summary) => ranged(summary, "total_ms") },
  { title: "× real time", cell: ({ rtf }) => (1 / rtf).toFixed(1) },
  { title: "RTF", cell: ({ rtf }) => rtf.toFixed(3) },
  { title: "peak RSS", cell: ({ peak_rss_bytes }) => size(peak_rss_bytes) },
  { title: "private", cell: ({ private_bytes }) => size(private_bytes) },
  { title: "mapped", cell: ({ mapped_bytes }) => size(mapped_bytes) },
  { title: "WER", cell: ({ wer }) => percent(wer) },
  { title: "CER", cell: ({ cer }) => percent(cer) },
  { title: "quality", cell: ({ stars }) => (stars === null ? NOT_AVAILABLE : starText(stars)) },
];

/** Columns about where the time goes. */
export const STAGE_COLUMNS: readonly Column[] = [
  ...WHAT,
  { title: "cold start", cell: ({ cold_start_ms }) => duration(cold_start_ms) },
  { title: "audio", cell: ({ audio_ms }) => duration(audio_ms) },
  { title: "features", cell: ({ features_ms }) => duration(features_ms) },
  { title: "encoder", cell: ({ encoder_ms }) => duration(encoder_ms) },
  {
    title: "prefill (tokens)",
    cell: ({ prefill_ms, prefill_tokens }) => `${duration(prefill_ms)} (${prefill_tokens})`,
  },
  {
    title: "per token (tokens, from)",
    cell: ({ decode_ms_per_token, decode_tokens, decode_context }) =>
      `${duration(decode_ms_per_token)} (${decode_tokens}${decode_context === null ? "" : ` from ${decode_context}`})`,
  },
  {
    title: "first token",
    cell: ({ ttft_ms }) => (ttft_ms === null ? NOT_AVAILABLE : duration(ttft_ms)),
  },
  { title: "event loop", cell: ({ event_loop_max_ms }) => duration(event_loop_max_ms) },
];

/** Columns about the process as the system counts it. */
export const SYSTEM_COLUMNS: readonly Column[] = [
  ...WHAT,
  { title: "user", cell: ({ user_ms }) => duration(user_ms) },
  { title: "system", cell: ({ sys_ms }) => duration(sys_ms) },
  { title: "minor faults", cell: ({ minor_faults }) => minor_faults.toFixed(0) },
  { title: "major faults", cell: ({ major_faults }) => major_faults.toFixed(0) },
  { title: "instructions", cell: ({ instructions }) => large(instructions) },
  { title: "cycles", cell: ({ cycles }) => large(cycles) },
  { title: "warm-up", cell: ({ warmup_ms }) => duration(warmup_ms) },
  { title: "spawn to exit", cell: ({ wall_ms }) => duration(wall_ms) },
];

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

/** How the numbers came about, in a sentence. */
export function methodLine({ summaries }: BenchRun): string {
  const [first] = summaries;
  if (first === undefined) return "";
  const against = first.wer_against === null ? "" : ` WER and CER against the ${first.wer_against}.`;
  return (
    `${first.runs === 1 ? "One run" : `Medians of ${first.runs} runs, each`} in a process of its own after one warm-up transcription; ` +
    `${first.file_cache} file cache; ${first.audio_s.toFixed(1)} s of audio; precision ${first.precision}.${against}`
  );
}

export function formatMarkdown(run: BenchRun, comparison: readonly Comparison[] | null): string {
  const { label, started, machine, summaries } = run;
  const sections = [
    `# ${label}`,
    `${started}\n\n${machineLine(machine)}\n\n${methodLine(run)}`,
    table(RESULT_COLUMNS, summaries),
    `## Stages\n\n${table(STAGE_COLUMNS, summaries)}`,
    `## System\n\n${table(SYSTEM_COLUMNS, summaries)}`,
  ];
  const notes = summaries.filter(({ note }) => note !== null);
  if (notes.length > 0) {
    const lines = notes.map(({ model, weights, note }) => `- ${escapeCell(`${model}, ${weights}: ${note}`)}`);
    sections.push(`## Notes\n\n${lines.join("\n")}`);
  }
  if (comparison !== null) sections.push(formatComparison(comparison));
  return `${sections.join("\n\n")}\n`;
}

/** Ratios now by before: below 1 is better. */
export function formatComparison(comparison: readonly Comparison[]): string {
  const header = [...WHAT.map(({ title }) => title), ...COMPARED.map((name) => `${name} ×`), "verdict"];
  const rows = comparison.map(({ now, before, ratios, worse }) => [
    ...WHAT.map((column) => column.cell(now)),
    ...COMPARED.map((name) => ratios[name]?.toFixed(3) ?? NOT_AVAILABLE),
    before === null ? "new" : worse.length === 0 ? "ok" : `worse: ${worse.join(", ")}`,
  ]);
  return `## Compared (now ÷ before)\n\n${markdownTable(header, rows, WHAT.length)}`;
}

function table(columns: readonly Column[], summaries: readonly Summary[]): string {
  const rows = summaries.map((summary) => columns.map((column) => column.cell(summary)));
  return markdownTable(
    columns.map(({ title }) => title),
    rows,
    WHAT.length,
  );
}

/** A table that can be read as text too: columns padded, all but the first `left` flush right. */
function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: number,
): string {
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
