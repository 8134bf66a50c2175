import { createHostKvCache, type HostKvCache } from "../host-kv-cache.js";
import { createReferenceKernels } from "../reference/device.js";
import type { AttentionSegment, Conv2dGeometry, Precision } from "../../ops/kernels.js";
import { createNativeKernels, prepareWeight } from "./kernels.js";
import { addonForTests, atEveryLevel, below, gaussian, INT8_LEVELS, randomWeight } from "./testing.js";

const { abs, max, sqrt } = Math;

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;
const reference = createReferenceKernels();

/** Largest difference relative to the expected values' RMS. */
function error(actual: Float32Array, expected: Float32Array): number {
  let squares = 0;
  let largest = 0;
  expected.forEach((value, i) => {
    squares += value * value;
    const difference = abs(actual[i]! - value);
    if (!(difference <= largest)) largest = difference;
  });
  return largest / sqrt(squares / expected.length);
}

/** Runs a kernel natively at every level and once in the reference, and compares `length` outputs. */
function compare(
  length: number,
  limit: number | ((level: string) => number),
  run: (kernels: typeof reference, out: Float32Array) => void,
): void {
  const expected = new Float32Array(length);
  run(reference, expected);
  const kernels = createNativeKernels(addon!);
  atEveryLevel(addon!, (level) => {
    const out = new Float32Array(length).fill(NaN);
    run(kernels as unknown as typeof reference, out);
    expect([level, error(out, expected)]).toEqual([
      level,
      below(typeof limit === "number" ? limit : limit(level)),
    ]);
  });
}

describe("elementwise", () => {
  const sizes = [1, 7, 16, 33, 40_000];

  test_.each(sizes)("add, siluMul, gelu of %i elements", (n) => {
    const a = gaussian(n, 3, 1);
    const b = gaussian(n, 1, 2);
    compare(n, 1e-7, (kernels, out) => kernels.add(a, b, out));
    compare(n, 1e-6, (kernels, out) => kernels.siluMul(a, b, out));
    compare(n, 1e-6, (kernels, out) => kernels.gelu(a, out));
  });

  test_("extremes", () => {
    const x = Float32Array.of(-Infinity, -300, -87.5, -20, -5, -1e-20, 0, 1e-20, 5, 90, 3e38, NaN);
    const ones = new Float32Array(x.length).fill(1);
    const kernels = createNativeKernels(addon!);
    atEveryLevel(addon!, () => {
      const silu = new Float32Array(x.length);
      const gelu = new Float32Array(x.length);
      kernels.siluMul(x, ones, silu);
      kernels.gelu(x, gelu);
      for (const out of [silu, gelu]) {
        expect(out[11]).toBeNaN();
        expect(abs(out[1]!)).toBeLessThan(1e-30);
        expect(abs(out[2]!)).toBeLessThan(1e-30);
        expect(out[6]).toBe(0);
        expect(out[9]).toBe(90);
        expect(out[10]).toBe(x[10]);
      }
      expect(gelu[4]! / -1.4332578e-6).toBeCloseTo(1, 4); // the tail keeps its relative accuracy
    });
  });
});

describe("norms", () => {
  test_.each([
    [1, 5],
    [3, 32],
    [2, 100],
    [70, 896],
  ])("%i rows of %i", (rows, dim) => {
    const x = gaussian(rows * dim, 2, 3).map((value) => value + 0.7);
    const residual = gaussian(rows * dim, 1, 4);
    const gamma = gaussian(dim, 1, 5);
    const beta = gaussian(dim, 1, 6);
    const n = rows * dim;
    compare(n, 2e-6, (kernels, out) => kernels.rmsNorm(x, gamma, 1e-6, dim, out));
    compare(n, 4e-6, (kernels, out) => kernels.layerNorm(x, gamma, beta, 1e-5, dim, out));
    for (const which of ["sum", "out"] as const) {
      compare(n, 4e-6, (kernels, out) => {
        const other = new Float32Array(n);
        const [sum, norm] = which === "sum" ? [out, other] : [other, out];
        kernels.addRmsNorm(x, residual, gamma, 1e-6, dim, sum, norm);
      });
      compare(n, 4e-6, (kernels, out) => {
        const other = new Float32Array(n);
        const [sum, norm] = which === "sum" ? [out, other] : [other, out];
        kernels.addLayerNorm(x, residual, gamma, beta, 1e-5, dim, sum, norm);
      });
    }
  });
});

