import { concat2d, tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  BackendError,
  Runtime,
  selectDevice,
  type BackendName,
  type Device,
  type KvCache,
  type KvCacheShape,
  type Precision,
} from "@voxquant/quant-core";
import { EventLoopBreak } from "./event-loop.js";
import { generateGreedy, type GenerateOptions } from "./generate.js";
import { PromptCache } from "./prompt-cache.js";
import { Qwen3Decoder } from "./qwen3-decoder.js";
import { CountedCaches, gaussian, randomDecoder, type DecoderTypes } from "./testing.js";

const config = {
  vocabSize: 97,
  hiddenSize: 256,
  intermediateSize: 512,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 48,
  normEps: 1e-6,
  ropeTheta: 10_000,
};
/** The reference kernels take their time. */
const smallConfig = { ...config, hiddenSize: 64, intermediateSize: 96, headDim: 16 };
const names = { model: "model.", head: "lm_head" };
/** The key's type differs: products that share their input go through different kernels. */
const TYPES: readonly DecoderTypes[] = [
  { queryValue: "Q8_0", key: "BF16", mlp: "Q4_0" },
  { queryValue: "F32", key: "F16", mlp: "Q4_K" },
];

async function deviceOf(backend: BackendName): Promise<Device | null> {
  try {
    return (await selectDevice(backend)).device;
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    process.stderr.write(`prompt cache: backend ${backend} is not tested: ${error.message}\n`);
    return null;
  }
}

const tokens = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (i * i * 7 + 31 * seed + i) % config.vocabSize);

/** A prompt that begins with these tokens and goes on with rows that are none. */
function promptOf(runtime: Runtime, decoder: Qwen3Decoder, beginning: readonly number[], rest: Float32Array) {
  const { hiddenSize } = decoder.config;
  return runtime.run(() => {
    const rows = tensor2d(rest.slice(), [rest.length / hiddenSize, hiddenSize]);
    return beginning.length === 0 ? rows : concat2d([decoder.embedding.lookup([...beginning]), rows], 0);
  });
}

const cases = (["native", "wasm", "cpu"] as const).flatMap((backend) =>
  (["exact", "fast"] as const).flatMap((precision) =>
    TYPES.slice(0, backend === "cpu" ? 1 : 2).map((types) => [backend, precision, types] as const),
  ),
);

describe.each(cases)("on %s, %s, %j", (backend: BackendName, precision: Precision, types) => {
  const caches = new CountedCaches();
  const sizes = backend === "cpu" ? smallConfig : config;
  let runtime: Runtime | null = null;
  let decoder: Qwen3Decoder;
  beforeAll(async () => {
    const device = await deviceOf(backend);
    if (device === null) return;
    runtime = new Runtime(caches.wrap(device), precision);
    decoder = await Qwen3Decoder.load(runtime, randomDecoder(sizes, types), names, sizes);
  });
  afterAll(() => {
    runtime?.dispose();
    expect(caches.alive).toBe(0);
  });

  /** States of the prompt's last row and of two steps more. */
  async function statesOf(prompt: Tensor2D, cache: KvCache, position: number): Promise<number[][]> {
    const pause = new EventLoopBreak();
    const count = prompt.shape[0];
    const found = [await decoder.prefill(prompt, [{ cache, start: 0, count, position }], pause)];
    for (const step of [0, 1]) {
      const next = [{ cache, start: 0, count: 1, position: position + count + step }];
      const embeds = runtime!.run(() => decoder.embedding.lookup([11 + step]));
      found.push(await decoder.decode(embeds, next, pause));
    }
    return found.map((states) => {
      const values = [...states.dataSync()];
      states.dispose();
      return values;
    });
  }

  it.each([
    [9, 8, 17],
    [16, 16, 39],
    [24, 24, 9],
    [37, 36, 21],
    [70, 68, 90],
  ])("of %i rows %i are kept, with %i new ones they give the states of all", async (begun, kept, rest) => {
    if (runtime === null) return;
    const beginning = tokens(begun, 1);
    const [one, other] = [5, 6].map((seed) => gaussian(rest * sizes.hiddenSize, seed, 1));
    const capacity = begun + rest + 2;
    const promptCache = new PromptCache(runtime, decoder);

    const first = decoder.createCache(capacity + 3);
    const otherStates = await statesOf(promptOf(runtime, decoder, beginning, other!), first, 0);
    promptCache.keep(beginning, first);
    runtime.releaseKvCache(first);

    const whole = decoder.createCache(capacity);
    const expected = await statesOf(promptOf(runtime, decoder, beginning, one!), whole, 0);
    expect(expected.flat().every(Number.isFinite)).toBe(true);
    expect(expected).not.toEqual(otherStates);

    const copied = decoder.createCache(capacity);
    expect(promptCache.restore(beginning, copied)).toBe(kept);
    const others = promptOf(runtime, decoder, beginning.slice(kept), one!);
    expect(await statesOf(others, copied, kept)).toEqual(expected);
    for (const cache of [whole, copied]) runtime.releaseKvCache(cache);
  });

  it("generates the same ids with a prompt cache, alone and in a batch", async () => {
    if (runtime === null) return;
    const beginning = tokens(20, 1);
    const begun = [beginning, beginning, [...beginning.slice(0, 13), 3, 4, 5], beginning, tokens(18, 2)];
    const rests = [30, 9, 39, 8, 25];
    const sequencesOf = (which: readonly number[]) =>
      which.map((i) => ({
        embeds: promptOf(runtime!, decoder, begun[i]!, gaussian(rests[i]! * sizes.hiddenSize, 40 + i, 1)),
        beginning: begun[i]!,
        maxTokens: 6,
      }));
    let cached = NaN;
    const generate = async (which: readonly number[], options: Partial<GenerateOptions>) => {
      const results = await generateGreedy(runtime!, decoder, sequencesOf(which), {
        endIds: new Set<number>(),
        pause: new EventLoopBreak(),
        onPrefilled: (count) => (cached = count),
        ...options,
      });
      return results.map(({ ids }) => ids);
    };
    const all = [0, 1, 2, 3, 4];
    const before = caches.alive;
    const expected = await generate(all, {});
    expect(cached).toBe(0);
    const promptCache = new PromptCache(runtime, decoder);
    // The fourth's rest is so short that it might take other kernels.
    const counts = [0, 20, 12, 0, 0];
    for (const i of all) {
      const alone = await generate([i], {});
      expect(await generate([i], { promptCache })).toEqual(alone);
      expect([i, cached]).toEqual([i, counts[i]]);
    }
    expect(await generate(all, { promptCache })).toEqual(expected);
    expect(cached).toBe(20 + 20 + 16 + 16);
    // Who watches sees every row.
    await generate([0], { promptCache, trace: () => undefined });
    expect(cached).toBe(0);
    runtime.observe = () => undefined;
    await generate([0], { promptCache });
    expect(cached).toBe(0);
    runtime.observe = null;
    expect(caches.alive).toBe(before + 3); // the copies alone
  });
});

