import { mul, tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { loadAddon } from "../backends/native/addon.js";
import { createReferenceDevice } from "../backends/reference/device.js";
import { ConfigError } from "../errors.js";
import { LinearLayer } from "../linear.js";
import { Runtime, type KvCache } from "../runtime.js";
import { GGML_TYPES } from "../weight.js";
import { cachedAttention } from "./attention.js";
import { causalConv1d, depthwiseCausalConv1d } from "./causal-conv.js";
import { addScaled, snake } from "./elementwise.js";
import { devicesForTests, gaussian, makeWeight, relativeError, values } from "./testing.js";

const devices = await devicesForTests();
/** The native kernels at each instruction set of this machine, the others once. */
const variants = [...devices].flatMap(([backend, device]) =>
  (backend === "native" ? loadAddon()!.isaLevels() : [null]).map(
    (level) => [level === null ? backend : `${backend} ${level}`, device, level] as const,
  ),
);

const reference = new Runtime(createReferenceDevice(), "exact");

/** x `[rows, columns]` of reproducible values. */
function signal(rows: number, columns: number, seed: number, scale = 1): Tensor2D {
  return tensor2d(gaussian(rows * columns, seed, scale), [rows, columns]);
}

describe.each(variants)("codec ops on %s equal the reference", (_, device, level) => {
  const exact = new Runtime(device, "exact");
  const fast = new Runtime(device, "fast");
  beforeAll(() => void (level !== null && loadAddon()!.setIsa(level)));
  afterAll(() => {
    if (level !== null) loadAddon()!.setIsa(loadAddon()!.isaLevels().at(-1)!);
    exact.dispose();
    fast.dispose();
  });

  function same(body: (runtime: Runtime) => Tensor2D | Tensor2D[], limit: number): void {
    const expected = values(reference, () => body(reference));
    values(exact, () => body(exact)).forEach((output, i) =>
      expect(relativeError(output, expected[i]!)).toBeLessThan(limit),
    );
  }

  /** The pieces of a signal through one convolution with history, then what the history holds. */
  function convolve(
    runtime: Runtime,
    dtype: "F32" | "F16" | "BF16" | "Q8_0" | "Q4_1" | "Q6_K",
    { inputs, outputs, kernel, dilation }: Record<"inputs" | "outputs" | "kernel" | "dilation", number>,
    pieces: readonly number[],
  ): Tensor2D[] {
    const filter = LinearLayer.create(
      runtime,
      makeWeight(dtype, [outputs, kernel * inputs], 3),
      runtime.uploadVector(gaussian(outputs, 5)),
    );
    const history = runtime.createStreamState((kernel - 1) * dilation, inputs);
    runtime.setStreamState(history, signal(history.rows, inputs, 2));
    return pieces.map((rows, i) => {
      const residual = i % 2 === 1 ? signal(rows, outputs, 31 + i) : undefined;
      const activation = (["none", "gelu", "silu"] as const)[i % 3];
      return causalConv1d(
        signal(rows, inputs, 11 + i),
        filter,
        { kernel, dilation, activation, residual },
        history,
      );
    });
  }

  it.each([
    [{ inputs: 5, outputs: 7, kernel: 7, dilation: 3 }, [1, 2, 40, 9, 3]],
    [{ inputs: 16, outputs: 50, kernel: 3, dilation: 9 }, [4, 33, 17]],
    [{ inputs: 12, outputs: 1, kernel: 7, dilation: 1 }, [600, 5]],
    [{ inputs: 6, outputs: 13, kernel: 7, dilation: 9 }, [8, 530, 60]],
    [{ inputs: 3, outputs: 20, kernel: 2, dilation: 1 }, [515, 1, 9]],
    [{ inputs: 9, outputs: 4, kernel: 1, dilation: 1 }, [3, 20]],
  ])("convolves %j in pieces of %j rows", (sizes, pieces) => {
    same((runtime) => convolve(runtime, "F32", sizes, pieces), 1e-5);
  });

  it.each(["F16", "BF16", "Q8_0", "Q4_1", "Q6_K"] as const)("convolves with a %s filter", (dtype) => {
    const inputs = GGML_TYPES[dtype].block === 256 ? 128 : 32;
    const sizes = { inputs, outputs: 15, kernel: 2, dilation: 3 };
    same((runtime) => convolve(runtime, dtype, sizes, [5, 30, 520]), 2e-5);
  });

  it.each([
    ["F32", { inputs: 32, outputs: 53, kernel: 7, dilation: 3 }],
    ["BF16", { inputs: 27, outputs: 12, kernel: 2, dilation: 1 }],
    ["Q8_0", { inputs: 32, outputs: 17, kernel: 3, dilation: 1 }],
  ] as const)("convolves fast with a %s filter %j, closely", (dtype, sizes) => {
    const pieces = [3, 41, 560];
    const expected = values(reference, () => convolve(reference, dtype, sizes, pieces));
    const actual = values(fast, () => convolve(fast, dtype, sizes, pieces));
    actual.forEach((output, i) => expect(relativeError(output, expected[i]!)).toBeLessThan(0.05));
  });

  it("takes zeros for what is before a signal, and keeps nothing without a history", () => {
    same((runtime) => {
      const filter = LinearLayer.create(runtime, makeWeight("F32", [6, 3 * 4], 7));
      const options = { kernel: 3, dilation: 2 };
      const history = runtime.createStreamState(4, 4);
      causalConv1d(signal(9, 4, 1), filter, options, history);
      runtime.setStreamState(history, null);
      const again = causalConv1d(signal(9, 4, 1), filter, options, history);
      runtime.releaseStreamState(history);
      return [again, ...[1, 12].map((rows) => causalConv1d(signal(rows, 4, 1), filter, options, null))];
    }, 1e-5);
  });

  it.each([
    [5, 7],
    [32, 3],
    [37, 1],
  ])("convolves %i channels apart with %i taps", (channels, kernel) => {
    same((runtime) => {
      const weight = runtime.uploadVector(gaussian(kernel * channels, 3));
      const bias = runtime.uploadVector(gaussian(channels, 4));
      const history = runtime.createStreamState(kernel - 1, channels);
      const pieces = [1, 30, 4].map((rows, i) =>
        depthwiseCausalConv1d(signal(rows, channels, 9 + i), weight, bias, kernel, history),
      );
      return [...pieces, depthwiseCausalConv1d(signal(8, channels, 9), weight, bias, kernel, null)];
    }, 1e-5);
  });

  it.each([1, 7, 64, 300])("adds a scaled branch and a snake over %i channels", (channels) => {
    same((runtime) => {
      const x = signal(5, channels, 1, 3);
      const scale = runtime.uploadVector(gaussian(channels, 8));
      const alpha = runtime.uploadVector(gaussian(channels, 6).map((a) => Math.exp(2 * a)));
      const inverseBeta = runtime.uploadVector(gaussian(channels, 7).map((b) => Math.exp(-b)));
      return [addScaled(x, signal(5, channels, 2), scale), snake(x, alpha, inverseBeta)];
    }, 1e-5);
  });

  it("computes the snake of any argument within the rounding of the argument", () => {
    const arguments_ = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) * 4.0951 + 1 / (i + 1));
    arguments_.set([8191.9, -8192.5, 2e5, -1.7e7, 0, -0], 17);
    const alpha = 0.7;
    const actual = values(exact, () => {
      const ones = exact.uploadVector(new Float32Array(4001).fill(1));
      const alphas = exact.uploadVector(new Float32Array(4001).fill(alpha));
      return snake(tensor2d(arguments_, [1, 4001]), alphas, ones);
    })[0]!;
    actual.forEach((y, i) => {
      const x = arguments_[i]!;
      const expected = x + Math.sin(Math.fround(x * Math.fround(alpha))) ** 2;
      // Beside the function itself, the sum is rounded to the precision of x.
      expect(Math.abs(y - expected)).toBeLessThan(5e-7 + Math.abs(x) * 2 ** -24);
    });
  });

  it("gives NaN for NaN in its own place alone", () => {
    const [y] = values(exact, () => {
      const one = exact.uploadVector(Float32Array.of(1, 1, 1, 1, 1));
      return snake(tensor2d([[0.5, NaN, 0.5, 1, 0.5]]), one, one);
    });
    expect([...y!].map(Number.isNaN)).toEqual([false, true, false, false, false]);
    expect(y![0]).toBeCloseTo(0.5 + Math.sin(0.5) ** 2, 6);
  });

  it.each([
    [4, 2, 24, 5],
    [3, 3, 40, 17],
    [2, 1, 16, 1],
  ])(
    "attends to a window (%i heads, %i key-value heads of %i, last %i)",
    (heads, kvHeads, headDim, window) => {
      same((runtime) => {
        const cache = runtime.createKvCache({ layers: 2, kvHeads, headDim, capacity: 60 });
        let position = 0;
        return [3, 40, 1, 12].map((count, pass) => {
          // What has left the window can be dropped; positions are those in the cache.
          const unseen = Math.max(0, position - (window - 1));
          runtime.dropCached(cache, unseen);
          position -= unseen;
          const [q, k, v] = [heads, kvHeads, kvHeads].map((n, i) =>
            signal(count, n * headDim, 60 + 3 * pass + i),
          );
          const rows = [{ cache, start: 0, count, position }];
          position += count;
          return cachedAttention(q!, k!, v!, rows, 1, heads, headDim ** -0.5, window);
        });
      }, 2e-5);
    },
  );

  it("drops positions of every layer and head of a cache", () => {
    const [kept, dropped] = [0, 3].map((dropAfter) => {
      const cache = exact.createKvCache({ layers: 2, kvHeads: 2, headDim: 8, capacity: 20 });
      return values(exact, () => {
        const attend = (layer: number, count: number, position: number, seed: number) => {
          const [q, k, v] = [0, 1, 2].map((i) => signal(count, 16, seed + i + 3 * layer));
          return cachedAttention(q!, k!, v!, [{ cache, start: 0, count, position }], layer, 2, 0.3, 9);
        };
        const before = [0, 1].map((layer) => attend(layer, 11, 0, 5));
        exact.dropCached(cache, dropAfter);
        return [...before, ...[0, 1].map((layer) => attend(layer, 1, 11 - dropAfter, 50))];
      });
    });
    dropped!.forEach((output, i) => expect(relativeError(output, kept![i]!)).toBeLessThan(1e-6));
  });
});

