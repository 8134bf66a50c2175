import { formatBytes } from "../format.js";
import { duration, threadsText } from "./markdown.js";
import type { BenchTypes } from "./measurement.js";
import type { Report } from "./report.js";
import type { Summary } from "./summary.js";

/** Text made harmless inside HTML and SVG. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

const WIDTH = 860;
const HEIGHT = 420;
const MARGIN = { left: 64, right: 24, top: 20, bottom: 48 };

/** Room that the label of a point takes, at most. */
const LABEL = { width: 240, height: 14 };

/** About `count` round numbers from 0 up to at least `max`. */
export function ticks(max: number, count: number): number[] {
  const raw = Math.max(max, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw)!;
  const steps = Math.max(1, Math.ceil(max / step - 1e-9));
  return Array.from({ length: steps + 1 }, (_, i) => i * step);
}

/** File size × speed, the colour of a point its quality: up and to the left is better. */
export function sizeSpeedPlot<T extends BenchTypes>(
  summaries: readonly Summary<T>[],
  report: Report<T>,
): string {
  const xTicks = ticks(Math.max(...summaries.map(({ file_bytes }) => file_bytes)), 6);
  const yTicks = ticks(Math.max(...summaries.map(({ rtf }) => 1 / rtf)), 6);
  const x = (bytes: number): number =>
    MARGIN.left + (bytes / xTicks.at(-1)!) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (speed: number): number =>
    HEIGHT - MARGIN.bottom - (speed / yTicks.at(-1)!) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  const axes = [
    ...xTicks.map(
      (tick) =>
        line(x(tick), MARGIN.top, x(tick), bottom, "grid") +
        label(x(tick), bottom + 18, formatBytes(tick), "middle"),
    ),
    ...yTicks.map(
      (tick) =>
        line(MARGIN.left, y(tick), right, y(tick), "grid") +
        label(MARGIN.left - 8, y(tick) + 4, String(Number(tick.toPrecision(6))), "end"),
    ),
    label((MARGIN.left + right) / 2, HEIGHT - 8, "size of the weights", "middle"),
    label(MARGIN.left, MARGIN.top - 6, "× real time", "start"),
  ];
  const taken: { x: number; y: number }[] = [];
  const byHeight = [...summaries].sort((a, b) => a.rtf - b.rtf);
  const points = byHeight.map((summary) => {
    const [cx, cy] = [x(summary.file_bytes), y(1 / summary.rtf)];
    const name = `${summary.weights}, ${summary.backend}, ${threadsText(summary.threads)}`;
    const said = report.pointNote(summary);
    const quality = said === "" ? "" : `, ${said}`;
    const title = `${summary.model}: ${name}, ${formatBytes(summary.file_bytes)}, ${(1 / summary.rtf).toFixed(1)} × real time${quality}`;
    const atRight = cx > WIDTH * 0.7;
    // From the top down, each label below those that it would cover.
    let labelY = cy + 4;
    for (const other of taken)
      if (Math.abs(other.x - cx) < LABEL.width && labelY < other.y + LABEL.height)
        labelY = other.y + LABEL.height;
    taken.push({ x: cx, y: labelY });
    return (
      `<g><title>${escapeHtml(title)}</title><circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="7" class="q${summary.stars ?? "n"}"/>` +
      label(cx + (atRight ? -12 : 12), labelY, name + quality, atRight ? "end" : "start") +
      "</g>"
    );
  });
  return svg(HEIGHT, [...axes, ...points]);
}

const BAR = { height: 26, step: 46, top: 8, left: 32 };

/** A bar per scenario, divided into its stages, with a whisker from the fastest to the slowest total. */
export function stagePlot<T extends BenchTypes>(summaries: readonly Summary<T>[], report: Report<T>): string {
  const longest = Math.max(...summaries.map((summary) => totals(summary).high));
  const axis = ticks(longest, 8);
  const x = (ms: number): number => BAR.left + (ms / axis.at(-1)!) * (WIDTH - 2 * BAR.left);
  const bottom = BAR.top + summaries.length * BAR.step;
  const grid = axis.map(
    (tick) =>
      line(x(tick), BAR.top, x(tick), bottom, "grid") + label(x(tick), bottom + 18, duration(tick), "middle"),
  );
  const bars = summaries.map((summary, row) => {
    const y = BAR.top + row * BAR.step + 16;
    let start = 0;
    const parts = stageTimes(summary, report).map(({ stage, ms }, index) => {
      const className = index < report.stages.length ? `s${index}` : "s-other";
      const rect = `<rect x="${x(start).toFixed(1)}" y="${y}" width="${(x(start + ms) - x(start)).toFixed(1)}" height="${BAR.height}" class="${className}"><title>${escapeHtml(stage)}: ${duration(ms)}</title></rect>`;
      start += ms;
      return rect;
    });
    const { low, high } = totals(summary);
    const middle = y + BAR.height / 2;
    const whisker =
      line(x(low), middle, x(high), middle, "whisker") +
      line(x(low), middle - 5, x(low), middle + 5, "whisker") +
      line(x(high), middle - 5, x(high), middle + 5, "whisker");
    const name = `${summary.model}, ${summary.weights}, ${summary.backend} (${summary.isa}), ${threadsText(summary.threads)}: ${duration(summary.total_ms)}`;
    return label(x(0), y - 4, name, "start") + parts.join("") + whisker;
  });
  return svg(bottom + 28, [...grid, ...bars]);
}

function totals<T extends BenchTypes>(summary: Summary<T>): { low: number; high: number } {
  const { total_ms: low = summary.total_ms } = summary.min as { total_ms?: number };
  const { total_ms: high = summary.total_ms } = summary.max as { total_ms?: number };
  return { low, high };
}

/** The report's stages and what is left of the total. */
export function stageTimes<T extends BenchTypes>(
  summary: Summary<T>,
  report: Report<T>,
): { stage: string; ms: number }[] {
  const parts = report.stages.map(({ name, metric }) => ({
    stage: name,
    ms: (summary[metric] as number | null) ?? 0,
  }));
  const known = parts.reduce((sum, { ms }) => sum + ms, 0);
  return [...parts, { stage: "other", ms: Math.max(0, summary.total_ms - known) }];
}

function svg(height: number, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">\n${parts.join("\n")}\n</svg>`;
}

function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" class="${className}"/>`;
}

function label(x: number, y: number, text: string, anchor: "start" | "middle" | "end"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeHtml(text)}</text>`;
}
