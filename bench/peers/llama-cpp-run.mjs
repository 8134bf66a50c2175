// One run of llama.cpp in a process of its own:
//   node llama-cpp-run.mjs INSTALLED_IN MODEL.gguf THREADS PREFILL CONTEXT DECODE PASSES
// Prints one JSON object: milliseconds to load, and of each pass after the warm-up those for the prompt and per token.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, ...rest] = process.argv.slice(2);
const [threads, prefillTokens, contextTokens, decodeTokens, passes] = rest.map(Number);
const entry = createRequire(join(resolve(folder), "package.json")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);

const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads });
const started = performance.now();
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: contextTokens + decodeTokens + 64,
  threads,
  batchSize: 512,
});
const loadMs = performance.now() - started;

const sequence = context.getSequence();
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
process.exit(0);

async function pass() {
  await sequence.clearHistory();
  const prompt = (count) => Array.from({ length: count }, (_, i) => 1000 + i);
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt(prefillTokens));
  const prefillMs = performance.now() - start;
  if (contextTokens > prefillTokens)
    await sequence.evaluateWithoutGeneratingNewTokens(prompt(contextTokens - prefillTokens));
  start = performance.now();
  let count = 0;
  for await (const token of sequence.evaluate([7], { temperature: 0, yieldEogToken: true })) {
    void token;
    if (++count === decodeTokens) break;
  }
  return { prefillMs, decodeMs: (performance.now() - start) / count };
}
