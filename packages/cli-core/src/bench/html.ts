import type { Comparison } from "./compare.js";
import { comparisonTable, machineLine, methodLine, resultTables, type TextTable } from "./markdown.js";
import type { BenchTypes } from "./measurement.js";
import { escapeHtml, sizeSpeedPlot, stagePlot } from "./plots.js";
import type { Report } from "./report.js";
import type { BenchRun } from "./results-file.js";

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
.s0 { fill: #9aa5b8; background: #9aa5b8; } .s1 { fill: #5b8def; background: #5b8def; } .s2 { fill: #2f6f9f; background: #2f6f9f; } .s3 { fill: #8f63c9; background: #8f63c9; }
.s4 { fill: #d98032; background: #d98032; } .s5 { fill: #3f9c8f; background: #3f9c8f; } .s6 { fill: #c05c86; background: #c05c86; } .s7 { fill: #8a7a3c; background: #8a7a3c; } .s-other { fill: #c4cad4; background: #c4cad4; }
.key span { display: inline-block; margin-right: 1.2em; } .key i { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; }
`;

/** A report in one file: no scripts, nothing loaded from elsewhere. */
export function formatHtml<T extends BenchTypes>(
  run: BenchRun<T>,
  comparison: readonly Comparison<T>[] | null,
  report: Report<T>,
): string {
  const { label, started, machine, summaries } = run;
  const tables = resultTables(summaries, report);
  const key = [...report.stages.map(({ name }, index) => ({ name, index: String(index) })), OTHER]
    .map(({ name, index }) => `<span><i class="s${index}"></i>${escapeHtml(name)}</span>`)
    .join("");
  const sections = [
    `<h1>${escapeHtml(label)}</h1>`,
    `<p>${escapeHtml(started)}<br><span${machine.noisy ? ' class="noisy"' : ""}>${escapeHtml(machineLine(machine))}</span><br>${escapeHtml(methodLine(run, report))}</p>`,
    htmlTable(tables.result),
    `<h2>Size, speed and quality</h2>\n<p>Up and to the left is better; green has the quality of the float weights, red has lost it, grey was not compared.</p>\n${sizeSpeedPlot(summaries, report)}`,
    `<h2>Where the time goes</h2>\n<p class="key">${key}</p>\n${stagePlot(summaries, report)}\n${htmlTable(tables.stage)}`,
    `<h2>System</h2>\n${htmlTable(tables.system)}`,
  ];
  const notes = summaries.filter(({ note }) => note !== null);
  if (notes.length > 0) {
    const items = notes.map(
      ({ model, weights, note }) => `<li>${escapeHtml(`${model}, ${weights}: ${note}`)}</li>`,
    );
    sections.push(`<h2>Notes</h2>\n<ul>${items.join("")}</ul>`);
  }
  if (comparison !== null) {
    const table = htmlTable(comparisonTable(comparison, report));
    sections.push(`<h2>Compared</h2>\n<p>Now divided by before: below 1 is better.</p>\n${table}`);
  }
  return (
    `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n` +
    `<title>${escapeHtml(label)}</title>\n<style>${STYLE}</style>\n</head>\n<body>\n${sections.join("\n")}\n</body>\n</html>\n`
  );
}

const OTHER = { name: "other", index: "-other" };

function htmlTable({ header, rows }: TextTable): string {
  const row = (cells: readonly string[], tag: "th" | "td"): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((cells) => row(cells, "td")).join("\n");
  return `<div class="scroll"><table>\n<thead>${row(header, "th")}</thead>\n<tbody>\n${body}\n</tbody>\n</table></div>`;
}
