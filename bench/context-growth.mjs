// How the decoder's cost grows with the context: time per prompt token at several lengths, with the attention's part (which
// grows with the length) measured alone, and time per generated token at several contexts. Random weights of a published
// size; the measurements alternate.
//
//   node bench/context-growth.mjs [--size qwen3-asr-0.6b] [--qtype q8_0] [--prefill 100,200,400,800,1600]
//        [--contexts 400,4000] [--decode-tokens 16] [--threads 2] [--runs 5] [--cache FOLDER] [--json]
//
// Build first: npx pnpm build.
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { spreadOf } from "../packages/cli-core/dist/index.js";
import { SYNTHETIC_SIZES } from "../packages/asr-cli/dist/bench/shapes.js";
import { syntheticModel } from "../packages/asr-cli/dist/bench/synthetic-model.js";
import { DecoderBench } from "./decoder.mjs";
import { readOptions } from "./options.mjs";

const flags = readOptions(import.meta.url, {
  size: { type: "string", default: "qwen3-asr-0.6b" },
  qtype: { type: "string", default: "q8_0" },
  prefill: { type: "string", default: "100,200,400,800,1600" },
  contexts: { type: "string", default: "400,4000" },
  "decode-tokens": { type: "string", default: "16" },
  threads: { type: "string", default: String(availableParallelism()) },
  runs: { type: "string", default: "5" },
  cache: { type: "string", default: join(tmpdir(), "voxquant-bench") },
  json: { type: "boolean", default: false },
});
if (!Object.hasOwn(SYNTHETIC_SIZES, flags.size)) {
  console.error(`--size: ${flags.size} is none of ${Object.keys(SYNTHETIC_SIZES).join(", ")}`);
  process.exit(2);
}
const numbers = (text) => text.split(",").map(Number);
const [threads, runs, decodeTokens] = [flags.threads, flags.runs, flags["decode-tokens"]].map(Number);
/** Tokens of one pass while a cache is filled, of which nothing is measured. */
const FILL = 1000;

const { signal } = new AbortController();
const path = await syntheticModel(flags.size, flags.qtype, flags.cache, {
  signal,
  onProgress: () => undefined,
});
const load = loadavg()[0];
const bench = await DecoderBench.open(path, threads);
const prefills = numbers(flags.prefill).map((tokens) => ({ tokens, whole: [], attention: [] }));
const decodes = [];
for (const context of numbers(flags.contexts)) {
  // Room for the warm-up and all runs: each goes on where the one before it ended.
  const sequence = bench.sequence(context + decodeTokens);
  for (let left = context; left > 0; left -= FILL) await bench.prefill(sequence, Math.min(left, FILL));
  decodes.push({ context, sequence, times: [] });
}

for (let run = -1; run < runs; run++) {
  const keep = run >= 0; // the first round is the warm-up
  for (const entry of run % 2 === 0 ? prefills : prefills.toReversed()) {
    const sequence = bench.sequence(entry.tokens);
    const whole = (await bench.prefill(sequence, entry.tokens)) / entry.tokens;
    bench.release(sequence);
    const attention = bench.attention(entry.tokens) / entry.tokens;
    if (!keep) continue;
    entry.whole.push(whole);
    entry.attention.push(attention);
  }
  for (const { context, sequence, times } of run % 2 === 0 ? decodes : decodes.toReversed()) {
    sequence.position = context; // over what the run before it wrote
    const ms = await bench.decode(sequence, decodeTokens);
    if (keep) times.push(ms);
  }
}

const prefill = prefills.map(({ tokens, whole, attention }) => ({
  tokens,
  whole: spreadOf(whole),
  attention: spreadOf(attention),
  rest: spreadOf(whole.map((ms, i) => ms - attention[i])),
}));
const decode = decodes.map(({ context, times }) => ({ context, ...spreadOf(times) }));
if (flags.json) {
  console.log(JSON.stringify({ size: flags.size, qtype: flags.qtype, threads, runs, load, prefill, decode }));
} else print();
process.exit(0); // the thread pool may be parked

function print() {
  const text = ({ median, min, max }, digits) =>
    `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`.padStart(24);
  console.log(
    `${cpus()[0]?.model ?? "unknown CPU"}, ${threads} threads, Node ${process.version}, load ${load.toFixed(2)}`,
  );
  console.log(`${flags.size} ${flags.qtype}, medians of ${runs} (min–max)\n`);
  console.log(
    `${"prompt".padStart(8)}${"ms per token".padStart(24)}${"of it attention".padStart(24)}${"rest".padStart(24)}${"rest ×".padStart(8)}`,
  );
  for (const { tokens, whole, attention, rest } of prefill) {
    const growth = (rest.median / prefill[0].rest.median).toFixed(2).padStart(8);
    console.log(
      `${String(tokens).padStart(8)}${text(whole, 3)}${text(attention, 3)}${text(rest, 3)}${growth}`,
    );
  }
  console.log(`\n${"context".padStart(8)}${"ms per generated token".padStart(24)}${"×".padStart(8)}`);
  for (const entry of decode) {
    const growth = (entry.median / decode[0].median).toFixed(2).padStart(8);
    console.log(`${String(entry.context).padStart(8)}${text(entry, 2)}${growth}`);
  }
}
