// The decoder of a model of random weights here and in llama.cpp, in one run and alternating order: the same weights, the
// same number of prompt and generated tokens. Each run is a process of its own that loads once, does all once to warm up,
// and measures some passes; figures are of the passes of all runs together.
//
// node-llama-cpp is no dependency of this project (its install step fetches or builds binaries). Install it anywhere:
//   mkdir ../peers && cd ../peers && npm init -y && npm install node-llama-cpp --ignore-scripts
// Then, after npx pnpm build:
//   node bench/peers/llama-cpp.mjs --installed-in ../peers [--size qwen3-asr-0.6b] [--qtypes Q8_0,Q4_0]
//        [--prefill-tokens 402] [--context 402] [--decode-tokens 48] [--threads 2] [--runs 5] [--passes 2]
//        [--cache FOLDER]
// --context is the number of tokens in the cache where generating begins (default: the prompt's).
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint, quantizeCheckpoint } from "../../packages/quant-core/dist/index.js";
import { spreadOf } from "../../packages/cli-core/dist/index.js";
import { syntheticModel } from "../../packages/asr-cli/dist/bench/synthetic-model.js";
import { quantizeProfileOf } from "../../packages/asr-cli/dist/family.js";
import { measureLimits } from "../limits.mjs";
import { readOptions } from "../options.mjs";

const flags = readOptions(import.meta.url, {
  "installed-in": { type: "string" },
  size: { type: "string", default: "qwen3-asr-0.6b" },
  qtypes: { type: "string", default: "Q8_0,Q4_0" },
  "prefill-tokens": { type: "string", default: "402" },
  context: { type: "string" },
  "decode-tokens": { type: "string", default: "48" },
  threads: { type: "string", default: String(availableParallelism()) },
  runs: { type: "string", default: "5" },
  passes: { type: "string", default: "2" },
  cache: { type: "string", default: join(tmpdir(), "voxquant-bench") },
});
if (flags["installed-in"] === undefined) {
  console.error(
    "--installed-in FOLDER is missing: where node-llama-cpp was installed (see the head of this file)",
  );
  process.exit(2);
}
const [threads, runs, prefillTokens, context, decodeTokens, passes] = [
  flags.threads,
  flags.runs,
  flags["prefill-tokens"],
  flags.context ?? flags["prefill-tokens"],
  flags["decode-tokens"],
  flags.passes,
].map(Number);
if (context < prefillTokens) {
  console.error(`--context ${context} is less than the prompt of ${prefillTokens} tokens`);
  process.exit(2);
}
const METRICS = ["load_ms", "prefill_ms", "decode_ms_per_token", "peak_rss_bytes"];

console.log(
  `${cpus()[0]?.model ?? "unknown CPU"}, ${threads} threads, Node ${process.version}, load ${loadavg()[0].toFixed(2)}`,
);
console.log(
  `${flags.size}: prefill ${prefillTokens}, decode ${decodeTokens} tokens from ${context}; medians of ${runs} runs with ` +
    `${passes} passes each (min–max); ratios of the medians, and of the best`,
);
for (const qtype of flags.qtypes.split(",")) await compare(qtype.toLowerCase());
process.exit(0);

async function compare(qtype) {
  const { signal } = new AbortController();
  const ours = await syntheticModel(flags.size, qtype, flags.cache, { signal, onProgress: () => undefined });
  const theirs = await llamaCppFile(ours, qtype);
  const contestants = [
    { name: "voxquant", run: () => runProgram("voxquant-run.mjs", ours), results: [] },
    {
      name: "llama.cpp",
      run: () => runProgram("llama-cpp-run.mjs", flags["installed-in"], theirs),
      results: [],
    },
  ];
  const reads = []; // beside every round: on a shared machine the bandwidth is another one every few minutes
  for (let round = 0; round < runs; round++) {
    const limit = measureLimits(threads);
    if (limit !== null) reads.push(limit.readGBs);
    for (const contestant of round % 2 === 0 ? contestants : contestants.toReversed()) {
      contestant.results.push(contestant.run());
    }
  }
  const [mine, other] = contestants.map(({ results }) =>
    Object.fromEntries(METRICS.map((name) => [name, spreadOf(results.flatMap((result) => result[name]))])),
  );
  console.log(
    `\n${qtype}\n${"".padEnd(22)}${"voxquant".padStart(24)}${"llama.cpp".padStart(24)}${"ratio".padStart(8)}${"best".padStart(8)}`,
  );
  for (const name of METRICS) {
    const ratio = (mine[name].median / other[name].median).toFixed(3);
    const best = (mine[name].min / other[name].min).toFixed(3);
    console.log(
      `${name.padEnd(22)}${show(name, mine[name])}${show(name, other[name])}${ratio.padStart(8)}${best.padStart(8)}`,
    );
  }
  const read = reads.length === 0 ? null : spreadOf(reads);
  if (read !== null) console.log(`${"read_gb_per_s".padEnd(22)}${show("read", read)}`);
  const bytes = await decoderBytes(theirs);
  for (const [name, { decode_ms_per_token: ms }] of [
    ["voxquant", mine],
    ["llama.cpp", other],
  ]) {
    const rate = bytes / 1e6 / ms.median;
    const share = read === null ? "" : `, ${((100 * rate) / read.median).toFixed(0)} % of the read bandwidth`;
    console.log(`${name}: weights read at ${rate.toFixed(1)} GB/s while decoding${share}`);
  }
}

function show(name, { median, min, max }) {
  const scale = name.endsWith("bytes") ? 1e6 : 1;
  const text = (value) => (value / scale).toFixed(scale === 1 ? 1 : 0);
  return `${text(median)} (${text(min)}–${text(max)})`.padStart(24);
}

/** The decoder of the same file under llama.cpp's names; its tensors are copied as they are. */
async function llamaCppFile(ours, qtype) {
  const output = ours.replace(/\.gguf$/, "-llama.cpp.gguf");
  if (!existsSync(output)) {
    const recipe = { input: ours, output, qtype, quantizeEmbeddings: true, layout: "llama.cpp" };
    await quantizeCheckpoint(recipe, await quantizeProfileOf(ours));
  }
  return output;
}

/** One run in a process of its own: what it measured, an array per metric. */
function runProgram(name, ...files) {
  const program = fileURLToPath(new URL(name, import.meta.url));
  const args = [program, ...files, threads, prefillTokens, context, decodeTokens, passes].map(String);
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ended with code ${status}: ${stderr.trim()}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Bytes that a decode step reads: all weights, the embedding once, as the head. */
async function decoderBytes(path) {
  const checkpoint = await openCheckpoint(path, { map: false });
  const bytes = [...checkpoint.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  await checkpoint.close();
  return Math.min(bytes, statSync(path).size);
}
