// Our quantized products beside TensorFlow.js's own float matmul on its WASM backend, in one process and alternating
// order, one thread.
//
//   node bench/peers/tfjs-matmul.mjs [--shape 3072x1024] [--rows 1,128,402] [--types Q8_0,Q4_0] [--runs 7]
//
// Build first: npx pnpm build.
import { createRequire } from "node:module";
import { cpus, loadavg } from "node:os";
import { pathToFileURL } from "node:url";
import { GGML_TYPES, selectDevice, weightByteLength } from "../../packages/quant-core/dist/index.js";
import { RandomWeights, spreadOf } from "../../packages/cli-core/dist/index.js";
import { readOptions } from "../options.mjs";

const MEASURE_MS = 150;
const flags = readOptions(import.meta.url, {
  shape: { type: "string", default: "3072x1024" },
  rows: { type: "string", default: "1,128,402" },
  types: { type: "string", default: "Q8_0,Q4_0" },
  runs: { type: "string", default: "7" },
});
const [out, inputs] = flags.shape.split("x").map(Number);
const types = flags.types.split(",");
const unknown = types.find((type) => !Object.hasOwn(GGML_TYPES, type));
if (unknown !== undefined) {
  console.error(`--types: ${unknown} is none of ${Object.keys(GGML_TYPES).join(", ")}`);
  process.exit(2);
}

// The instance of tfjs-core that the library uses.
const require = createRequire(new URL("../../packages/quant-core/package.json", import.meta.url));
const tf = await import(pathToFileURL(require.resolve("@tensorflow/tfjs-core")).href);
const { device } = await selectDevice("wasm");
await tf.setBackend(device.name);

console.log(`${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}, load ${loadavg()[0].toFixed(2)}`);
console.log(`${out} x ${inputs} on ${device.name}; GMAC/s, medians of ${flags.runs}; ratio to tfjs matMul`);
for (const rows of flags.rows.split(",").map(Number)) {
  const x = tf.randomNormal([rows, inputs]);
  const contestants = [tfjsMatMul(x), ...types.map((type) => quantized(type, x, rows))];
  for (const { once } of contestants) for (let i = 0; i < 3; i++) once();
  for (let run = 0; run < Number(flags.runs); run++) {
    for (const contestant of run % 2 === 0 ? contestants : contestants.toReversed()) {
      contestant.times.push(time(contestant.once));
    }
  }
  const rates = contestants.map(({ times }) => (rows * out * inputs) / 1e6 / spreadOf(times).median);
  contestants.forEach(({ name }, i) => {
    const ratio = (rates[i] / rates[0]).toFixed(2);
    console.log(
      `rows ${String(rows).padStart(4)}  ${name.padEnd(12)} ${rates[i].toFixed(1).padStart(7)}  x ${ratio}`,
    );
  });
  x.dispose();
}

function time(once) {
  let calls = 0;
  const start = performance.now();
  while (performance.now() - start < MEASURE_MS) {
    once();
    calls++;
  }
  return (performance.now() - start) / calls;
}

function tfjsMatMul(x) {
  const weight = tf.randomNormal([inputs, out]); // transposed: only so does it reach its fast library (XNNPACK)
  return { name: "tfjs matMul", times: [], once: () => tf.matMul(x, weight).dispose() };
}

function quantized(type, x, rows) {
  const bytes = new Uint8Array(weightByteLength(type, [out, inputs]));
  new RandomWeights(1).fill(type, bytes, 1 / Math.sqrt(inputs));
  const weight = device.prepareWeight({ name: type, dtype: type, shape: [out, inputs], bytes });
  const y = device.uploadVector(new Float32Array(rows * out));
  const once = () => device.kernels.linear(device.read(x), rows, [weight], [null], [y], "fast");
  return { name: type, times: [], once };
}
