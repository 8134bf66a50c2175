// What quantization costs: word error rates by weight type, of the mini recogniser on its evaluation set, and of what it
// hears of the mini synthesizer's speech.
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
import { describeBackend, openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";
import { normalizeBasic, scoreCorpus, scoreTranscript } from "@voxquant/text";
import { speechQuality } from "./speech-quality.mjs";

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

/** Stages of which the error of the fast precision is shown. */
const STAGES = [
  "conv3_flat",
  "enc_in",
  "enc_layer_0",
  "enc_layer_3",
  "audio_embeds",
  "dec_layer_0",
  "dec_layer_2",
  "logits",
];
const SAMPLES = ["kitchen-light-en.wav", "timer-en.wav", "fenster-de.wav", "pogoda-ru.wav"];

const scratch = mkdtempSync(join(tmpdir(), "voxquant-quality-"));
const rows = [];
const stageErrors = [];
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
    for (const backend of ["native", "wasm"])
      stageErrors.push(await fastErrors(type.toUpperCase(), path, backend));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
print(rows);
console.log(`\n${(await speechQuality()).join("\n")}`);

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

/** Relative RMS error of `fast` against `exact` on the same weights: the worst of the samples, by stage. */
async function fastErrors(name, path, backend) {
  const worst = new Map(STAGES.map((stage) => [stage, 0]));
  const runs = [];
  for (const precision of ["exact", "fast"]) {
    const recogniser = await loadAsrModel(path, { backend, precision });
    const stages = [];
    for (const file of SAMPLES) {
      const traced = new Map();
      await recogniser.transcribe(fileURLToPath(new URL(`../samples/${file}`, import.meta.url)), {
        vad: false,
        // of the logits the first step: later ones follow tokens that may differ
        trace: (stage, { shape, data }) =>
          traced.set(stage, stage === "logits" ? data.subarray(0, shape[1]) : data),
      });
      stages.push(traced);
    }
    await recogniser.dispose();
    runs.push(stages);
  }
  const [exact, fast] = runs;
  exact.forEach((traced, i) => {
    for (const stage of STAGES) {
      const expected = traced.get(stage);
      const actual = fast[i].get(stage);
      let errors = 0;
      let squares = 0;
      for (let at = 0; at < expected.length; at++) {
        errors += (actual[at] - expected[at]) ** 2;
        squares += expected[at] ** 2;
      }
      worst.set(stage, Math.max(worst.get(stage), Math.sqrt(errors / squares)));
    }
  });
  return { name, backend, worst };
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
  lines.push(
    "",
    "## Error of the fast precision, stage by stage",
    "",
    "RMS of the difference between `fast` and `exact` on the same weights, relative to the stage's RMS, worst of the " +
      `${SAMPLES.length} short samples. One product of a prompt's or an encoder's rows in int8 is expected to err by 0.009 on ` +
      "the native backend (both sides in groups of 128, Gaussian values; by 0.018 where codes have seven bits, as on the level " +
      "`avx512pairs`), by 0.0055 on WASM and for single rows (activations in groups of 32); n in sequence by √n times that. " +
      `Here the native backend computed with \`${describeBackend("native").isa}\`. The limit that the tests hold every stage to is 2.5 · 0.009·√n ` +
      "(`packages/asr-model/src/qwen3-asr/fast-precision.test.ts`).",
    "",
    `| weights | backend | ${STAGES.join(" | ")} |`,
    `| --- | --- | ${STAGES.map(() => "--:").join(" | ")} |`,
    ...stageErrors.map(
      ({ name, backend, worst }) =>
        `| ${name} | ${backend} | ${STAGES.map((stage) => worst.get(stage).toFixed(4)).join(" | ")} |`,
    ),
  );
  console.log(lines.join("\n"));
}