describe.each(variants)("cached positions on %s", (_, device, level) => {
  beforeAll(() => void (level !== null && loadAddon()!.setIsa(level)));
  afterAll(() => void (level !== null && loadAddon()!.setIsa(loadAddon()!.isaLevels().at(-1)!)));

  it.each([
    ["exact", 16],
    ["exact", 5],
    ["fast", 16],
    ["fast", 21],
    ["fast", 7],
  ] as const)("are copied, %s, %i of them", (precision, count) => {
    const runtime = new Runtime(device, precision);
    const shape = { layers: 2, kvHeads: 2, headDim: 40 };
    const cacheOf = (capacity: number) => runtime.createKvCache({ ...shape, capacity });
    const [whole, source, copy] = [cacheOf(30), cacheOf(33), cacheOf(count + 1)] as const;
    /** Rows from `position` on; of `broken` ones the keys and values are NaN. */
    const attend = (cache: KvCache, rows: number, position: number, broken = false) =>
      values(runtime, () =>
        [0, 1].map((layer) => {
          const of = (seed: number) => signal(rows, 80, seed + layer + 10 * position);
          const [k, v]: Tensor2D[] = broken ? [mul(of(1), NaN), mul(of(2), NaN)] : [of(1), of(2)];
          const segments = [{ cache, start: 0, count: rows, position }];
          return cachedAttention(of(3), k!, v!, segments, layer, 2, 0.2);
        }),
      );
    for (const cache of [whole, source]) attend(cache, count, 0);
    attend(source, 8, count, true); // what lies behind does not matter
    runtime.copyCached(source, copy, count);
    const expected = attend(whole, 1, count);
    expect(expected.every((output) => output.every(Number.isFinite))).toBe(true);
    expect(attend(copy, 1, count)).toEqual(expected);
    runtime.dispose();
  });
});

