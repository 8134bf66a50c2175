// Memory while a long text is spoken in one call: the slope of RssAnon (memory of the process's own, without mapped files)
// after forced garbage collection, fitted to the last 80 % of the sentences. Linux only.
//
//   node bench/long-speech.mjs [--words 5000] [--backends native,wasm] [--model models/qwen3-tts-mini] [--json]
//
// The text repeats the sentences of models/qwen3-tts-mini/expected.json; each is spoken with a seed of its own.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { memoryNow, peakBytes, slopeOf } from "./process-memory.mjs";
import { readOptions } from "./options.mjs";

/** Measurements of a run. */
const POINTS = 100;

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const flags = readOptions(import.meta.url, {
  words: { type: "string", default: "5000" },
  backends: { type: "string", default: "native,wasm" },
  model: { type: "string", default: path("../models/qwen3-tts-mini") },
  json: { type: "boolean", default: false },
  backend: { type: "string" }, // the child process of one backend, with --expose-gc
});
const words = Number(flags.words);
if (!(Number.isInteger(words) && words >= 100)) {
  console.error(`--words is ${flags.words}, a whole number from 100 is needed`);
  process.exit(2);
}
if (flags.backend !== undefined) await measure(flags.backend);
else measureAll();

/** One process per backend, so that none sees what another left. */
function measureAll() {
  for (const backend of flags.backends.split(",")) {
    const args = ["--expose-gc", path("long-speech.mjs"), ...process.argv.slice(2), "--backend", backend];
    const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
    if (status !== 0) process.exit(1);
  }
}

async function measure(backend) {
  const { loadTtsModel } = await import("@voxquant/acoustic-model");
  const sentences = sentencesOf(words);
  const every = Math.ceil(sentences.length / POINTS);
  const model = await loadTtsModel(flags.model, { backend });
  const samples = [];
  let seconds = 0;
  let last = -1;
  const started = performance.now();
  for await (const chunk of model.synthesize(sentences.join("\n\n"), { seed: 1 })) {
    seconds += chunk.samples.length / chunk.sampleRate;
    if (chunk.sentence === last) continue;
    last = chunk.sentence;
    if (last % every === 0) samples.push({ sentence: last, seconds, ...memoryNow() });
  }
  const tail = samples.slice(Math.floor(samples.length / 5));
  const result = {
    backend,
    words,
    sentences: sentences.length,
    speechSeconds: seconds,
    seconds: (performance.now() - started) / 1000,
    firstMb: tail[0].anon / 1e6,
    lastMb: tail.at(-1).anon / 1e6,
    peakRssMb: peakBytes() / 1e6,
    bytesPerSentence: Math.round(slopeOf(tail, "sentence", "anon")),
    heapBytesPerSentence: Math.round(slopeOf(tail, "sentence", "heap")),
    externalBytesPerSentence: Math.round(slopeOf(tail, "sentence", "external")),
  };
  if (flags.json) console.log(JSON.stringify({ ...result, samples }));
  else {
    console.log(
      `${backend}: ${words} words in ${sentences.length} sentences, ${(seconds / 60).toFixed(1)} min of speech in ` +
        `${(result.seconds / 60).toFixed(1)} min; RssAnon ${result.firstMb.toFixed(1)} MB at sentence ${tail[0].sentence}, ` +
        `${result.lastMb.toFixed(1)} MB at ${tail.at(-1).sentence}; slope ${result.bytesPerSentence} bytes per sentence ` +
        `(JavaScript heap ${result.heapBytesPerSentence}, buffers ${result.externalBytesPerSentence}); ` +
        `peak ${result.peakRssMb.toFixed(0)} MB with mapped files`,
    );
  }
  await model.dispose();
}

/** Sentences of at least so many words together. */
function sentencesOf(count) {
  const { cases } = JSON.parse(readFileSync(path("../models/qwen3-tts-mini/expected.json"), "utf8"));
  const texts = [...new Set(cases.map(({ text }) => text))];
  const sentences = [];
  let total = 0;
  for (let i = 0; total < count; i++) {
    const text = texts[i % texts.length];
    sentences.push(text);
    total += text.split(" ").length;
  }
  return sentences;
}
