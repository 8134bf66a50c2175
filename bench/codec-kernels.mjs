// Speed of the convolutions of an audio codec's decoder, at the shapes that Qwen3-TTS's 12 Hz codec has per call of
// some frames, beside the machine's limit and the product of a linear layer with as many rows as a prompt has.
//
//   node bench/codec-kernels.mjs [--frames 4] [--threads 1,2] [--types F32,BF16,Q8_0] [--levels avx2,avx512bf16]
//                                [--backends native,wasm] [--precision fast] [--runs 9] [--json]
//
// Build first: npx pnpm build. The limits need a C++ compiler (CXX or c++).
import { availableParallelism } from "node:os";
import { GGML_TYPES, selectDevice, weightByteLength } from "../packages/quant-core/dist/index.js";
import { loadAddon } from "../packages/quant-core/dist/backends/native/addon.js";
import { RandomWeights } from "../packages/cli-core/dist/bench/random-weights.js";
import { measureLimits } from "./limits.mjs";
import { readOptions } from "./options.mjs";

/** Different filters of a shape follow each other, as the layers of a model do, up to this size. */
const WORKING_SET_BYTES = 48 * 2 ** 20;
const MEASURE_MS = 100;

/** [kernel, in, out, rows per frame, how often in the decoder]; transposed convolutions have a phase per stride in `out`. */
const SHAPES = [
  [1, 1024, 4096, 4, 2],
  [1, 4096, 1024, 4, 2],
  [7, 1024, 1536, 4, 1],
  [2, 1536, 8 * 768, 4, 1],
  [7, 768, 768, 32, 3],
  [1, 768, 768, 32, 3],
  [2, 768, 5 * 384, 32, 1],
  [7, 384, 384, 160, 3],
  [1, 384, 384, 160, 3],
  [2, 384, 4 * 192, 160, 1],
  [7, 192, 192, 640, 3],
  [1, 192, 192, 640, 3],
  [2, 192, 3 * 96, 640, 1],
  [7, 96, 96, 1920, 3],
  [1, 96, 96, 1920, 3],
  [7, 96, 1, 1920, 1],
];
/** [channels, rows per frame, how often]. */
const SNAKES = [
  [1536, 4, 1],
  [768, 32, 7],
  [384, 160, 7],
  [192, 640, 7],
  [96, 1920, 7],
];

const flags = readOptions(import.meta.url, {
  frames: { type: "string", default: "4" },
  threads: { type: "string", default: [...new Set([1, availableParallelism()])].join(",") },
  types: { type: "string", default: "F32,BF16,Q8_0" },
  levels: { type: "string" },
  backends: { type: "string", default: "native,wasm" },
  precision: { type: "string", default: "fast" },
  runs: { type: "string", default: "9" },
  json: { type: "boolean", default: false },
});
const list = (text) => text.split(",").filter((part) => part !== "");
const frames = Number(flags.frames);
for (const type of list(flags.types)) {
  if (Object.hasOwn(GGML_TYPES, type)) continue;
  console.error(`--types: ${type} is none of ${Object.keys(GGML_TYPES).join(", ")}`);
  process.exit(2);
}

for (const backend of list(flags.backends)) {
  const { device } = await selectDevice(backend);
  const addon = backend === "native" ? loadAddon() : null;
  const levels = addon === null ? ["wasm"] : list(flags.levels ?? addon.isaLevels().at(-1));
  for (const level of levels) {
    if (addon?.setIsa(level) === false) continue;
    for (const threads of addon === null ? [1] : list(flags.threads).map(Number)) {
      addon?.setThreads(threads);
      for (const type of list(flags.types)) measureDecoder(device, { backend, level, threads, type });
    }
  }
}
process.exit(0); // the thread pool may be parked