describe("codec ops refuse what does not fit", () => {
  it("checks filters, histories, residuals, parameters and windows", () => {
    const filter = LinearLayer.create(reference, makeWeight("F32", [6, 12], 7));
    const vector = (length: number) => reference.uploadVector(new Float32Array(length));
    reference.run(() => {
      const x = signal(5, 4, 1);
      const conv = (kernel: number, dilation: number, residual?: Tensor2D) => () =>
        causalConv1d(x, filter, { kernel, dilation, residual }, reference.createStreamState(4, 4));
      expect(conv(2, 2)).toThrow(/12 inputs per output, 2 taps × 4 channels/);
      expect(conv(3, 3)).toThrow(/history is \[4, 4\], \[6, 4\]/);
      expect(conv(0, 1)).toThrow(/no taps/);
      expect(conv(3, 2, signal(5, 4, 1))).toThrow(/residual has shape \[5, 4\]/);
      expect(conv(3, 2)).not.toThrow();
      expect(() => depthwiseCausalConv1d(x, vector(8), vector(4), 3, null)).toThrow(/3 taps × 4 channels/);
      expect(() => snake(x, vector(4), vector(5))).toThrow(ConfigError);
      expect(() => snake(x, vector(5), vector(5))).toThrow(/last dimension should be 5/);
      expect(() => addScaled(x, x, vector(3))).toThrow(ConfigError);
      const cache = reference.createKvCache({ layers: 1, kvHeads: 1, headDim: 4, capacity: 8 });
      const rows = [{ cache, start: 0, count: 5, position: 0 }];
      expect(() => cachedAttention(x, x, x, rows, 0, 1, 1, 0)).toThrow(/window of 0/);
      expect(() => reference.dropCached(cache, 9)).toThrow(/cache of 8/);
      const other = reference.createKvCache({ layers: 1, kvHeads: 1, headDim: 4, capacity: 5 });
      expect(() => reference.copyCached(cache, other, 6)).toThrow(/6 positions .* of 5/);
      const wider = reference.createKvCache({ layers: 1, kvHeads: 2, headDim: 4, capacity: 8 });
      expect(() => reference.copyCached(cache, wider, 1)).toThrow(/\[1, 1, 4\] .* \[1, 2, 4\]/);
      expect(() => reference.setStreamState(reference.createStreamState(4, 4), x)).toThrow(/cannot take/);
      expect(() => reference.createStreamState(-1, 4)).toThrow(ConfigError);
      return [];
    });
  });
});
