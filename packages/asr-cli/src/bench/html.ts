import { COMPARED, type Comparison } from "./compare.js";
import {
  RESULT_COLUMNS,
  STAGE_COLUMNS,
  SYSTEM_COLUMNS,
  machineLine,
  methodLine,
  type Column,
} from "./markdown.js";
import { STAGES, escapeHtml, sizeSpeedPlot, stagePlot } from "./plots.js";
import type { BenchRun } from "./results-file.js";
import type { Summary } from "./summary.js";

const STYLE = `
:root { color-scheme: light dark; --text: #1d2430; --soft: #667085; --rule: #d8dde6; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --soft: #98a2b3; --rule: #344054; --page: #14181f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } p { color: var(--soft); } .noisy { color: #d92d20; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; white-space: nowrap; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--rule); } th:nth-child(-n+4), td:nth-child(-n+4) { text-align: left; }
svg { width: 100%; max-width: 860px; height: auto; } svg text { font-size: 12px; fill: var(--text); }
.grid { stroke: var(--rule); } .whisker { stroke: var(--text); stroke-width: 1.5; }
circle { stroke: var(--page); stroke-width: 1.5; fill: #7a8699; }
.q5 { fill: #12805c; } .q4 { fill: #5aa02c; } .q3 { fill: #c99a06; } .q2 { fill: #dd7a1d; } .q1 { fill: #d4502a; } .q0 { fill: #a61b1b; }
.s-audio { fill: #9aa5b8; background: #9aa5b8; } .s-features { fill: #5b8def; background: #5b8def; } .s-encoder { fill: #2f6f9f; background: #2f6f9f; }
.s-prefill { fill: #8f63c9; background: #8f63c9; } .s-decode { fill: #d98032; background: #d98032; } .s-other { fill: #c4cad4; background: #c4cad4; }
.key span { display: inline-block; margin-right: 1.2em; } .key i { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; }
`;

/** A report in one file: no scripts, nothing loaded from elsewhere. */
export function formatHtml(run: BenchRun, comparison: readonly Comparison[] | null): string {
  const { label, started, machine, summaries } = run;
  const key = [...STAGES, "other"].map((stage) => `<span><i class="s-${stage}"></i>${stage}</span>`).join("");
  const sections = [
    `<h1>${escapeHtml(label)}</h1>`,
    `<p>${escapeHtml(started)}<br><span${machine.noisy ? ' class="noisy"' : ""}>${escapeHtml(machineLine(machine))}</span><br>${escapeHtml(methodLine(run))}</p>`,
    table(RESULT_COLUMNS, summaries),
    `<h2>Size, speed and errors</h2>\n<p>Up and to the left is better; green has the quality of the float weights, red has lost it, grey was not compared.</p>\n${sizeSpeedPlot(summaries)}`,
    `<h2>Where the time goes</h2>\n<p class="key">${key}</p>\n${stagePlot(summaries)}\n${table(STAGE_COLUMNS, summaries)}`,
    `<h2>System</h2>\n${table(SYSTEM_COLUMNS, summaries)}`,
  ];
  const notes = summaries.filter(({ note }) => note !== null);
  if (notes.length > 0) {
    const items = notes.map(
      ({ model, weights, note }) => `<li>${escapeHtml(`${model}, ${weights}: ${note}`)}</li>`,
    );
    sections.push(`<h2>Notes</h2>\n<ul>${items.join("")}</ul>`);
  }
  if (comparison !== null) sections.push(comparisonSection(comparison));
  return (
    `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n` +
    `<title>${escapeHtml(label)}</title>\n<style>${STYLE}</style>\n</head>\n<body>\n${sections.join("\n")}\n</body>\n</html>\n`
  );
}

function comparisonSection(comparison: readonly Comparison[]): string {
  const header = ["model", "weights", "backend", "threads", ...COMPARED, "verdict"];
  const rows = comparison.map(({ now, before, ratios, worse }) => [
    now.model,
    now.weights,
    now.backend,
    String(now.threads),
    ...COMPARED.map((name) => (ratios[name] === null ? "n/a" : `× ${ratios[name].toFixed(3)}`)),
    before === null ? "new" : worse.length === 0 ? "ok" : `worse: ${worse.join(", ")}`,
  ]);
  return `<h2>Compared</h2>\n<p>Now divided by before: below 1 is better.</p>\n${rawTable(header, rows)}`;
}

function table(columns: readonly Column[], summaries: readonly Summary[]): string {
  return rawTable(
    columns.map(({ title }) => title),
    summaries.map((summary) => columns.map((column) => column.cell(summary))),
  );
}

function rawTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: "th" | "td"): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((cells) => row(cells, "td")).join("\n");
  return `<div class="scroll"><table>\n<thead>${row(header, "th")}</thead>\n<tbody>\n${body}\n</tbody>\n</table></div>`;
}
