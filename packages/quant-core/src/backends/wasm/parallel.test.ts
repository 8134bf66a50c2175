import { GGML_TYPES, isDense, type GgmlType } from "../../weight.js";
import { startWasmBackend } from "./engine.js";
import { WasmMemory } from "./memory.js";
import { instantiateKernels, type KernelModule } from "./module.js";
import { shareWork } from "./parallel.js";
import { gauss, makeWeight } from "./testing.js";
import { ThreadPool } from "./thread-pool.js";

const WORKERS = 2;
const OUT_BYTES = 2 ** 20;

class CountingPool extends ThreadPool {
  cuts = 0;
  override run(...call: Parameters<ThreadPool["run"]>): void {
    this.cuts++;
    super.run(...call);
  }
}

let memory: WasmMemory;
let alone: KernelModule;
let shared: KernelModule;
let pool: CountingPool;
let out: number;
let scratch: number;
let halfTable: number;

beforeAll(async () => {
  memory = new WasmMemory(await startWasmBackend());
  const kernels = await instantiateKernels(memory.memory);
  alone = kernels.instance.exports as unknown as KernelModule;
  pool = new CountingPool(kernels, memory, 1 + WORKERS);
  shared = shareWork(alone, pool);
  out = memory.allocate(OUT_BYTES, "results");
  scratch = memory.allocate(4 * 2 ** 20, "scratch");
  halfTable = memory.allocate(65536 * 4, "half floats");
  alone.fillHalfTable(halfTable);
});
afterAll(() => pool.resize(1));

function put(values: Float32Array): number {
  const pointer = memory.allocate(values.byteLength, "input");
  memory.floats(pointer, values.length).set(values);
  return pointer;
}

function putWeight(dtype: GgmlType, rows: number, columns: number): number {
  const { bytes } = makeWeight(dtype, rows, columns);
  const pointer = memory.allocate(bytes.length, "weight");
  memory.bytes(pointer, bytes.length).set(bytes);
  return pointer;
}

/** Everything that `run` writes to the results. */
function results(run: () => void): Buffer {
  memory.bytes(out, OUT_BYTES).fill(0);
  run();
  return Buffer.from(memory.bytes(out, OUT_BYTES).slice());
}

/** Requires the same bytes from one thread and, several times, from all of them, and that there was a cut at all. */
function expectSame(run: (kernels: KernelModule) => void): void {
  const expected = results(() => run(alone));
  expect(expected.some((byte) => byte !== 0)).toBe(true);
  const before = pool.cuts;
  for (let i = 0; i < 3; i++) expect(results(() => run(shared)).equals(expected)).toBe(true);
  expect(pool.cuts).toBe(before + 3);
}

