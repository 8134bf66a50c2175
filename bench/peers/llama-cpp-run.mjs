// One run of llama.cpp in a process of its own: node llama-cpp-run.mjs INSTALLED_IN MODEL.gguf THREADS PREFILL DECODE
// Prints one JSON object: milliseconds to load, for the prompt, and per generated token.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, ...rest] = process.argv.slice(2);
const [threads, prefillTokens, decodeTokens] = rest.map(Number);
const entry = createRequire(join(resolve(folder), "package.json")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);

const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads });
const started = performance.now();
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: prefillTokens + decodeTokens + 64,
  threads,
  batchSize: 512,
});
const loadMs = performance.now() - started;

const sequence = context.getSequence();
await run(); // warm-up
await sequence.clearHistory();
const measured = await run();
const rss = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ load_ms: loadMs, ...measured, peak_rss_bytes: rss }));
process.exit(0);

async function run() {
  const prompt = Array.from({ length: prefillTokens }, (_, i) => 1000 + i);
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  const prefillMs = performance.now() - start;
  start = performance.now();
  let count = 0;
  for await (const token of sequence.evaluate([7], { temperature: 0, yieldEogToken: true })) {
    void token;
    if (++count === decodeTokens) break;
  }
  return { prefill_ms: prefillMs, decode_ms_per_token: (performance.now() - start) / count };
}
