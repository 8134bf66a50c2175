import type { KvCacheShape } from "../../ops/kernels.js";
import { createHostKvCache } from "../host-kv-cache.js";
import { createNativeDevice } from "./device.js";
import { createInt8KvCache, dropFromInt8KvCache } from "./int8-kv-cache.js";
import { createNativeKernels, type NativeKvCache } from "./kernels.js";
import { addonForTests, atEveryLevel, below, gaussian } from "./testing.js";

const { abs, min, sqrt } = Math;

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

/** `count` rows that continue a cache at `position`, attending to the last `window` positions. */
function attend(
  cache: NativeKvCache,
  heads: number,
  position: number,
  [q, k, v]: readonly Float32Array[],
  window = cache.capacity,
): Float32Array {
  const out = new Float32Array(q!.length).fill(NaN);
  const count = q!.length / (heads * cache.headDim);
  const segments = [{ cache, start: 0, count, position }];
  const scale = 1 / sqrt(cache.headDim);
  createNativeKernels(addon!).cachedAttention(q!, k!, v!, segments, 0, heads, scale, window, out);
  return out;
}

function inputs({ kvHeads, headDim }: KvCacheShape, heads: number, count: number, seed: number) {
  return [heads, kvHeads, kvHeads].map((n, i) => gaussian(count * n * headDim, 1, seed + i));
}

function relativeRms(actual: Float32Array, expected: Float32Array): number {
  let [squares, errors] = [0, 0];
  expected.forEach((value, i) => {
    squares += value * value;
    errors += (actual[i]! - value) ** 2;
  });
  return sqrt(errors / squares);
}

test_.each([
  { headDim: 128, heads: 16, kvHeads: 8, count: 1, cached: 400, limit: 0.011 },
  { headDim: 64, heads: 6, kvHeads: 2, count: 70, cached: 30, limit: 0.011 },
  { headDim: 20, heads: 3, kvHeads: 3, count: 5, cached: 0, limit: 0.011 },
])("rounding changes attention by one percent: %j", ({ headDim, heads, kvHeads, count, cached, limit }) => {
  const shape = { layers: 1, kvHeads, headDim, capacity: cached + count };
  atEveryLevel(addon!, (level) => {
    const [exact, rounded] = [createHostKvCache(shape), createInt8KvCache(addon!, shape)].map((cache) => {
      if (cached > 0) attend(cache, heads, 0, inputs(shape, heads, cached, 1));
      return attend(cache, heads, cached, inputs(shape, heads, count, 4));
    });
    expect([level, relativeRms(rounded!, exact!)]).toEqual([level, below(limit)]);
    expect(relativeRms(rounded!, exact!)).toBeGreaterThan(0.003);
  });
});

test_("the device tells how many bytes a cache takes", () => {
  const device = createNativeDevice(addon!);
  const shape = { layers: 3, kvHeads: 2, headDim: 20, capacity: 41 };
  for (const precision of ["fast", "exact"] as const) {
    const { memory } = device.createKvCache(shape, precision);
    expect([precision, device.kvCacheBytes(shape, precision)]).toEqual([precision, memory.byteLength]);
  }
  const large = { layers: 28, kvHeads: 8, headDim: 128, capacity: 1024 };
  expect(device.kvCacheBytes(large, "fast") / device.kvCacheBytes(large, "exact")).toBeCloseTo(34 / 128, 3);
});

test_("a channel that is a thousand times larger leaves other groups of 32 alone", () => {
  const shape = { layers: 1, kvHeads: 1, headDim: 96, capacity: 40 };
  const loud = inputs(shape, 1, 40, 1);
  const quiet = loud.map((values) => values.slice());
  for (let row = 0; row < 40; row++) loud[2]![row * 96 + 40]! *= 1000;
  atEveryLevel(addon!, () => {
    const [one, other] = [loud, quiet].map((rows) => attend(createInt8KvCache(addon!, shape), 1, 0, rows));
    const columns = (values: Float32Array, from: number, to: number) =>
      Array.from({ length: 40 }, (_, row) => [...values.subarray(row * 96 + from, row * 96 + to)]);
    expect(columns(one!, 0, 32)).toEqual(columns(other!, 0, 32));
    expect(columns(one!, 64, 96)).toEqual(columns(other!, 64, 96));
    expect(columns(one!, 32, 64)).not.toEqual(columns(other!, 32, 64));
  });
});

