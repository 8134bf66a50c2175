// What quantization costs synthesized speech: the mini synthesizer speaks 74 texts with both of its voices, greedily, and
// the mini recogniser writes down what it hears.
//
//   node bench/speech-quality.mjs
//
// prints the section of docs/quality.md about it; bench/quality.mjs prints the whole page.
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadTtsModel, qwen3TtsQuantizeProfile } from "@voxquant/acoustic-model";
import { loadAsrModel } from "@voxquant/asr-model";
import { openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";
import { normalizeBasic, scoreCorpus, scoreTranscript } from "@voxquant/text";
import { SPEECH_TEXTS } from "./speech-texts.mjs";

const TYPES = ["bf16", "q8_0", "q6_k", "q5_0", "q4_k", "q4_0"];
/** Texts spoken together. */
const BATCH = 16;

const folderOf = (name) => fileURLToPath(new URL(`../models/${name}`, import.meta.url));

/** The section, as lines of Markdown. */
export async function speechQuality() {
  const model = folderOf("qwen3-tts-mini");
  const recogniser = await loadAsrModel(folderOf("qwen3-asr-mini"), {
    backend: "native",
    precision: "exact",
  });
  const scratch = mkdtempSync(join(tmpdir(), "voxquant-speech-quality-"));
  try {
    const float = await measure("BF16, float32 activations", model, "exact", recogniser, null);
    const rows = [float];
    for (const type of TYPES) {
      const path = join(scratch, `${type}.gguf`);
      await quantizeCheckpoint(
        { input: model, output: path, qtype: type, scope: "all", quantizeEmbeddings: true },
        await qwen3TtsQuantizeProfile(await openModelFiles(model)),
      );
      rows.push(await measure(type.toUpperCase(), path, "fast", recogniser, float));
    }
    return sectionOf(rows);
  } finally {
    await recogniser.dispose();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function measure(name, path, precision, recogniser, float) {
  const synthesizer = await loadTtsModel(path, { backend: "native", precision });
  const requests = synthesizer.info.speakers.flatMap(({ name: speaker }) =>
    SPEECH_TEXTS.map(({ text, kind }) => ({ text, kind, speaker, language: "english" })),
  );
  const speeches = [];
  for (let at = 0; at < requests.length; at += BATCH) {
    const batch = requests.slice(at, at + BATCH);
    speeches.push(
      ...(await synthesizer.synthesizeBatch(
        batch.map(({ text, speaker, language }) => ({
          text,
          speaker,
          language,
          temperature: 0,
          normalize: false,
        })),
      )),
    );
  }
  const groups = synthesizer.info.codeGroups;
  await synthesizer.dispose();
  const heard = [];
  for (const { samples, sampleRate } of speeches)
    heard.push((await recogniser.transcribe({ samples, sampleRate }, { vad: false })).text);
  const words = (text) => normalizeBasic(text).trim();
  const scores = requests.map(({ text }, i) => scoreTranscript(words(text), words(heard[i])));
  const codes = speeches.map(({ sentences }) => sentences.flatMap((sentence) => [...sentence.codes]));
  return {
    name,
    bytes: bytesOf(path),
    requests,
    heard,
    codes,
    frames: codes.reduce((sum, { length }) => sum + length, 0) / groups,
    all: scoreCorpus(scores),
    byKind: new Map(
      ["digits", "sentence"].map((kind) => [
        kind,
        scoreCorpus(scores.filter((_, i) => requests[i].kind === kind)),
      ]),
    ),
    ended: speeches.filter(({ sentences }) => sentences.every(({ stopReason }) => stopReason === "eos"))
      .length,
    sameCodes: float === null ? codes.length : codes.filter((own, i) => equal(own, float.codes[i])).length,
    wrong: requests.flatMap(({ text, speaker }, i) =>
      words(text) === words(heard[i]) ? [] : [{ text, speaker, to: heard[i] }],
    ),
    changed: float === null ? [] : changesOf(requests, heard, float.heard),
  };
}

function changesOf(requests, heard, floatHeard) {
  return requests.flatMap(({ text, speaker }, i) =>
    heard[i] === floatHeard[i] ? [] : [{ text, speaker, from: floatHeard[i], to: heard[i] }],
  );
}

function equal(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Weights of a folder with its speech tokenizer, or of a file. */
function bytesOf(path) {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith(".safetensors"))
    .reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

function sectionOf(rows) {
  const [float] = rows;
  const percent = (score) => (100 * score.wer).toFixed(2);
  const spoken = float.requests.length;
  const voices = new Set(float.requests.map(({ speaker }) => speaker)).size;
  const heardAs = ({ speaker, text, to }) => `${speaker}, "${text}": "${to}"`;
  const lines = [
    "## Synthesized speech",
    "",
    "Measured by `bench/speech-quality.mjs`: `models/qwen3-tts-mini` speaks " +
      `${spoken / voices} texts (${SPEECH_TEXTS.filter(({ kind }) => kind === "digits").length} digit strings, the others ` +
      `sentences that both mini models know) with each of its ${voices} voices, greedily; \`models/qwen3-asr-mini\` in ` +
      "float32 writes down what it hears. Word error rate in percent, case and punctuation ignored. Native backend; the " +
      'first row computes in float32 throughout, the others round activations (`precision: "fast"`), and the whole model is ' +
      "quantized with the policy of `tts-cli quantize`, embeddings too. In the official package the synthesizer has 2.2 % on " +
      "74 other texts of this kind, 0 % on their digit strings (its README).",
    "",
    "| weights | file | digit strings | sentences | all | ended by itself | frames, of float's | speeches with float's codes | transcripts other than of float |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ...rows.map(
      ({ name, bytes, byKind, all, ended, frames, sameCodes, changed }) =>
        `| ${name} | ${(bytes / 1e6).toFixed(2)} MB | ${percent(byKind.get("digits"))} | ${percent(byKind.get("sentence"))} | ` +
        `${percent(all)} | ${ended} of ${spoken} | ${((100 * frames) / float.frames).toFixed(1)} % | ${sameCodes} | ${changed.length} |`,
    ),
    "",
    "### Float speech that is heard wrongly",
    "",
    ...float.wrong.map((entry) => `- ${heardAs(entry)}`),
    "",
    "### Speech that is heard otherwise than float's",
    "",
  ];
  for (const { name, changed } of rows.slice(1)) {
    if (changed.length === 0) lines.push(`- ${name}: none`);
    else lines.push(`- ${name}:`, ...changed.map((entry) => `  - ${heardAs(entry)}, float: "${entry.from}"`));
  }
  return lines;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log((await speechQuality()).join("\n"));