test_.each([
  [1, 2, 6],
  [5, 3, 64],
  [40, 16, 128],
])("headNormRope of %i rows, %i heads of %i", (rows, heads, headDim) => {
  const n = rows * heads * headDim;
  const x = gaussian(n, 1, 7);
  const gamma = gaussian(headDim, 1, 8);
  const positions = Int32Array.from({ length: rows }, (_, i) => (i === 2 ? 90_000 : i * 37));
  compare(n, 3e-6, (kernels, out) =>
    kernels.headNormRope(x, gamma, positions, heads, headDim, 1e-6, 1e6, out),
  );
  compare(n, 3e-6, (kernels, out) =>
    kernels.headNormRope(x, null, positions, heads, headDim, 1e-6, 10_000, out),
  );
});

describe("cachedAttention", () => {
  test_.each([
    { heads: 4, kvHeads: 2, headDim: 16, counts: [1], positions: [0] },
    { heads: 4, kvHeads: 2, headDim: 20, counts: [1, 1, 1], positions: [0, 70, 129] },
    { heads: 3, kvHeads: 3, headDim: 64, counts: [5, 1], positions: [0, 63] },
    { heads: 16, kvHeads: 8, headDim: 128, counts: [33], positions: [0] },
    { heads: 12, kvHeads: 2, headDim: 36, counts: [70, 3], positions: [31, 100] },
    { heads: 7, kvHeads: 3, headDim: 8, counts: [9], positions: [2] },
    { heads: 4, kvHeads: 2, headDim: 20, counts: [1, 1, 1], positions: [0, 70, 129], window: 66 },
    { heads: 12, kvHeads: 2, headDim: 36, counts: [70, 3], positions: [31, 100], window: 17 },
    { heads: 3, kvHeads: 3, headDim: 16, counts: [100, 40], positions: [80, 0], window: 72 },
    { heads: 2, kvHeads: 1, headDim: 16, counts: [5, 1], positions: [60, 3], window: 1 },
  ])("%j", ({ heads, kvHeads, headDim, counts, positions, window = 180 }) => {
    const layer = 1;
    const capacity = 180;
    const rows = counts.reduce((sum, count) => sum + count, 0);
    const q = gaussian(rows * heads * headDim, 1, 1);
    const k = gaussian(rows * kvHeads * headDim, 1, 2);
    const v = gaussian(rows * kvHeads * headDim, 1, 3);
    const caches: HostKvCache[] = [];
    compare(rows * heads * headDim, 5e-6, (kernels, out) => {
      let start = 0;
      const segments: AttentionSegment<HostKvCache>[] = counts.map((count, i) => {
        const cache = createHostKvCache({ layers: 2, kvHeads, headDim, capacity });
        cache.keys[layer]!.set(gaussian(kvHeads * capacity * headDim, 1, 10 + i));
        cache.values[layer]!.set(gaussian(kvHeads * capacity * headDim, 1, 20 + i));
        const segment = { cache, start, count, position: positions[i]! };
        start += count;
        return segment;
      });
      kernels.cachedAttention(q, k, v, segments, layer, heads, 1 / sqrt(headDim), window, out);
      caches.push(segments[0]!.cache);
    });
    for (const cache of caches) {
      expect(Buffer.from(cache.keys[layer]!.buffer).equals(Buffer.from(caches[0]!.keys[layer]!.buffer))).toBe(
        true,
      );
      expect(
        Buffer.from(cache.values[layer]!.buffer).equals(Buffer.from(caches[0]!.values[layer]!.buffer)),
      ).toBe(true);
    }
  });

  test_("a cache that is too short is refused", () => {
    const cache = createHostKvCache({ layers: 1, kvHeads: 1, headDim: 4, capacity: 3 });
    const q = new Float32Array(8);
    const run = () =>
      createNativeKernels(addon!).cachedAttention(
        q,
        q,
        q,
        [{ cache, start: 0, count: 2, position: 2 }],
        0,
        1,
        1,
        3,
        q.slice(),
      );
    expect(run).toThrow("needs 4 tokens of a cache of 3");
  });
});