function measureDecoder(device, what) {
  const { backend, level, threads, type } = what;
  const limit = backend === "native" ? measureLimits(threads) : null;
  const peak =
    limit === null ? null : flags.precision === "exact" ? limit.f32GMACs : limit.bf16GMACs || limit.f32GMACs;
  const linear = measureLinear(device, type, 768, 7 * 768, 402);
  if (!flags.json) {
    const names = `${backend} ${level}, ${threads} threads, ${type}, ${flags.precision}, ${frames} frames`;
    const beside = peak === null ? "" : `, limit of the machine ${peak}`;
    console.log(`\n${names}; GMAC/s: linear layer ${linear.toFixed(1)}${beside}`);
    console.log(["convolution".padEnd(26), "ms", "GMAC/s", "of limit", "of linear"].join("\t"));
  }
  let [total, macs] = [0, 0];
  for (const [kernel, inputs, out, perFrame, times] of SHAPES) {
    if ((kernel * inputs) % GGML_TYPES[type].block !== 0) continue;
    const rows = perFrame * frames;
    const ms = measureConv(device, type, { kernel, inputs, out, rows });
    const count = (rows * kernel * inputs * out) / 1e6;
    total += ms * times;
    macs += count * times;
    const rate = count / ms;
    if (flags.json)
      console.log(JSON.stringify({ ...what, kernel, inputs, out, rows, ms, gmac_per_s: rate, linear, peak }));
    else print(`${kernel} x ${inputs} -> ${out} @ ${rows}`, ms, rate, peak, linear);
  }
  let snakes = 0;
  for (const [channels, perFrame, times] of SNAKES)
    snakes += times * measureSnake(device, channels, perFrame * frames);
  if (flags.json) console.log(JSON.stringify({ ...what, frames, convolutions_ms: total, snakes_ms: snakes }));
  else {
    print("all of the decoder", total, macs / total, peak, linear);
    console.log(`${"all snakes".padEnd(26)}\t${snakes.toFixed(3)}`);
  }
}

function print(name, ms, rate, peak, linear) {
  const share = (of) => (of === null || of === 0 ? "n/a" : `${((100 * rate) / of).toFixed(0)} %`);
  console.log([name.padEnd(26), ms.toFixed(3), rate.toFixed(1), share(peak), share(linear)].join("\t"));
}

function prepareWeights(device, type, out, inputs, most = Infinity) {
  const length = weightByteLength(type, [out, inputs]);
  const random = new RandomWeights(1);
  const count = Math.min(most, Math.max(1, Math.floor(WORKING_SET_BYTES / length)), 8);
  return Array.from({ length: count }, (_, i) => {
    const bytes = new Uint8Array(length);
    random.fill(type, bytes, 1 / Math.sqrt(inputs));
    return device.prepareWeight({ name: `w${i}`, dtype: type, shape: [out, inputs], bytes });
  });
}

/** Fastest milliseconds of a call: other work on the machine only ever adds. */
function fastest(once) {
  let best = Infinity;
  for (let run = 0; run < Number(flags.runs); run++) {
    const start = performance.now();
    let calls = 0;
    do {
      const began = performance.now();
      once();
      best = Math.min(best, performance.now() - began);
      calls++;
    } while (performance.now() - start < MEASURE_MS / 10 || calls < 2);
  }
  return best;
}

/** Runs `body` with uploads that are released after it. */
function withVectors(device, weights, body) {
  const vectors = [];
  const upload = (length) => {
    const vector = device.uploadVector(new Float32Array(length).map((_, i) => Math.sin(i * 0.37)));
    vectors.push(vector);
    return vector;
  };
  const result = body(upload);
  for (const vector of vectors) device.releaseVector(vector);
  for (const weight of weights) device.releaseWeight(weight);
  return result;
}

function measureConv(device, type, { kernel, inputs, out, rows }) {
  const weights = prepareWeights(device, type, out, kernel * inputs);
  const dilation = kernel === 7 ? 3 : 1;
  const geometry = { rows, inChannels: inputs, kernel, dilation, activation: "none" };
  return withVectors(device, weights, (upload) => {
    const [x, bias, y] = [rows * inputs, out, rows * out].map(upload);
    const history = upload((kernel - 1) * dilation * inputs);
    let next = 0;
    return fastest(() => {
      device.kernels.causalConv1d(x, geometry, weights[next], bias, history, null, y, flags.precision);
      next = (next + 1) % weights.length;
    });
  });
}

/** GMAC/s of a linear layer. */
function measureLinear(device, type, out, inputs, rows) {
  const weights = prepareWeights(device, type, out, inputs, 1);
  const ms = withVectors(device, weights, (upload) => {
    const [x, y] = [upload(rows * inputs), upload(rows * out)];
    return fastest(() => device.kernels.linear(x, rows, weights, [null], [y], flags.precision));
  });
  return (rows * inputs * out) / 1e6 / ms;
}

function measureSnake(device, channels, rows) {
  return withVectors(device, [], (upload) => {
    const [x, alpha, y] = [rows * channels, channels, rows * channels].map(upload);
    return fastest(() => device.kernels.snake(x, alpha, alpha, channels, y));
  });
}
