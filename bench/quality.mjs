// What quantization costs: word error rates of the mini model by weight type on its evaluation set.
//
//   node bench/quality.mjs EVALUATION_FOLDER > docs/quality.md
//
// EVALUATION_FOLDER has manifest.jsonl (file, text, language, kind) and the recordings. Everything goes through the
// transcriber as a user's recordings do: voice activity detection, pieces, batches, the fast precision.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAsrModel, qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import { openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";
import { normalizeBasic, scoreCorpus, scoreTranscript } from "@voxquant/text";

const folder = process.argv[2];
if (folder === undefined) {
  console.error("usage: node bench/quality.mjs EVALUATION_FOLDER > docs/quality.md");
  process.exit(2);
}
const model = fileURLToPath(new URL("../models/qwen3-asr-mini", import.meta.url));
const clips = readFileSync(join(folder, "manifest.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const KINDS = [
  ["digit", "single digits"],
  ["digit-string", "digit strings"],
  ["sentence", "sentences"],
  ["sentence-10dB", "noise at 10 dB"],
  ["long", "long recordings"],
];
const TYPES = ["bf16", "q8_0", "q6_k", "q5_0", "q4_k", "q4_0"];

const scratch = mkdtempSync(join(tmpdir(), "voxquant-quality-"));
const rows = [];
let float = null;
try {
  rows.push(await measure("BF16, float32 activations", model, "exact"));
  for (const type of TYPES) {
    const path = join(scratch, `${type}.gguf`);
    await quantizeCheckpoint(
      { input: model, output: path, qtype: type, scope: "all", quantizeEmbeddings: true },
      await qwen3AsrQuantizeProfile(await openModelFiles(model)),
    );
    rows.push(await measure(type.toUpperCase(), path, "fast"));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
print(rows);

async function measure(name, path, precision) {
  const recogniser = await loadAsrModel(path, { backend: "native", precision });
  const texts = [];
  const start = performance.now();
  let seconds = 0;
  for (const { file } of clips) {
    const { text, audioSeconds } = await recogniser.transcribe(join(folder, file));
    texts.push(text);
    seconds += audioSeconds;
  }
  const speed = seconds / ((performance.now() - start) / 1000);
  await recogniser.dispose();
  const words = (text) => normalizeBasic(text).trim();
  const scores = clips.map(({ text }, i) => scoreTranscript(words(text), words(texts[i])));
  const byKind = new Map(
    KINDS.map(([kind]) => [kind, scoreCorpus(scores.filter((_, i) => clips[i].kind === kind))]),
  );
  float ??= texts;
  return {
    name,
    bytes: statSync(path).isDirectory()
      ? statSync(join(path, "model.safetensors")).size
      : statSync(path).size,
    speed,
    byKind,
    all: scoreCorpus(scores.filter((_, i) => clips[i].kind !== "no-speech")),
    invented: clips.filter(({ kind }, i) => kind === "no-speech" && texts[i] !== "").length,
    changed: clips.flatMap(({ file }, i) =>
      texts[i] === float[i] ? [] : [{ file, from: float[i], to: texts[i] }],
    ),
  };
}

function print(measured) {
  const percent = (score) => `${(100 * score.wer).toFixed(2)}`;
  const silent = clips.filter(({ kind }) => kind === "no-speech").length;
  const lines = [
    "# Quality by weight type",
    "",
    "Measured by `bench/quality.mjs` with `models/qwen3-asr-mini` on its evaluation set: " +
      `${clips.length} recordings, real digits at 8 kHz and synthetic sentences at 16 kHz in English, German and Russian, ` +
      `voices that are not in the training data. Machine: ${cpus()[0].model}, ${cpus().length} cores.`,
    "",
    "Word error rate in percent, case and punctuation ignored, through the whole pipeline (voice activity detection, " +
      "pieces, batches of 8) on the native backend. The first row computes in float32 throughout; the others round activations " +
      '(`precision: "fast"`) and hold every matrix in the type, the embedding included.',
    "",
    `| weights | file | ${KINDS.map(([, title]) => title).join(" | ")} | all | invented text in ${silent} clips without speech | transcripts other than in float |`,
    `| --- | --: | ${KINDS.map(() => "--:").join(" | ")} | --: | --: | --: |`,
    ...measured.map(
      ({ name, bytes, byKind, all, invented, changed }) =>
        `| ${name} | ${(bytes / 1e6).toFixed(2)} MB | ${KINDS.map(([kind]) => percent(byKind.get(kind))).join(" | ")} | ` +
        `${percent(all)} | ${invented} | ${changed.length} |`,
    ),
    "",
    "## Transcripts that differ from float",
    "",
  ];
  for (const { name, changed } of measured.slice(1)) {
    if (changed.length === 0) lines.push(`* ${name}: none`);
    else
      lines.push(
        `* ${name}:`,
        ...changed.map(({ file, from, to }) => `  * ${file}: "${to}", float: "${from}"`),
      );
  }
  console.log(lines.join("\n"));
}
