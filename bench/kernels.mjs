// Speed of the native kernels beside the machine's read bandwidth: node bench/kernels.mjs [--isa NAME] [--threads 1,2]
// [--types Q8_0,Q4_0] [--mb 150] [--json]. Matrix x vectors in GB/s of weights, GEMM and attention in GMAC/s; medians of
// several runs. Build first (packages/quant-core: node native/build.mjs; pnpm build).
import { parseArgs } from "node:util";
import { GGML_TYPES } from "../packages/quant-core/dist/weight.js";
import { addonProblem, loadAddon } from "../packages/quant-core/dist/backends/native/addon.js";

const { values: options } = parseArgs({
  options: {
    isa: { type: "string" },
    threads: { type: "string" },
    types: { type: "string", default: "F32,F16,BF16,Q8_0,Q6_K,Q5_K,Q5_0,Q4_K,Q4_0,IQ4_NL,Q3_K,Q2_K" },
    mb: { type: "string", default: "150" },
    json: { type: "boolean", default: false },
  },
});

const addon = loadAddon();
if (addon === null) {
  console.error(`no native addon: ${addonProblem()}`);
  process.exit(1);
}
if (options.isa !== undefined && !addon.setIsa(options.isa)) {
  console.error(`${options.isa} is not one of ${addon.isaLevels().join(", ")}`);
  process.exit(2);
}

/** Milliseconds: median and fastest of the runs that fit into about a second. */
function time(body) {
  body();
  const runs = [];
  const deadline = performance.now() + 1000;
  while (runs.length < 5 || (runs.length < 40 && performance.now() < deadline)) {
    const start = performance.now();
    body();
    runs.push(performance.now() - start);
  }
  runs.sort((a, b) => a - b);
  return { median: runs[runs.length >> 1], fastest: runs[0] };
}

const wave = (length) => Float32Array.from({ length }, (_, i) => Math.sin(i * 1.37));

/** Small finite values in every block, whatever the type. */
function weight(type, rows, columns) {
  const { id, block, bytes } = GGML_TYPES[type];
  const data = new Uint8Array(((rows * columns) / block) * bytes);
  for (let i = 0; i < data.length; i++) data[i] = (Math.imul(i, 2654435761) >>> 13) & 0x2f;
  return addon.prepareWeight(id, rows, columns, data);
}

function report(name, threads, unit, amount, { median, fastest }, share) {
  const rate = amount / median / 1e6;
  const best = amount / fastest / 1e6;
  if (options.json) {
    console.log(
      JSON.stringify({
        name,
        isa: addon.isa(),
        threads,
        unit,
        median: rate,
        best,
        share_of_read: share?.(rate),
      }),
    );
    return;
  }
  const part = share === undefined ? "" : ` ${(100 * share(rate)).toFixed(0).padStart(4)} % of read`;
  console.log(
    `${name.padEnd(34)} ${String(threads).padStart(2)} threads ${rate.toFixed(1).padStart(8)} ${unit} (best ${best.toFixed(1)})${part}`,
  );
}

const types = options.types.split(",");
const megabytes = Number(options.mb);
const columns = 1024;
console.log(options.json ? "" : `${addon.isa()}, of ${addon.isaLevels().join(", ")}`);
for (const threads of (options.threads ?? `1,${addon.threads()}`).split(",").map(Number)) {
  addon.setThreads(threads);
  const stream = new Uint8Array(megabytes * 1e6).fill(1);
  const read = time(() => addon.streamRead(stream));
  const bandwidth = stream.length / read.median / 1e6;
  report("read", threads, "GB/s", stream.length, read);

  for (const type of types) {
    const { block, bytes } = GGML_TYPES[type];
    const rowBytes = (columns / block) * bytes;
    const out = Math.floor((megabytes * 1e6) / rowBytes);
    const large = weight(type, out, columns);
    for (const [rows, fast] of [
      [1, true],
      [1, false],
      [4, true],
      [8, true],
    ]) {
      const x = wave(rows * columns);
      const y = new Float32Array(rows * out);
      const took = time(() => addon.linear(x, rows, [large], [null], [y], fast));
      const name = `${type} x ${rows} ${fast ? "fast" : "exact"}`;
      report(name, threads, "GB/s", out * rowBytes, took, (rate) => rate / bandwidth);
    }
    const square = weight(type, 3072, columns);
    for (const [rows, fast] of [
      [16, true],
      [402, true],
      [402, false],
    ]) {
      const x = wave(rows * columns);
      const y = new Float32Array(rows * 3072);
      const took = time(() => addon.linear(x, rows, [square], [null], [y], fast));
      report(
        `${type} gemm ${rows} ${fast ? "fast" : "exact"}`,
        threads,
        "GMAC/s",
        rows * 3072 * columns,
        took,
      );
    }
  }

  const [heads, kvHeads, headDim] = [16, 8, 128];
  for (const [count, position] of [
    [1, 400],
    [1, 4000],
    [402, 0],
  ]) {
    const capacity = count + position;
    const cache = [wave(kvHeads * capacity * headDim), wave(kvHeads * capacity * headDim)];
    const [q, out] = [wave(count * heads * headDim), wave(count * heads * headDim)];
    const kv = wave(count * kvHeads * headDim);
    const segment = Int32Array.of(0, count, position, capacity);
    const pairs = count * position + (count * (count + 1)) / 2;
    const took = time(() =>
      addon.cachedAttention(q, kv, kv, [cache[0]], [cache[1]], segment, heads, kvHeads, headDim, 0.088, out),
    );
    report(`attention ${count} after ${position}`, threads, "GMAC/s", 2 * pairs * heads * headDim, took);
  }

  const image = { batch: 4, height: 64, width: 50, channels: 480 };
  const x = wave(image.batch * image.height * image.width * image.channels);
  const y = new Float32Array((x.length / image.channels / 4) * 480);
  const kernel = weight("BF16", 480, image.channels * 9);
  const geometry = Int32Array.of(
    image.batch,
    image.height,
    image.width,
    image.channels,
    480,
    3,
    3,
    2,
    2,
    1,
    1,
    1,
    1,
  );
  for (const fast of [true, false]) {
    const took = time(() => addon.conv2d(x, geometry, kernel, null, y, fast));
    report(
      `conv2d 480 to 480 ${fast ? "fast" : "exact"}`,
      threads,
      "GMAC/s",
      y.length * image.channels * 9,
      took,
    );
  }
}
