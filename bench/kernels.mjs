// Speed of each matrix kernel at each instruction set beside what this machine can do at most, measured in the same run.
// Weights are walked through a working set far beyond the caches, as a decoder walks through its layers.
//
//   node bench/kernels.mjs [--threads 1,2] [--types Q8_0,Q4_0] [--shapes 3072x1024,1024x3072] [--rows 1,8,402]
//                          [--levels avx2,avx512vnni] [--backends native,wasm] [--precision fast] [--runs 5] [--json]
//
// Build first: npx pnpm build. The limits need a C++ compiler (CXX or c++).
import { availableParallelism, cpus, loadavg } from "node:os";
import {
  GGML_TYPES,
  describeBackend,
  isDense,
  selectDevice,
  setThreads,
  weightByteLength,
} from "../packages/quant-core/dist/index.js";
import { loadAddon } from "../packages/quant-core/dist/backends/native/addon.js";
import { RandomWeights } from "../packages/cli-core/dist/index.js";
import { measureLimits } from "./limits.mjs";
import { readOptions } from "./options.mjs";

const WORKING_SET_BYTES = 256 * 2 ** 20;
/** One measurement calls a kernel for at least this long. */
const MEASURE_MS = 150;

const flags = readOptions(import.meta.url, {
  threads: { type: "string", default: [...new Set([1, availableParallelism()])].join(",") },
  types: { type: "string", default: "Q8_0,Q4_0,Q4_K,Q6_K,F16,BF16,F32" },
  shapes: { type: "string", default: "3072x1024,1024x3072" },
  rows: { type: "string", default: "1,8,128,402" },
  levels: { type: "string" },
  backends: { type: "string", default: "native,wasm" },
  precision: { type: "string", default: "fast" },
  runs: { type: "string", default: "5" },
  json: { type: "boolean", default: false },
});
const list = (text) => text.split(",").filter((part) => part !== "");
const numbers = (text) => list(text).map(Number);
for (const type of list(flags.types)) {
  if (Object.hasOwn(GGML_TYPES, type)) continue;
  console.error(`--types: ${type} is none of ${Object.keys(GGML_TYPES).join(", ")}`);
  process.exit(2);
}

const threadCounts = numbers(flags.threads);
const limits = new Map(threadCounts.map((threads) => [threads, measureLimits(threads)]));
const load = loadavg()[0];
if (!flags.json) printHead();
const rows = [];
for (const backend of list(flags.backends)) await measureBackend(backend);
if (flags.json) for (const row of rows) console.log(JSON.stringify(row));
process.exit(0); // the thread pool may be parked

function printHead() {
  console.log(`${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}, load ${load.toFixed(2)}`);
  for (const [threads, limit] of limits) {
    if (limit === null) console.log(`${threads} threads: limits not measured (no C++ compiler)`);
    else {
      const { readGBs, int8GMACs, bf16GMACs, f32GMACs } = limit;
      console.log(
        `${threads} threads: read ${readGBs} GB/s; GMAC/s int8 ${int8GMACs}, bf16 ${bf16GMACs || "n/a"}, f32 ${f32GMACs}`,
      );
    }
  }
  console.log(
    "\n" +
      [
        "backend     level        thr type   out x in      rows",
        "ms",
        "GB/s",
        "of read",
        "GMAC/s",
        "of peak",
      ].join("\t"),
  );
}

async function measureBackend(backend) {
  const { device } = await selectDevice(backend);
  const addon = backend === "native" ? loadAddon() : null;
  const all = addon?.isaLevels() ?? ["wasm"];
  const levels = flags.levels === undefined || addon === null ? all : list(flags.levels);
  for (const type of list(flags.types)) {
    for (const shape of list(flags.shapes)) {
      const [out, inputs] = shape.split("x").map(Number);
      if (inputs % GGML_TYPES[type].block !== 0) continue;
      const weights = randomWeights(device, type, out, inputs);
      for (const level of levels) {
        if (addon?.setIsa(level) === false) continue;
        for (const threads of threadCounts) {
          setThreads(threads);
          if (describeBackend(backend).threads !== threads) continue;
          await workersStarted();
          for (const count of numbers(flags.rows)) {
            const ms = measureLinear(device, weights, out, inputs, count);
            report({ backend, level, threads, type, out, inputs, rows: count, ms });
          }
        }
      }
      for (const weight of weights) device.releaseWeight(weight);
    }
  }
}

