// The matrix products of a Qwen3 decoder's layers here and in ONNX Runtime, in one process and alternating order: float32
// (MatMul), 8-bit and 4-bit blocks of 32 (Q8_0 and Q4_0 here, com.microsoft MatMulNBits there; activations may be rounded
// on both sides). Both have the very same weights, and their results are compared before the clock starts.
// onnxruntime-node is also the engine of transformers.js in Node, so these are the products of its models too.
//
// onnxruntime-node is no dependency of this project (its install step may fetch binaries; those for the CPU are in the
// package). Install it anywhere:
//   mkdir ../peers && cd ../peers && npm init -y && npm install onnxruntime-node --ignore-scripts
// Then, after npx pnpm build:
//   node bench/peers/onnxruntime.mjs --installed-in ../peers [--size qwen3-asr-0.6b] [--types F32,Q8_0,Q4_0]
//        [--rows 1,402] [--threads 2] [--runs 5]
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import {
  dequantize,
  selectDevice,
  setThreads,
  weightByteLength,
} from "../../packages/quant-core/dist/index.js";
import { RandomWeights, spreadOf } from "../../packages/cli-core/dist/index.js";
import { SYNTHETIC_SIZES } from "../../packages/asr-cli/dist/bench/shapes.js";
import { FLOAT, OnnxGraph, UINT8 } from "./onnx-writer.mjs";
import { readOptions } from "../options.mjs";

/** So many weights that they come from memory, unless the decoder has fewer. */
const WORKING_SET_BYTES = 256 * 2 ** 20;
/** One measurement runs the layers for at least this long. */
const MEASURE_MS = 200;
/** Before each measurement, so that the other's waiting threads are asleep. */
const PAUSE_MS = 50;
const BLOCK = 32;
/** accuracy_level of MatMulNBits: activations may be rounded to int8. */
const INT8_ACTIVATIONS = 4;

const flags = readOptions(import.meta.url, {
  "installed-in": { type: "string" },
  size: { type: "string", default: "qwen3-asr-0.6b" },
  types: { type: "string", default: "F32,Q8_0,Q4_0" },
  rows: { type: "string", default: "1,402" },
  threads: { type: "string", default: String(availableParallelism()) },
  runs: { type: "string", default: "5" },
});
if (flags["installed-in"] === undefined) {
  console.error(
    "--installed-in FOLDER is missing: where onnxruntime-node was installed (see the head of this file)",
  );
  process.exit(2);
}
/** How a type's matrix [out, in] becomes a node of the peer's graph. */
const NODES = { F32: floatNode, Q8_0: blockNode(8), Q4_0: blockNode(4) };
const types = flags.types.split(",");
const unknown = types.find((type) => !Object.hasOwn(NODES, type));
if (unknown !== undefined) {
  console.error(`--types: ${unknown} is none of ${Object.keys(NODES).join(", ")}`);
  process.exit(2);
}
if (!Object.hasOwn(SYNTHETIC_SIZES, flags.size)) {
  console.error(`--size: ${flags.size} is none of ${Object.keys(SYNTHETIC_SIZES).join(", ")}`);
  process.exit(2);
}
const size = SYNTHETIC_SIZES[flags.size];
const [threads, runs] = [flags.threads, flags.runs].map(Number);

const entry = createRequire(join(resolve(flags["installed-in"]), "package.json")).resolve("onnxruntime-node");
const { default: onnx } = await import(pathToFileURL(entry).href);
const { device } = await selectDevice("native");
setThreads(threads);

console.log(
  `${cpus()[0]?.model ?? "unknown CPU"}, ${threads} threads, Node ${process.version}, load ${loadavg()[0].toFixed(2)}, ` +
    `onnxruntime-node ${onnx.env.versions.node}`,
);
console.log(
  `${flags.size}, matrix products of the decoder's layers; ms per layer, medians of ${runs} (min–max)\n`,
);
console.log(
  `${"type".padEnd(6)}${"rows".padStart(5)}${"layers".padStart(8)}${"voxquant".padStart(26)}${"ONNX Runtime".padStart(26)}` +
    `${"ratio".padStart(8)}${"GB/s".padStart(14)}${"GMAC/s".padStart(14)}${"difference".padStart(12)}`,
);
for (const type of types) await compare(type);
process.exit(0); // the thread pools may be parked