test("the workers take calls, and are put aside and used again", async () => {
  const { fillHalfTable } = alone;
  const bytes = 65536 * 4;
  const tables = memory.allocate((1 + WORKERS) * bytes, "a table per thread");
  /** Threads that have written their table, which is told apart by the scratch parameter. */
  const atWork = async (): Promise<number[]> => {
    const seen = new Set<number>();
    for (let round = 0; round < 2000 && seen.size < pool.threads; round++) {
      memory.bytes(tables, (1 + WORKERS) * bytes).fill(0);
      pool.run("fillHalfTable", 12, { index: 0, bytes }, true, (_, into, at) => (into[at] = tables));
      for (let thread = 0; thread <= WORKERS; thread++) {
        if (memory.floats(tables + thread * bytes, 65536)[1] !== 0) seen.add(thread);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return [...seen].sort();
  };
  expect(fillHalfTable).toHaveLength(1);
  expect(await atWork()).toEqual([0, 1, 2]);
  expect(pool.started).toBe(WORKERS);
  pool.resize(1);
  expect(await atWork()).toEqual([0]);
  pool.resize(1 + WORKERS);
  expect(await atWork()).toEqual([0, 1, 2]);
  memory.free(tables);
}, 60_000);

test("a kernel that fails on any thread is an error, and the pool goes on", () => {
  const beyond = 2 ** 32 - 64;
  const fill = (_: number, into: Float64Array, at: number) => into.set([beyond, beyond, 4, beyond], at);
  expect(() => pool.run("add", 12, null, true, fill)).toThrow(/kernel add failed on one of 3 threads/);
  const x = put(gauss(50_000));
  expectSame((kernels) => kernels.silu(x, 50_000, out));
});

test.each(["F32", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q4_K", "Q6_K", "IQ4_NL"] as const)(
  "products with %s weights",
  (dtype) => {
    const type = GGML_TYPES[dtype].id;
    const few = alone.FEW_ROWS.value;
    const k = 512;
    for (const [rows, n] of [
      [1, 1205],
      [3, 1202],
      [8, 1205],
      [9, 651],
      [203, 37],
    ] as const) {
      const weight = putWeight(dtype, n, k);
      const x = put(gauss(rows * k));
      const bias = put(gauss(n));
      for (const b of [0, bias]) {
        const floats = rows <= few ? "linearFewFloat" : "linearManyFloat";
        expectSame((kernels) => kernels[floats](type, weight, n, k, x, rows, b, out, n * 4, scratch));
        if (isDense(dtype)) continue;
        const q = memory.allocate(rows * k * 4, "codes");
        const [d, sums16, sums32] = [q + rows * k * 2, q + rows * k * 2.5, q + rows * k * 3];
        alone.quantizeActivations(x, rows, k, q, d, sums16, sums32);
        const common = [type, weight, n, k, q, d, sums16, sums32, rows, b, out, n * 4, scratch] as const;
        expectSame((kernels) =>
          rows <= few ? kernels.linearFewInt(...common, halfTable) : kernels.linearManyInt(...common),
        );
        memory.free(q);
      }
      for (const pointer of [weight, x, bias]) memory.free(pointer);
    }
  },
);

test("rounding of activations", () => {
  const [rows, k] = [70, 512];
  const x = put(gauss(rows * k));
  const at = (part: number) => out + (part * OUT_BYTES) / 4;
  expectSame((kernels) => kernels.quantizeActivations(x, rows, k, at(0), at(1), at(2), at(3)));
});

test("attention", () => {
  const [rows, heads, kvHeads, headDim, capacity, position] = [130, 6, 3, 32, 300, 100];
  const q = put(gauss(rows * heads * headDim));
  const keys = put(gauss(kvHeads * capacity * headDim));
  const values = put(gauss(kvHeads * capacity * headDim));
  for (const window of [capacity, 50]) {
    expectSame((kernels) =>
      kernels.causalAttention(
        ...([q, rows, heads, kvHeads, headDim, keys, values, capacity, position, 0.2, window] as const),
        ...([out, scratch, 0, kvHeads] as const),
      ),
    );
  }
  expectSame((kernels) => kernels.fullAttention(q, q, q, rows, heads, headDim, 0.2, out, scratch, 0, heads));
});

test("element-wise kernels", () => {
  const n = 70_003;
  const a = put(gauss(n));
  const b = put(gauss(n));
  expectSame((kernels) => kernels.add(a, b, n, out));
  expectSame((kernels) => kernels.siluMultiply(a, b, n, out));
  expectSame((kernels) => kernels.silu(a, n, out));
  expectSame((kernels) => kernels.gelu(a, n, out));
});

test("norms, with and without a residual", () => {
  const [rows, dim] = [301, 131];
  const x = put(gauss(rows * dim));
  const gamma = put(gauss(dim));
  const sum = out + OUT_BYTES / 2;
  for (const residual of [0, put(gauss(rows * dim))]) {
    const into = residual === 0 ? 0 : sum;
    expectSame((kernels) => kernels.rmsNorm(x, residual, gamma, 1e-6, dim, rows, into, out));
    expectSame((kernels) => kernels.layerNorm(x, residual, gamma, gamma, 1e-5, dim, rows, into, out));
  }
});

test("rotary embedding", () => {
  const [rows, heads, headDim] = [40, 7, 64];
  const x = put(gauss(rows * heads * headDim));
  const table = put(gauss(rows * headDim));
  const positions = memory.allocate(rows * 4, "positions");
  memory.ints(positions, rows).set(Int32Array.from({ length: rows }, (_, i) => rows - 1 - i));
  for (const gamma of [0, put(gauss(headDim))]) {
    expectSame((kernels) =>
      kernels.headNormRope(x, gamma, positions, table, rows, heads, headDim, 1e-6, out),
    );
  }
});

test("kernels of codecs and convolutions", () => {
  const [rows, channels, taps] = [500, 67, 4];
  const x = put(gauss((rows + 40) * channels));
  const alpha = put(gauss(channels * taps));
  expectSame((kernels) => kernels.snake(x, alpha, alpha, rows, channels, out));
  expectSame((kernels) => kernels.addScaled(x, x, alpha, rows, channels, out));
  expectSame((kernels) => kernels.depthwise(x, rows, channels, taps, alpha, alpha, out));
  expectSame((kernels) => kernels.gatherTaps(x, rows, channels, taps, 9, out));
  const [height, width, depth] = [20, 25, 13];
  for (const first of [0, 17]) {
    expectSame((kernels) =>
      kernels.gatherPatches(
        ...([x, height, width, depth, 3, 3, 1, 1, 1, 1, height, width, first, 700, out] as const),
      ),
    );
  }
  expectSame((kernels) => kernels.channelsBeforeHeight(x, 5, 10, 50, depth, out));
});
