import { memory, tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError, FusedDecoderLayer, Runtime, selectDevice } from "@voxquant/quant-core";
import { DecoderStack } from "./decoder-stack.js";
import { EventLoopBreak } from "./event-loop.js";
import { generateGreedy, prefillGroups, type GenerateOptions, type GenerationSequence } from "./generate.js";
import { Qwen3Decoder } from "./qwen3-decoder.js";
import { CountedCaches, gaussian, randomDecoder } from "./testing.js";
import type { TraceSink } from "./trace.js";
import type { WeightSource } from "./weight-source.js";

const config = {
  vocabSize: 61,
  hiddenSize: 32,
  intermediateSize: 64,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  normEps: 1e-6,
  ropeTheta: 10_000,
};
const NO_END: ReadonlySet<number> = new Set();

/** Dense attention, 8-bit MLP, as a partly quantized checkpoint has them. */
const randomSource = (layers = config.layers): WeightSource => randomDecoder({ ...config, layers });

describe("Qwen3Decoder and generateGreedy", () => {
  const caches = new CountedCaches();
  const names = { model: "model.", head: "lm_head" };
  let runtime: Runtime;
  let decoder: Qwen3Decoder;

  beforeAll(async () => {
    runtime = new Runtime(caches.wrap((await selectDevice("cpu")).device), "exact");
    decoder = await Qwen3Decoder.load(runtime, randomSource(), names, config);
    runtime.run(() => []); // makes the backend the active one: memory() would start tfjs's favourite
  });
  afterEach(() => expect(caches.alive).toBe(0));
  afterAll(() => runtime.dispose());

  const promptOf = (seed: number, rows: number): Tensor2D =>
    runtime.run(() => tensor2d(gaussian(rows * config.hiddenSize, seed, 1), [rows, config.hiddenSize]));
  const generate = (sequences: readonly GenerationSequence[], options: Partial<GenerateOptions> = {}) =>
    generateGreedy(runtime, decoder, sequences, { endIds: NO_END, pause: new EventLoopBreak(), ...options });

  /** Hidden states of one prompt that goes through the decoder in passes of these many rows. */
  async function hiddenOf(seed: number, passes: readonly number[]): Promise<Float32Array[]> {
    const rows = passes.reduce((sum, count) => sum + count, 0);
    const all = gaussian(rows * config.hiddenSize, seed, 1);
    const cache = decoder.createCache(rows);
    const results: Float32Array[] = [];
    let position = 0;
    for (const count of passes) {
      const from = position * config.hiddenSize;
      const embeds = runtime.run(() =>
        tensor2d(all.slice(from, from + count * config.hiddenSize), [count, config.hiddenSize]),
      );
      const sequences = [{ cache, start: 0, count, position }];
      const hidden = await decoder.forward(embeds, sequences, new EventLoopBreak());
      for (let r = 0; r < count; r++) {
        const row = runtime.run(() => decoder.pickRows(hidden, [r]));
        results.push(Float32Array.from(row.dataSync()));
        row.dispose();
      }
      hidden.dispose();
      position += count;
    }
    runtime.releaseKvCache(cache);
    return results;
  }

  it("gives the same states in one pass, in several, and token by token", async () => {
    const before = memory().numTensors;
    const whole = await hiddenOf(3, [9]);
    expect(whole.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true);
    expect(new Set(whole.map((row) => row[0])).size).toBe(9); // rows differ, or nothing would be compared
    for (const passes of [Array<number>(9).fill(1), [4, 5], [8, 1]]) {
      const parts = await hiddenOf(3, passes);
      parts.forEach((row, r) => row.forEach((x, i) => expect(x).toBeCloseTo(whole[r]![i]!, 5)));
    }
    expect(memory().numTensors).toBe(before);
  });

  it("frees its tensors when a pass fails", async () => {
    const before = memory().numTensors;
    const cache = decoder.createCache(3);
    const sequences = [{ cache, start: 0, count: 5, position: 0 }];
    const pass = decoder.forward(promptOf(3, 5), sequences, new EventLoopBreak());
    await expect(pass).rejects.toThrow(/do not fit a cache of 3/);
    runtime.releaseKvCache(cache);
    expect(memory().numTensors).toBe(before);
  });

  it("gives in a step what it gives with pauses", async () => {
    const stack = await DecoderStack.load(runtime, randomSource(), "model.", config);
    const caches = [stack.createCache(4), stack.createCache(4)] as const;
    const sequences = caches.map((cache, i) => ({ cache, start: i, count: 1 + i, position: 0 }));
    const before = memory().numTensors;
    const paused = await stack.forward(promptOf(3, 3), sequences, new EventLoopBreak());
    const embeds = promptOf(3, 3);
    const stepped = runtime.run(() => stack.step(embeds, sequences));
    expect([...stepped.dataSync()]).toEqual([...paused.dataSync()]);
    expect(embeds.isDisposed).toBe(false);
    for (const tensor of [paused, stepped, embeds]) tensor.dispose();
    expect(memory().numTensors).toBe(before);
    for (const cache of caches) runtime.releaseKvCache(cache);
  });

  it.each(["exact", "fast"] as const)(
    "gives the same in one op and layer by layer on the fastest backend, %s",
    async (precision) => {
      const fastest = new Runtime((await selectDevice("auto")).device, precision);
      const stack = await DecoderStack.load(fastest, randomSource(), "model.", config);
      const cache = stack.createCache(7);
      const run = (count: number, position: number) => {
        const rows = gaussian(count * config.hiddenSize, 50 + position, 1);
        const states = fastest.run(() =>
          stack.step(tensor2d(rows, [count, config.hiddenSize]), [{ cache, start: 0, count, position }]),
        );
        const values = [...states.dataSync()];
        states.dispose();
        return values;
      };
      const twoSteps = () => [run(5, 0), run(2, 5)];
      const expected = twoSteps();
      expect(expected.flat().every(Number.isFinite)).toBe(true);
      const seen: string[] = [];
      fastest.observe = (name) => seen.push(name);
      expect(twoSteps()).toEqual(expected);
      expect(seen.filter((name) => name.endsWith("down_proj.weight"))).toHaveLength(2 * config.layers);
      fastest.dispose();
    },
  );

  it.each(["exact", "fast"] as const)(
    "gives a prompt the same states in runs of layers and layer by layer on the fastest backend, %s",
    async (precision) => {
      const layers = 7;
      const fastest = new Runtime((await selectDevice("auto")).device, precision);
      const stack = await DecoderStack.load(fastest, randomSource(layers), "model.", { ...config, layers });
      const values = gaussian(45 * config.hiddenSize, 91, 1);
      const run = async (pause = new EventLoopBreak()) => {
        const caches = [stack.createCache(40), stack.createCache(5)];
        const sequences = [
          { cache: caches[0]!, start: 0, count: 40, position: 0 },
          { cache: caches[1]!, start: 40, count: 5, position: 0 },
        ];
        const embeds = fastest.run(() => tensor2d(values, [45, config.hiddenSize]));
        const given = values.slice();
        const states = await stack.forward(embeds, sequences, pause);
        expect(values).toEqual(given); // whose memory the embeddings share
        const found = [...states.dataSync()];
        states.dispose();
        for (const cache of caches) fastest.releaseKvCache(cache);
        return found;
      };
      const expected = await run();
      expect(expected.every(Number.isFinite)).toBe(true);
      const { tensors: before } = fastest.run(() => ({ tensors: memory().numTensors }));
      fastest.observe = () => undefined;
      expect(await run()).toEqual(expected);
      fastest.observe = null;

      // aborted where the event loop has its third turn: after the first layers
      let passes = 0;
      const pause = new EventLoopBreak();
      const aborting = {
        pass: () => (++passes === 3 ? Promise.reject(new Error("enough")) : pause.pass()),
      } as unknown as EventLoopBreak;
      await expect(run(aborting)).rejects.toThrow("enough");
      expect(passes).toBe(3);
      expect(fastest.run(() => ({ tensors: memory().numTensors })).tensors).toBe(before);
      fastest.dispose();
    },
  );

  it.each(["cpu", "auto"] as const)("decodes a step and consumes its input, backend %s", async (backend) => {
    const device = new Runtime((await selectDevice(backend)).device, "exact");
    const stack = await DecoderStack.load(device, randomSource(), "model.", config);
    const values = gaussian(2 * config.hiddenSize, 77, 1);
    const embedsOf = () => device.run(() => tensor2d(values, [2, config.hiddenSize]));
    const sequencesOf = () =>
      [0, 1].map((start) => ({ cache: stack.createCache(1), start, count: 1, position: 0 }));
    const forward = await stack.forward(embedsOf(), sequencesOf(), new EventLoopBreak());
    const embeds = embedsOf();
    const decoded = await stack.decode(embeds, sequencesOf(), new EventLoopBreak());
    expect([...decoded.dataSync()]).toEqual([...forward.dataSync()]);
    expect(embeds.isDisposed).toBe(true);
    const aborted = embedsOf();
    const pause = new EventLoopBreak(AbortSignal.abort(new Error("enough")));
    await expect(stack.decode(aborted, sequencesOf(), pause)).rejects.toThrow("enough");
    expect(aborted.isDisposed).toBe(true);
    for (const tensor of [decoded, forward]) tensor.dispose();
    device.dispose();
  });

  it.each(["exact", "fast"] as const)(
    "gives the last rows of prompts as a pass of all rows does, on the fastest backend, %s",
    async (precision) => {
      const fastest = new Runtime((await selectDevice("auto")).device, precision);
      const stack = await DecoderStack.load(fastest, randomSource(), "model.", config);
      const appendKeys = Reflect.get(FusedDecoderLayer.prototype, "appendKeys") as () => void;
      let shortened = 0;
      FusedDecoderLayer.prototype.appendKeys = function (...call) {
        shortened++;
        Reflect.apply(appendKeys, this, call);
      };
      const run = async (lastOnly: boolean) => {
        const found: number[][] = [];
        const caches = [40, 5, 70].map((capacity) => stack.createCache(2 * capacity));
        const position = [0, 0, 0];
        // prompts, prompts that continue them, a step
        for (const counts of [
          [40, 5, 70],
          [33, 4, 9],
          [1, 1, 1],
        ]) {
          let rows = 0;
          const sequences = counts.map((count, i) => {
            const sequence = { cache: caches[i]!, start: rows, count, position: position[i]! };
            rows += count;
            position[i]! += count;
            return sequence;
          });
          const values = gaussian(rows * config.hiddenSize, 60 + rows, 1);
          const embeds = fastest.run(() => tensor2d(values, [rows, config.hiddenSize]));
          const pause = new EventLoopBreak();
          const last = lastOnly
            ? await stack.prefill(embeds, sequences, pause)
            : await stack.forward(embeds, sequences, pause);
          const ends = sequences.map(({ start, count }) => start + count - 1);
          const picked = lastOnly ? last : stack.pickRows(last, ends);
          expect(picked.shape).toEqual([3, config.hiddenSize]);
          found.push([...picked.dataSync()]);
          for (const tensor of new Set([last, picked])) tensor.dispose();
        }
        return found;
      };
      const expected = await run(false);
      const before = fastest.run(() => ({ tensors: memory().numTensors })).tensors;
      expect(await run(true)).toEqual(expected);
      expect(fastest.run(() => ({ tensors: memory().numTensors })).tensors).toBe(before);
      expect(shortened).toBe(fastest.device.fused === undefined ? 0 : 1);
      FusedDecoderLayer.prototype.appendKeys = appendKeys;
      fastest.dispose();
    },
  );

  it("traces what is inside a layer", async () => {
    const stack = await DecoderStack.load(runtime, randomSource(), "model.", config);
    const cache = stack.createCache(4);
    const traced = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
    const states = await stack.forward(
      promptOf(3, 4),
      [{ cache, start: 0, count: 4, position: 0 }],
      new EventLoopBreak(),
      (name, tensor) => traced.set(name, tensor),
    );
    expect(Array.from(traced.get("norm_out")!.data)).toEqual([...states.dataSync()]);
    const { shape, data } = traced.get("layer1.probs")!;
    expect(shape).toEqual([config.heads, 4]);
    for (let head = 0; head < config.heads; head++) {
      const row = Array.from(data).slice(head * 4, head * 4 + 4);
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    }
    // Norm and rotation keep the length that the gains give; position 0 is not rotated.
    const normed = Array.from(traced.get("layer0.q_norm")!.data);
    const rotated = Array.from(traced.get("layer0.q_rope")!.data);
    const width = config.heads * config.headDim;
    expect(rotated.slice(0, width)).toEqual(normed.slice(0, width));
    expect(rotated.slice(width)).not.toEqual(normed.slice(width));
    states.dispose();
    runtime.releaseKvCache(cache);
  });

  it("sees what came before: another first token changes the last state", async () => {
    const rows = await hiddenOf(3, [5]);
    const withoutFirst = await hiddenOf(4, [5]);
    expect(rows[4]![0]).not.toBeCloseTo(withoutFirst[4]![0]!, 3);
  });

  it("decodes a ragged batch of more sequences than a step holds as each alone", async () => {
    const lengths = [5, 1, 9, 3, 14, 2, 7, 1, 6, 11, 4];
    const maxTokens = [12, 12, 3, 12, 12, 1, 12, 12, 7, 12, 0];
    const make = (i: number) => ({ embeds: promptOf(20 + i, lengths[i]!), maxTokens: maxTokens[i]! });
    const before = memory().numTensors;
    const free: number[][] = [];
    for (const i of lengths.keys()) {
      const [alone] = await generate([make(i)]);
      expect(alone!.ids).toHaveLength(maxTokens[i]!);
      expect(alone!.stopReason).toBe("length");
      free.push(alone!.ids);
    }
    expect(new Set(free.map(String)).size).toBeGreaterThan(5);

    // An end token that some sequences meet in the middle and some never.
    const counts = new Map<number, number>();
    for (const ids of free) for (const id of new Set(ids.slice(1))) counts.set(id, (counts.get(id) ?? 0) + 1);
    const end = [...counts].sort((a, b) => b[1] - a[1]).find(([, count]) => count < free.length - 1)![0];
    const expected = free.map((ids) => {
      const at = ids.indexOf(end);
      return at < 0 ? { ids, stopReason: "length" } : { ids: ids.slice(0, at + 1), stopReason: "eos" };
    });
    expect(new Set(expected.map(({ stopReason }) => stopReason)).size).toBe(2);
    const together = await generate([...lengths.keys()].map(make), { endIds: new Set([end]) });
    expect(together).toEqual(expected);
    expect(memory().numTensors).toBe(before);
  });

  it("prefills together what does not take other kernels alone", () => {
    expect(prefillGroups([9, 20, 8, 30, 900, 200, 12])).toEqual([[0, 1], [2], [3, 4], [5, 6]]);
    expect(prefillGroups([2000, 3])).toEqual([[0], [1]]);
  });

  it("ends a sequence whose guard says so, and no other", async () => {
    const make = (onToken?: GenerationSequence["onToken"]) => ({
      embeds: promptOf(20, 5),
      maxTokens: 8,
      ...(onToken && { onToken }),
    });
    const seen: number[] = [];
    const [guarded, other] = await generate([
      make((id) => (seen.push(id) === 3 ? "repetition" : undefined)),
      make(),
    ]);
    expect(guarded).toEqual({ ids: seen, stopReason: "repetition" });
    expect(seen).toHaveLength(3);
    expect(other!.ids.slice(0, 3)).toEqual(seen);
    expect(other!.ids).toHaveLength(8);
  });

  it("traces the prompt's stages and the logits of each step", async () => {
    const traced = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
    const trace: TraceSink = (name, tensor) => traced.set(name, tensor);
    let prefilled = 0;
    const [result] = await generate([{ embeds: promptOf(20, 5), maxTokens: 4 }], {
      trace,
      onPrefilled: () => prefilled++,
    });
    expect(prefilled).toBe(1);
    expect(traced.get("dec_layer_1")!.shape).toEqual([5, config.hiddenSize]);
    expect(traced.get("dec_norm")!.shape).toEqual([5, config.hiddenSize]);
    const { shape, data } = traced.get("logits")!;
    expect(shape).toEqual([4, config.vocabSize]);
    const best = result!.ids.map((_, step) => {
      const row = Array.from(data).slice(step * config.vocabSize, (step + 1) * config.vocabSize);
      return row.indexOf(Math.max(...row));
    });
    expect(best).toEqual(result!.ids);
  });

  it.each(["before the first step", "while prompts wait", "between two tokens"])(
    "frees all tensors and caches when aborted %s",
    async (when) => {
      const before = memory().numTensors;
      const abort = new AbortController();
      const reason = new Error("enough");
      if (when !== "between two tokens") abort.abort(reason);
      // Prompts of more rows than one pass takes: the second is still waiting when the first is aborted.
      const lengths = when === "while prompts wait" ? [700, 700] : [5, 3];
      const sequences = lengths.map((rows, i) => ({
        embeds: promptOf(30 + i, rows),
        maxTokens: 10,
        onToken: (): undefined => abort.abort(reason) as undefined,
      }));
      const pause = new EventLoopBreak(abort.signal);
      await expect(generate(sequences, { pause })).rejects.toBe(reason);
      expect(memory().numTensors).toBe(before);
      // The model is as good as new.
      expect((await generate([{ embeds: promptOf(20, 5), maxTokens: 2 }]))[0]!.ids).toHaveLength(2);
    },
  );

  it("ties the head to the embedding where there is none", async () => {
    const tied = await Qwen3Decoder.load(runtime, randomSource(), { model: "model.", head: null }, config);
    const row = runtime.run(() => tied.embedding.lookup([17]));
    expect([...tied.head.argmax(row)]).toEqual([17]);
    row.dispose();
  });

  it("names a tensor that does not fit the config", async () => {
    const load = (changed: Partial<typeof config>) =>
      Qwen3Decoder.load(runtime, randomSource(), names, { ...config, ...changed });
    await expect(load({ hiddenSize: 64 })).rejects.toThrow(/embed_tokens.weight has rows of 32, .* 64/);
    await expect(load({ intermediateSize: 96 })).rejects.toThrow(
      /gate_proj.weight is \[64, 32\], .*\[96, 32\]/,
    );
    await expect(load({ kvHeads: 4 })).rejects.toThrow(ConfigError);
    await expect(load({ heads: 2, kvHeads: 1, headDim: 16 })).rejects.toThrow(
      /q_norm.weight has 8 elements, .* 16/,
    );
  });
});
