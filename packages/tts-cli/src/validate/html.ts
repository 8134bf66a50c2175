import type { ValidationRun } from "@voxquant/acoustic-model";
import { writeWav } from "@voxquant/audio";
import { escapeHtml, modelName } from "@voxquant/cli-core";
import { spectrogramPng } from "./picture.js";
import { reportTables, type Comparison, type ReportTable } from "./report.js";

const STYLE = `
:root { color-scheme: light dark; --text: #1d2430; --soft: #667085; --rule: #d8dde6; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --soft: #98a2b3; --rule: #344054; --page: #14181f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } p { color: var(--soft); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--rule); } th:first-child, td:first-child { text-align: left; }
.pair { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; } figure { margin: 0; } figcaption { font-size: 13px; color: var(--soft); }
img { width: 100%; height: 160px; display: block; } audio { width: 100%; }
svg { width: 100%; max-width: 860px; height: auto; } svg text { font-size: 12px; fill: var(--text); }
.forced { fill: #2f6f9f; background: #2f6f9f; } .free { fill: #d98032; background: #d98032; }
.key span { margin-right: 1.2em; } .key i { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; }
`;

/** A page in one file, without scripts: tables, and each sentence to see and to hear. */
export function formatHtml(
  comparison: Comparison,
  reference: ValidationRun,
  candidate: ValidationRun,
): string {
  const { report } = comparison;
  const title = `${modelName(comparison.candidate.location)} against ${modelName(comparison.reference.location)}`;
  const sections = [
    `<h1>${escapeHtml(title)}</h1>`,
    ...reportTables(comparison).map(htmlTable),
    `<h2>Equal codes by codebook</h2>\n<p class="key"><span><i class="forced"></i>teacher-forced</span><span><i class="free"></i>free</span></p>\n${codebookPlot(comparison)}`,
    "<h2>Sentences</h2>\n<p>Left and middle: each model as it speaks by itself. Right: the candidate along the reference's codes. 0 Hz at the bottom, half of the sample rate at the top, 80 dB.</p>",
    ...report.sentences.map((sentence, i) => {
      const [own, other] = [reference.speeches[i]!, candidate.speeches[i]!];
      const { freeAgreement, forcedAgreement, referenceFrames, candidateFrames, aligned } = sentence;
      const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
      const facts =
        `${referenceFrames} and ${candidateFrames} frames; equal codes ${percent(forcedAgreement)} teacher-forced, ${percent(freeAgreement)} free; ` +
        `aligned mel cepstral distortion ${aligned.melCepstralDistortion.toFixed(2)} dB; ended by ${own.stopReason} and ${other.stopReason}`;
      const { sampleRate } = reference;
      const figures = [
        figure("reference", own.freeAudio, sampleRate),
        figure("candidate", other.freeAudio, sampleRate),
        figure("candidate, teacher-forced", other.forcedAudio, sampleRate),
      ];
      return `<h3>${escapeHtml(sentence.text)}</h3>\n<p>${escapeHtml(facts)}</p>\n<div class="pair">\n${figures.join("\n")}\n</div>`;
    }),
  ];
  return (
    `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n` +
    `<title>${escapeHtml(title)}</title>\n<style>${STYLE}</style>\n</head>\n<body>\n${sections.join("\n")}\n</body>\n</html>\n`
  );
}

function figure(caption: string, samples: Float32Array, sampleRate: number): string {
  const image = base64(spectrogramPng(samples, sampleRate));
  const sound = base64(writeWav({ sampleRate, channels: [samples] }));
  return (
    `<figure><figcaption>${escapeHtml(caption)}</figcaption><img alt="spectrogram" src="data:image/png;base64,${image}">` +
    `<audio controls preload="none" src="data:audio/wav;base64,${sound}"></audio></figure>`
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function htmlTable({ title, note, header, rows }: ReportTable): string {
  const row = (cells: readonly string[], tag: "th" | "td"): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((cells) => row(cells, "td")).join("\n");
  return `<h2>${escapeHtml(title)}</h2>\n<p>${escapeHtml(note)}</p>\n<table>\n<thead>${row(header, "th")}</thead>\n<tbody>\n${body}\n</tbody>\n</table>`;
}

const PLOT = { width: 860, height: 240, left: 48, bottom: 28, top: 8 };

/** Two bars for each codebook, from 0 to 100 %. */
function codebookPlot({ report: { forcedAgreement, freeAgreement } }: Comparison): string {
  const { width, height, left, bottom, top } = PLOT;
  const room = height - bottom - top;
  const step = (width - left) / forcedAgreement.byCodebook.length;
  const bar = (x: number, value: number, className: string): string => {
    const tall = room * value;
    return `<rect x="${x.toFixed(1)}" y="${(top + room - tall).toFixed(1)}" width="${(step * 0.4).toFixed(1)}" height="${tall.toFixed(1)}" class="${className}"><title>${(100 * value).toFixed(2)} %</title></rect>`;
  };
  const bars = forcedAgreement.byCodebook.map((forced, k) => {
    const x = left + k * step;
    const middle = (x + step * 0.45).toFixed(1);
    return (
      bar(x + step * 0.05, forced, "forced") +
      bar(x + step * 0.45, freeAgreement.byCodebook[k]!, "free") +
      `<text x="${middle}" y="${height - 10}" text-anchor="middle">${k}</text>`
    );
  });
  const axis = [0, 0.5, 1].map(
    (value) =>
      `<text x="${left - 8}" y="${(top + room * (1 - value) + 4).toFixed(1)}" text-anchor="end">${100 * value} %</text>`,
  );
  return `<svg viewBox="0 0 ${width} ${height}" role="img">\n${[...axis, ...bars].join("\n")}\n</svg>`;
}