describe("what is kept", () => {
  const alive = new Set<KvCache>();
  const copies: [from: KvCache, to: KvCache, count: number][] = [];
  const fake = (sizes: Pick<KvCacheShape, "layers" | "kvHeads" | "headDim">, fails = false) => {
    alive.clear();
    copies.length = 0;
    const runtime = {
      releaseKvCache: (cache: KvCache) => expect(alive.delete(cache)).toBe(true),
      copyCached: (...call: [KvCache, KvCache, number]) => copies.push(call),
    } as unknown as Runtime;
    const createCache = (capacity: number): KvCache => {
      if (fails) throw new BackendError("no memory");
      const cache = { data: null, shape: { ...sizes, capacity } };
      alive.add(cache);
      return cache;
    };
    return new PromptCache(runtime, { config: { ...config, ...sizes }, createCache });
  };
  const small = { layers: 2, kvHeads: 2, headDim: 8 };
  const source: KvCache = { data: null, shape: { ...small, capacity: 100 } };

  it("is the last four beginnings, the longest common one is used", () => {
    const promptCache = fake(small);
    const beginnings = [1, 2, 3, 4, 5].map((n) => [9, 9, 9, 9, n, 9, 9, 9, ...tokens(4, n), 7]);
    for (const ids of beginnings.slice(0, 4)) promptCache.keep(ids, source);
    expect(promptCache.restore(beginnings[0]!, source)).toBe(12);
    promptCache.keep(beginnings[0]!, source);
    expect(copies.map(([, , count]) => count)).toEqual([12, 12, 12, 12, 12]);
    promptCache.keep(beginnings[4]!, source); // in place of the second, which was used longest ago
    expect(alive.size).toBe(4);
    expect(promptCache.restore(beginnings[0]!, source)).toBe(12);
    expect(promptCache.restore(beginnings[1]!, source)).toBe(4);
    expect(promptCache.restore([...beginnings[4]!.slice(0, 11), 1000], source)).toBe(8);
    expect(copies.at(-1)![0].shape.capacity).toBe(12);
    expect(promptCache.restore([9, 9, 9, 1000], source)).toBe(0);
    expect(promptCache.restore([], source)).toBe(0);
  });

  it("is the longer of two of which one begins with the other", () => {
    const promptCache = fake(small);
    const ids = tokens(8, 1);
    promptCache.keep(ids.slice(0, 4), source);
    promptCache.keep(ids, source);
    promptCache.keep(ids.slice(0, 6), source);
    expect([...alive].map(({ shape }) => shape.capacity)).toEqual([8]);
  });

  it("takes at most 128 MiB, counted as float32", () => {
    // 1 MiB for a token
    const promptCache = fake({ layers: 32, kvHeads: 32, headDim: 128 });
    promptCache.keep(tokens(100, 1), source);
    promptCache.keep(tokens(28, 2), source);
    expect([...alive].map(({ shape }) => shape.capacity)).toEqual([100, 28]);
    promptCache.keep(tokens(4, 3), source);
    expect([...alive].map(({ shape }) => shape.capacity)).toEqual([28, 4]);
    promptCache.keep(tokens(200, 4), source);
    expect([...alive].map(({ shape }) => shape.capacity)).toEqual([128]);
    expect(promptCache.restore(tokens(200, 4), source)).toBe(128);
    fake({ layers: 2 ** 12, kvHeads: 2 ** 12, headDim: 2 ** 12 }).keep(tokens(4, 1), source);
    expect(alive.size).toBe(0);
  });

  it("is nothing where there is no memory for it", () => {
    const promptCache = fake(small, true);
    promptCache.keep([1, 2, 3, 4], source);
    expect(promptCache.restore([1, 2, 3, 4], source)).toBe(0);
  });
});