/** The workers of the WASM kernels start in the background; until then their part is done by those that are there. */
function workersStarted() {
  return new Promise((resolve) => setTimeout(resolve, 300));
}

/** Enough different matrices to fill the working set (on WASM, whose memory is small, a quarter of it). */
function randomWeights(device, type, out, inputs) {
  const length = weightByteLength(type, [out, inputs]);
  const wanted = device.name.includes("wasm") ? WORKING_SET_BYTES / 4 : WORKING_SET_BYTES;
  const random = new RandomWeights(1);
  return Array.from({ length: Math.ceil(wanted / length) }, (_, i) => {
    const bytes = new Uint8Array(length);
    random.fill(type, bytes, 1 / Math.sqrt(inputs));
    return device.prepareWeight({ name: `w${i}`, dtype: type, shape: [out, inputs], bytes });
  });
}

/** Median milliseconds of `[rows, inputs] · [out, inputs]ᵀ`. */
function measureLinear(device, weights, out, inputs, rows) {
  const values = new Float32Array(rows * inputs).map((_, i) => Math.sin(i * 0.37));
  const x = device.uploadVector(values);
  const y = device.uploadVector(new Float32Array(rows * out));
  let next = 0;
  const once = () => {
    device.kernels.linear(x, rows, [weights[next]], [null], [y], flags.precision);
    next = (next + 1) % weights.length;
  };
  const few = Math.min(weights.length, 3);
  const start = performance.now();
  for (let i = 0; i < few; i++) once();
  const calls = Math.max(1, Math.ceil(MEASURE_MS / ((performance.now() - start) / few)));
  const times = Array.from({ length: Number(flags.runs) }, () => {
    const began = performance.now();
    for (let i = 0; i < calls; i++) once();
    return (performance.now() - began) / calls;
  });
  device.releaseVector(x);
  device.releaseVector(y);
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

function report({ backend, level, threads, type, out, inputs, rows: count, ms }) {
  const limit = limits.get(threads) ?? null;
  const gigabytes = weightByteLength(type, [out, inputs]) / 1e6 / ms;
  const gigamacs = (count * out * inputs) / 1e6 / ms;
  // What the arithmetic could be at best: int8 for rounded activations, else the machine's widest float.
  const peak =
    limit === null
      ? null
      : flags.precision === "exact"
        ? limit.f32GMACs
        : isDense(type)
          ? Math.max(limit.bf16GMACs, limit.f32GMACs)
          : Math.max(limit.int8GMACs, limit.bf16GMACs);
  const row = {
    backend,
    level,
    threads,
    type,
    shape: [out, inputs],
    rows: count,
    precision: flags.precision,
    ms,
    gb_per_s: gigabytes,
    gb_share: limit === null ? null : gigabytes / limit.readGBs,
    gmac_per_s: gigamacs,
    gmac_share: peak === null || peak === 0 ? null : gigamacs / peak,
  };
  rows.push(row);
  if (flags.json) return;
  const share = (value) => (value === null ? "n/a" : `${(100 * value).toFixed(0)} %`);
  const what = [
    backend.padEnd(11),
    level.padEnd(12),
    String(threads).padStart(3),
    type.padEnd(6),
    `${out} x ${inputs}`.padEnd(13),
    String(count).padStart(4),
  ].join(" ");
  console.log(
    [
      what,
      ms.toFixed(3),
      gigabytes.toFixed(1),
      share(row.gb_share),
      gigamacs.toFixed(1),
      share(row.gmac_share),
    ].join("\t"),
  );
}