test_.each([
  { heads: 2, headDim: 16, offsets: [0, 5] },
  { heads: 3, headDim: 20, offsets: [0, 1, 40, 40, 141] },
  { heads: 14, headDim: 64, offsets: [0, 104, 150] },
])("blockAttention %j", ({ heads, headDim, offsets }) => {
  const n = offsets.at(-1)! * heads * headDim;
  const [q, k, v] = [gaussian(n, 1, 1), gaussian(n, 1, 2), gaussian(n, 1, 3)];
  compare(n, 5e-6, (kernels, out) => {
    kernels.blockAttention(q, k, v, Int32Array.from(offsets), heads, headDim, 1 / sqrt(headDim), out);
  });
});

describe("conv2d", () => {
  const base = {
    kernel: [3, 3],
    stride: [2, 2],
    padding: [1, 1],
    activation: "gelu",
    layout: "nhwc",
  } as const;
  const geometries: Conv2dGeometry[] = [
    { ...base, batch: 2, height: 16, width: 11, inChannels: 1, outChannels: 37 },
    { ...base, batch: 1, height: 9, width: 10, inChannels: 32, outChannels: 24, layout: "nwch" },
    {
      ...base,
      batch: 3,
      height: 5,
      width: 4,
      inChannels: 32,
      outChannels: 13,
      layout: "nwch",
      activation: "none",
    },
    {
      ...base,
      batch: 1,
      height: 1,
      width: 30,
      inChannels: 64,
      outChannels: 5,
      kernel: [1, 4],
      stride: [1, 3],
      padding: [0, 2],
      activation: "silu",
    },
    // more channels than a group of int8, outputs of more than a panel, an image of more than one task's rows
    { ...base, batch: 2, height: 19, width: 23, inChannels: 160, outChannels: 61, activation: "none" },
    // part of a vector of channels; outputs that see nothing but padding
    {
      ...base,
      batch: 2,
      height: 6,
      width: 5,
      inChannels: 8,
      outChannels: 50,
      kernel: [2, 2],
      stride: [1, 1],
      padding: [2, 3],
      activation: "none",
      layout: "nwch",
    },
  ];

  test_.each(geometries)("$inChannels to $outChannels, $kernel", (geometry) => {
    const { batch, height, width, inChannels, outChannels, kernel, stride, padding } = geometry;
    const outHeight = Math.floor((height + 2 * padding[0] - kernel[0]) / stride[0]) + 1;
    const outWidth = Math.floor((width + 2 * padding[1] - kernel[1]) / stride[1]) + 1;
    const columns = inChannels * kernel[0] * kernel[1];
    const x = gaussian(batch * height * width * inChannels, 1, 1);
    const bias = gaussian(outChannels, 0.3, 2);
    for (const dtype of ["BF16", "F32", ...(columns % 32 === 0 ? (["Q8_0"] as const) : [])] as const) {
      const weight = randomWeight(dtype, outChannels, columns, 5);
      const handle = prepareWeight(addon!, weight);
      const run = (precision: Precision, kernels: typeof reference, out: Float32Array) =>
        kernels.conv2d(
          x,
          geometry,
          (kernels === reference ? weight : handle) as typeof weight,
          bias,
          out,
          precision,
        );
      const length = batch * outHeight * outWidth * outChannels;
      compare(length, 1e-5, (kernels, out) => run("exact", kernels, out));
      // bfloat16 on both sides: 2^-8 each, of sums of `columns` random products; quantized, int8 per 128 inputs; of few
      // inputs the activation alone is rougher
      const codes = (level: string) => 0.05 * (127 / (INT8_LEVELS.get(level) ?? 127));
      const limit = columns < 16 ? 1e-4 : dtype === "Q8_0" ? codes : max(0.02, 0.1 / sqrt(columns));
      const fast = (kernels: typeof reference, out: Float32Array) =>
        run(kernels === reference ? "exact" : "fast", kernels, out);
      compare(length, limit, fast);
      const kernels = createNativeKernels(addon!) as unknown as typeof reference;
      const [first, second] = [new Float32Array(length), new Float32Array(length)];
      fast(kernels, first);
      fast(kernels, second); // with the filter that the first one packed
      expect(second).toEqual(first);
    }
  });
});