async function compare(type) {
  const shapes = layerShapes(size);
  const layerBytes = shapes.reduce((sum, shape) => sum + weightByteLength(type, shape), 0);
  const layerProducts = shapes.reduce((sum, [out, inputs]) => sum + out * inputs, 0);
  const count = Math.min(size.num_hidden_layers, Math.ceil(WORKING_SET_BYTES / layerBytes));
  const random = new RandomWeights(1);
  const layers = Array.from({ length: count }, () =>
    shapes.map((shape) => randomMatrix(random, type, shape)),
  );
  const peer = await onnxSession(type, layers);
  const prepared = layers.map((layer) =>
    layer.map(({ shape, bytes }, i) => device.prepareWeight({ name: `w${i}`, dtype: type, shape, bytes })),
  );
  for (const rows of flags.rows.split(",").map(Number)) {
    const x = Float32Array.from({ length: rows * size.hidden_size }, (_, i) => Math.sin(i * 0.37));
    // float32 there means float32 here; blocks have rounded activations on both sides
    const ours = ownLayers(prepared, x, rows, type === "F32" ? "exact" : "fast");
    const input = { x: new onnx.Tensor("float32", x, [rows, size.hidden_size]) };
    const theirs = async () => Object.values(await peer.run(input))[0].data;
    const difference = relativeDifference(await ours(), await theirs());
    const contestants = [ours, theirs].map((once) => ({ once, times: [] }));
    for (let run = 0; run < runs; run++) {
      for (const contestant of run % 2 === 0 ? contestants : contestants.toReversed()) {
        contestant.times.push((await time(contestant.once)) / count);
      }
    }
    const [mine, other] = contestants.map(({ times }) => spreadOf(times));
    const both = (amount) =>
      [mine, other].map(({ median }) => (amount / 1e6 / median).toFixed(1)).join(" / ");
    console.log(
      `${type.padEnd(6)}${String(rows).padStart(5)}${String(count).padStart(8)}${show(mine)}${show(other)}` +
        (mine.median / other.median).toFixed(3).padStart(8) +
        both(layerBytes).padStart(14) +
        both(rows * layerProducts).padStart(14) +
        difference.toExponential(1).padStart(12),
    );
  }
  await peer.release();
  for (const layer of prepared) for (const weight of layer) device.releaseWeight(weight);
}

/** Query, key and value as one, output, gate, up and down, each [out, in]. */
function layerShapes({ hidden_size, intermediate_size, num_attention_heads, num_key_value_heads, head_dim }) {
  const [queries, keys] = [num_attention_heads * head_dim, num_key_value_heads * head_dim];
  return [
    [queries, hidden_size],
    [2 * keys, hidden_size],
    [hidden_size, queries],
    [intermediate_size, hidden_size],
    [intermediate_size, hidden_size],
    [hidden_size, intermediate_size],
  ];
}

/**
 * Of such a variance that activations neither grow nor vanish over the layers, although two products are added up twice in
 * each. Random 4-bit codes have a mean of -1/2, which would add up over the layers: every other block has a negative scale instead.
 */
function randomMatrix(random, type, shape) {
  const bytes = new Uint8Array(weightByteLength(type, shape));
  random.fill(type, bytes, 1 / Math.sqrt(Math.SQRT2 * shape[1]));
  if (type === "Q4_0") {
    const blockBytes = weightByteLength(type, [1, BLOCK]);
    for (let at = 1; at < bytes.length; at += 2 * blockBytes) bytes[at] ^= 0x80; // high byte of the float16 scale
  }
  return { shape, bytes };
}

/**
 * A layer's products, joined by sums in the place of what lies between them, so that each is needed:
 * h = output(query(x) + keyValue(x)), then down(gate(h) + up(h)). As many key and value heads together as query heads.
 */
