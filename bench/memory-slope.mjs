// Memory over many transcriptions in one process: the slope of RssAnon (memory of the process's own, without mapped files)
// after forced garbage collection, fitted to the last 80 % of the runs. Linux only.
//
//   node bench/memory-slope.mjs [--runs 1000] [--backends native,wasm] [--model models/qwen3-asr-mini]
//                              [--audio FILE …] [--json]
//
// A leak shows as a slope that stays the same with more runs; what only fills caches shows as one that goes to zero.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { memoryNow, slopeOf } from "./process-memory.mjs";
import { readOptions } from "./options.mjs";

const SAMPLES = ["kitchen-light-en", "fenster-de", "timer-en", "pogoda-ru"];

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const flags = readOptions(import.meta.url, {
  runs: { type: "string", default: "1000" },
  backends: { type: "string", default: "native,wasm" },
  model: { type: "string", default: path("../models/qwen3-asr-mini") },
  audio: { type: "string", multiple: true },
  json: { type: "boolean", default: false },
  backend: { type: "string" }, // the child process of one backend, with --expose-gc
});
const runs = Number(flags.runs);
if (!(Number.isInteger(runs) && runs >= 10)) {
  console.error(`--runs is ${flags.runs}, a whole number from 10 is needed`);
  process.exit(2);
}
if (flags.backend !== undefined) await measure(flags.backend);
else measureAll();

/** One process per backend, so that none sees what another left. */
function measureAll() {
  for (const backend of flags.backends.split(",")) {
    const args = ["--expose-gc", path("memory-slope.mjs"), ...process.argv.slice(2), "--backend", backend];
    const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
    if (status !== 0) process.exit(1);
  }
}

async function measure(backend) {
  const { loadAsrModel } = await import("@voxquant/asr-model");
  const files = flags.audio ?? SAMPLES.map((name) => path(`../samples/${name}.wav`));
  const clips = files.map((file) => new Uint8Array(readFileSync(file)));
  const model = await loadAsrModel(flags.model, { backend });
  const samples = [];
  for (let i = 0; i < runs; i++) {
    await model.transcribe(clips[i % clips.length]);
    if ((i + 1) % Math.ceil(runs / 100) === 0) samples.push({ run: i + 1, ...memoryNow() });
  }
  const tail = samples.slice(Math.floor(samples.length / 5));
  const slope = slopeOf(tail, "run", "anon");
  const result = {
    backend,
    runs,
    firstMb: tail[0].anon / 1e6,
    lastMb: tail.at(-1).anon / 1e6,
    bytesPerRun: Math.round(slope),
    heapBytesPerRun: Math.round(slopeOf(tail, "run", "heap")),
    externalBytesPerRun: Math.round(slopeOf(tail, "run", "external")),
  };
  if (flags.json) console.log(JSON.stringify({ ...result, samples }));
  else {
    console.log(
      `${backend}: ${runs} transcriptions, RssAnon ${result.firstMb.toFixed(1)} MB after ${tail[0].run}, ` +
        `${result.lastMb.toFixed(1)} MB after ${runs}; slope ${result.bytesPerRun} bytes per transcription ` +
        `(JavaScript heap ${result.heapBytesPerRun}, buffers ${result.externalBytesPerRun})`,
    );
  }
  await model.dispose();
}