test_("results do not depend on the number of threads or on other sequences", () => {
  const shape = { layers: 1, kvHeads: 3, headDim: 32, capacity: 90 };
  const heads = 7;
  const [before, threads] = [inputs(shape, heads, 85, 1), addon!.threads()];
  const caches = [0, 1].map(() => createInt8KvCache(addon!, shape));
  for (const cache of caches) attend(cache, heads, 0, before);
  const [one, two] = [inputs(shape, heads, 3, 10), inputs(shape, heads, 1, 20)];
  const alone = [attend(caches[0]!, heads, 85, one), attend(caches[1]!, heads, 40, two)];
  const joined = one.map((values, i) => Float32Array.of(...values, ...two[i]!));
  const segments = [
    { cache: caches[0]!, start: 0, count: 3, position: 85 },
    { cache: caches[1]!, start: 3, count: 1, position: 40 },
  ];
  try {
    for (const count of [1, 3]) {
      addon!.setThreads(count);
      const out = new Float32Array(joined[0]!.length);
      const [q, k, v] = joined;
      createNativeKernels(addon!).cachedAttention(
        ...([q!, k!, v!, segments, 0, heads, 1 / sqrt(32), 90, out] as const),
      );
      expect([...out]).toEqual([...alone[0]!, ...alone[1]!]);
    }
  } finally {
    addon!.setThreads(threads);
  }
});

test_.each([[16], [5], [40]])("what is left after %i positions are dropped is as it was", (count) => {
  const shape = { layers: 1, kvHeads: 2, headDim: 48, capacity: 60 };
  const window = 50 - count + 1;
  const [kept, dropped] = [0, count].map((drop) => {
    const cache = createInt8KvCache(addon!, shape);
    attend(cache, 2, 0, inputs(shape, 2, 50, 1));
    dropFromInt8KvCache(addon!, cache, drop);
    return attend(cache, 2, 50 - drop, inputs(shape, 2, 1, 7), min(window, shape.capacity));
  });
  kept!.forEach((value, i) => expect(abs(dropped![i]! - value)).toBeLessThan(1e-4));
});

test_("a value that is not finite shows in its row and those after it, and nowhere else", () => {
  const shape = { layers: 1, kvHeads: 1, headDim: 32, capacity: 8 };
  for (const part of [0, 1, 2])
    for (const bad of [NaN, Infinity, -Infinity])
      atEveryLevel(addon!, () => {
        const rows = inputs(shape, 1, 8, 1);
        rows[part]![5 * 32 + 3] = bad;
        const out = attend(createInt8KvCache(addon!, shape), 1, 0, rows);
        const broken = Array.from({ length: 8 }, (_, row) =>
          out.subarray(row * 32, row * 32 + 32).every(Number.isNaN),
        );
        expect(broken).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((row) => (part === 0 ? row === 5 : row >= 5)));
        expect(out.subarray(0, 5 * 32).some(Number.isNaN)).toBe(false);
      });
});

test_("memory that is given back is empty", () => {
  const cache = createInt8KvCache(addon!, { layers: 2, kvHeads: 1, headDim: 4, capacity: 8 });
  addon!.freeMemory(cache.memory);
  expect([cache.memory.length, cache.keys[1]!.length]).toEqual([0, 0]);
});

test_("an array that is too short is refused", () => {
  const shape = { layers: 1, kvHeads: 2, headDim: 32, capacity: 17 };
  const { keys, values } = createInt8KvCache(addon!, shape);
  const short = keys[0]!.subarray(1);
  expect(() => addon!.dropInt8Cached(short, values[0]!, 2, 32, 17, 1)).toThrow("keys has");
  expect(() => addon!.dropInt8Cached(keys[0]!, values[0]!, 2, 32, 17, 18)).toThrow("count");
});
