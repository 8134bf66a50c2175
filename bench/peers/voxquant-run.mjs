// The same as llama-cpp-run.mjs here: node voxquant-run.mjs MODEL.gguf THREADS PREFILL CONTEXT DECODE PASSES
// Loading is that of the whole recogniser, with its encoder and tokenizer.
import { loadAsrModel } from "../../packages/asr-model/dist/index.js";
import { DecoderBench } from "../decoder.mjs";

const [path, ...rest] = process.argv.slice(2);
const [threads, prefillTokens, contextTokens, decodeTokens, passes] = rest.map(Number);

const started = performance.now();
const recogniser = await loadAsrModel(path, { backend: "native", threads });
const loadMs = performance.now() - started;
await recogniser.dispose();

const bench = await DecoderBench.open(path, threads);
const sequence = bench.sequence(contextTokens + decodeTokens);
await pass(); // warm-up
const measured = [];
for (let i = 0; i < passes; i++) measured.push(await pass());
const rss = process.resourceUsage().maxRSS * 1024;
console.log(
  JSON.stringify({
    load_ms: [loadMs],
    prefill_ms: measured.map(({ prefillMs }) => prefillMs),
    decode_ms_per_token: measured.map(({ decodeMs }) => decodeMs),
    peak_rss_bytes: [rss],
  }),
);
process.exit(0); // the thread pool may be parked

async function pass() {
  sequence.position = 0;
  const prefillMs = await bench.prefill(sequence, prefillTokens);
  if (contextTokens > prefillTokens) await bench.prefill(sequence, contextTokens - prefillTokens);
  return { prefillMs, decodeMs: await bench.decode(sequence, decodeTokens) };
}