function ownLayers(prepared, x, rows, precision) {
  const vector = (width) => device.uploadVector(new Float32Array(rows * width));
  const [[queries], , [hidden], [gates]] = layerShapes(size);
  const [query, keyValue, attention] = [queries, queries, queries].map(vector);
  const [gate, up, sum] = [gates, gates, gates].map(vector);
  const [input, middle, out] = [device.uploadVector(x), vector(hidden), vector(hidden)];
  const products = (from, weights, outs) =>
    device.kernels.linear(from, rows, weights, Array(weights.length).fill(null), outs, precision);
  return async () => {
    prepared.forEach(([q, kv, o, g, u, d], i) => {
      products(i === 0 ? input : out, [q, kv], [query, keyValue]);
      device.kernels.add(query, keyValue, attention);
      products(attention, [o], [middle]);
      products(middle, [g, u], [gate, up]);
      device.kernels.add(gate, up, sum);
      products(sum, [d], [out]);
    });
    return out;
  };
}

/** The same layers as a graph of the peer. */
async function onnxSession(type, layers) {
  const graph = new OnnxGraph();
  const product = (input, matrix) => NODES[type](graph, input, matrix);
  let x = "x";
  for (const [q, kv, o, g, u, d] of layers) {
    const middle = product(graph.node("Add", [product(x, q), product(x, kv)]), o);
    x = product(graph.node("Add", [product(middle, g), product(middle, u)]), d);
  }
  const dims = ["rows", size.hidden_size];
  return onnx.InferenceSession.create(graph.toBytes({ name: "x", dims }, { name: x, dims }), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    extra: { session: { force_spinning_stop: "1" } }, // spinning threads would take our turn's cores
  });
}

/** MatMul wants [in, out]. */
function floatNode(graph, input, { shape: [out, inputs], bytes }) {
  const values = new Float32Array(bytes.buffer);
  const transposed = new Float32Array(values.length);
  for (let row = 0; row < out; row++)
    for (let i = 0; i < inputs; i++) transposed[i * out + row] = values[row * inputs + i];
  const weight = graph.constant(FLOAT, [inputs, out], new Uint8Array(transposed.buffer));
  return graph.node("MatMul", [input, weight]);
}

/** Blocks of 32 numbers of so many bits with a float scale; numbers count from the middle of their range. */
function blockNode(bits) {
  return (graph, input, { shape: [out, inputs], bytes }) => {
    const blocks = (out * inputs) / BLOCK;
    const numberBytes = (BLOCK * bits) / 8;
    const source = numberBytes + 2; // a float16 scale before the numbers
    const numbers = new Uint8Array(blocks * numberBytes);
    const scaleBits = new Uint8Array(blocks * 2);
    for (let block = 0; block < blocks; block++) {
      const at = block * source;
      scaleBits.set(bytes.subarray(at, at + 2), block * 2);
      const from = bytes.subarray(at + 2, at + source);
      const to = numbers.subarray(block * numberBytes, (block + 1) * numberBytes);
      if (bits === 8) for (let i = 0; i < BLOCK; i++) to[i] = from[i] ^ 0x80;
      else for (let i = 0; i < BLOCK; i++) to[i >> 1] |= nibble(from, i) << (4 * (i & 1));
    }
    const scales = new Float32Array(blocks);
    dequantize("F16", scaleBits, scales);
    const perRow = inputs / BLOCK;
    return graph.node(
      "MatMulNBits",
      [
        input,
        graph.constant(UINT8, [out, perRow, numberBytes], numbers),
        graph.constant(FLOAT, [out * perRow], new Uint8Array(scales.buffer)),
      ],
      {
        domain: "com.microsoft",
        K: inputs,
        N: out,
        bits,
        block_size: BLOCK,
        accuracy_level: INT8_ACTIVATIONS,
      },
    );
  };
}

/** Q4_0 has the first half of a block in the low, the second in the high halves of its bytes. */
function nibble(from, i) {
  return i < BLOCK / 2 ? from[i] & 15 : from[i - BLOCK / 2] >> 4;
}

/** Root mean square of the difference by that of the values. */
function relativeDifference(ours, theirs) {
  let [error, power] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    error += (ours[i] - theirs[i]) ** 2;
    power += theirs[i] ** 2;
  }
  return Math.sqrt(error / power);
}

/** Milliseconds of one call. */
async function time(once) {
  await sleep(PAUSE_MS);
  await once();
  let calls = 0;
  const start = performance.now();
  while (performance.now() - start < MEASURE_MS) {
    await once();
    calls++;
  }
  return (performance.now() - start) / calls;
}

function show({ median, min, max }) {
  const digits = median < 10 ? 3 : 1;
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`.padStart(26);
}
