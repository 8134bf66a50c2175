import { setBackend, slice, tensor2d, tensor4d, type Tensor } from "@tensorflow/tfjs-core";
import { describeBackend } from "../backends/describe.js";
import { INT8_LEVELS } from "../backends/native/testing.js";
import { createReferenceDevice } from "../backends/reference/device.js";
import { ConfigError, FormatError } from "../errors.js";
import { Embedding, forwardTogether, LinearLayer, QuantizedLinear, StandardLinear } from "../linear.js";
import { Runtime, type Vector } from "../runtime.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { blockAttention, cachedAttention, headNormRope } from "./attention.js";
import { conv2d } from "./conv2d.js";
import { add, gelu, siluMul } from "./elementwise.js";
import { addLayerNorm, addRmsNorm, layerNorm, rmsNorm } from "./norm.js";
import { devicesForTests, gaussian, makeWeight, relativeError, rmsError, values } from "./testing.js";

const devices = await devicesForTests();

const WEIGHT_TYPES = [
  ...(["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"] as const),
  ...(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"] as const),
] satisfies GgmlType[];

it("has a fast backend to test", () => expect([...devices.keys()]).toContain("wasm"));

describe.each([...devices])("ops on %s equal the reference", (backend, device) => {
  const exact = new Runtime(device, "exact");
  const fast = new Runtime(device, "fast");
  const reference = new Runtime(createReferenceDevice(), "exact");
  const referenceFast = new Runtime(createReferenceDevice(), "fast");
  afterAll(() => {
    exact.dispose();
    fast.dispose();
  });

  /** Runs the same ops on both devices and compares every output. */
  function same(body: (runtime: Runtime) => Tensor | Tensor[], limit: number): void {
    const expected = values(reference, () => body(reference));
    const actual = values(exact, () => body(exact));
    actual.forEach((output, i) => expect(relativeError(output, expected[i]!)).toBeLessThan(limit));
  }

  describe.each(WEIGHT_TYPES)("%s", (dtype) => {
    const { block } = GGML_TYPES[dtype];
    const columns = block === 1 ? 203 : block === 32 ? 32 * 7 : 256 * 3;

    it.each([1, 2, 3, 5, 8, 9, 17, 33])("multiplies %i rows, exactly", (rows) => {
      const x = gaussian(rows * columns, 7 + rows);
      const bias = gaussian(37, 5);
      same((runtime) => {
        const layer = LinearLayer.create(
          runtime,
          makeWeight(dtype, [37, columns], 3),
          runtime.uploadVector(bias),
        );
        const other = LinearLayer.create(runtime, makeWeight(dtype, [5, columns], 4));
        return forwardTogether([layer, other], tensor2d(x, [rows, columns]));
      }, 2e-5);
    });

    it.each([1, 4, 8, 21])("multiplies %i rows fast, close to int8 activations", (rows) => {
      const x = gaussian(rows * columns, 17 + rows);
      const weight = makeWeight(dtype, [29, columns], 11);
      const run = (runtime: Runtime) =>
        values(runtime, () => LinearLayer.create(runtime, weight).forward(tensor2d(x, [rows, columns])))[0]!;
      const actual = run(fast);
      // A fast kernel may round activations to int8 or bf16 or not at all, and weights of more rows to int8 per 128 inputs,
      // which errs by 1.7 of the reference's int8 activations per 32, with codes of seven bits by 3.4: what counts is the
      // distance to exact.
      const sevenBits = backend === "native" && INT8_LEVELS.get(describeBackend(backend).isa) === 63;
      const allowed = Math.max(rmsError(run(referenceFast), run(reference)) * (sevenBits ? 4 : 2), 0.005);
      expect(rmsError(actual, run(reference))).toBeLessThan(allowed);
    });

    it("finds the largest output of each row, the first of equals", () => {
      const rows = 3;
      const x = gaussian(rows * columns, 23);
      const weight = makeWeight(dtype, [301, columns], 29);
      // Every row twice: the second copy must never win.
      const doubled = {
        ...weight,
        shape: [602, columns],
        bytes: new Uint8Array([...weight.bytes, ...weight.bytes]),
      };
      const run = (runtime: Runtime) =>
        runtime.run(() => ({
          ids: LinearLayer.create(runtime, doubled).argmax(tensor2d(x, [rows, columns])),
        })).ids;
      const expected = run(reference);
      expect([...run(exact)]).toEqual([...expected]);
      for (const id of expected) expect(id).toBeLessThan(301);
    });

    it("looks rows up", () => {
      const weight = makeWeight(dtype, [11, columns], 31);
      same((runtime) => new Embedding(runtime, weight).lookup([10, 0, 3, 3]), 1e-6);
    });
  });

  const vector = (runtime: Runtime, dim: number, seed: number): Vector =>
    runtime.uploadVector(gaussian(dim, seed));

  it.each([1, 7, 64, 203])("normalises rows of %i", (dim) => {
    const x = gaussian(5 * dim, 41);
    const r = gaussian(5 * dim, 43);
    same((runtime) => rmsNorm(tensor2d(x, [5, dim]), vector(runtime, dim, 1), 1e-6), 1e-5);
    same(
      (runtime) => addRmsNorm(tensor2d(x, [5, dim]), tensor2d(r, [5, dim]), vector(runtime, dim, 1), 1e-6),
      1e-5,
    );
    if (dim === 1) return; // a row of one has no variance: only rounding noise is left
    same(
      (runtime) => layerNorm(tensor2d(x, [5, dim]), vector(runtime, dim, 1), vector(runtime, dim, 2), 1e-5),
      1e-5,
    );
    same(
      (runtime) =>
        addLayerNorm(
          tensor2d(x, [5, dim]),
          tensor2d(r, [5, dim]),
          vector(runtime, dim, 1),
          vector(runtime, dim, 2),
          1e-5,
        ),
      1e-5,
    );
  });

  it("adds, gates and activates", () => {
    const a = gaussian(7 * 13, 47, 3);
    const b = gaussian(7 * 13, 53, 3);
    same((runtime) => (void runtime, add(tensor2d(a, [7, 13]), tensor2d(b, [7, 13]))), 1e-6);
    same((runtime) => (void runtime, siluMul(tensor2d(a, [7, 13]), tensor2d(b, [7, 13]))), 1e-5);
    const wide = Float32Array.from({ length: 1001 }, (_, i) => (i - 500) / 50);
    same((runtime) => (void runtime, gelu(tensor2d(wide, [1, 1001]))), 1e-6);
    same((runtime) => (void runtime, siluMul(tensor2d([[-200, 200, 0]]), tensor2d([[1, 1, 1]]))), 1e-6);
  });

  it.each([
    [true, 3, 32],
    [false, 2, 128],
    [true, 1, 6],
  ])("normalises heads and rotates (norm %s, %i heads of %i)", (normed, heads, headDim) => {
    const positions = Int32Array.of(0, 1, 5, 399, 60000);
    const x = gaussian(positions.length * heads * headDim, 59);
    const options = { heads, headDim, eps: 1e-6, theta: 1e6 };
    same((runtime) => {
      const gamma = normed ? vector(runtime, headDim, 61) : null;
      return headNormRope(tensor2d(x, [positions.length, heads * headDim]), gamma, positions, options);
    }, 1e-5);
  });

  it.each([
    [4, 2, 64],
    [6, 1, 24],
    [3, 3, 40],
  ])(
    "attends with caches of several sequences (%i heads, %i key-value heads of %i)",
    (heads, kvHeads, headDim) => {
      // Prompts of 5 and 37 rows together, then two steps of both.
      const passes = [
        [5, 37],
        [1, 1],
        [1, 1],
      ];
      same((runtime) => {
        const shape = { layers: 2, kvHeads, headDim, capacity: 41 };
        const caches = [runtime.createKvCache(shape), runtime.createKvCache(shape)];
        const done = [0, 0];
        return passes.flatMap((counts, pass) => {
          const rows = counts[0]! + counts[1]!;
          const make = (width: number, seed: number) =>
            tensor2d(gaussian(rows * width * headDim, seed + pass), [rows, width * headDim]);
          const sequences = caches.map((cache, i) => ({
            cache,
            start: i === 0 ? 0 : counts[0]!,
            count: counts[i]!,
            position: done[i]!,
          }));
          counts.forEach((count, i) => (done[i]! += count));
          return [0, 1].map((layer) =>
            cachedAttention(
              make(heads, 67 + layer),
              make(kvHeads, 71 + layer),
              make(kvHeads, 73 + layer),
              sequences,
              layer,
              heads,
              headDim ** -0.5,
            ),
          );
        });
      }, 2e-5);
    },
  );

  it("attends inside blocks", () => {
    const offsets = Int32Array.of(0, 1, 14, 66);
    const size: [number, number] = [66, 3 * 20];
    const [q, k, v] = [79, 83, 89].map((seed) => gaussian(size[0] * size[1], seed));
    same(
      (runtime) => (
        void runtime,
        blockAttention(tensor2d(q!, size), tensor2d(k!, size), tensor2d(v!, size), offsets, 3, 20 ** -0.5)
      ),
      2e-5,
    );
  });

  it.each(["F32", "BF16", "F16", "Q8_0", "Q4_0"] as const)("convolves with a %s filter", (dtype) => {
    const channels = GGML_TYPES[dtype].block === 32 ? 32 : 5;
    const x = gaussian(2 * 13 * 9 * channels, 97);
    const bias = gaussian(7, 101);
    for (const layout of ["nhwc", "nwch"] as const) {
      same((runtime) => {
        const filter = LinearLayer.create(
          runtime,
          makeWeight(dtype, [7, channels, 3, 3], 103),
          runtime.uploadVector(bias),
        );
        return conv2d(tensor4d(x, [2, 13, 9, channels]), filter, {
          kernel: [3, 3],
          stride: [2, 2],
          padding: [1, 1],
          activation: "gelu",
          layout,
        });
      }, 2e-5);
    }
  });
});

describe("layers and ops refuse what does not fit", () => {
  const runtime = new Runtime(createReferenceDevice(), "exact");

  it("names both classes of layer by their weight", () => {
    expect(LinearLayer.create(runtime, makeWeight("BF16", [3, 32], 1))).toBeInstanceOf(StandardLinear);
    expect(LinearLayer.create(runtime, makeWeight("Q4_0", [3, 32], 1))).toBeInstanceOf(QuantizedLinear);
  });

  it("checks bytes, bias, shapes and ids", () => {
    const weight = makeWeight("Q8_0", [3, 32], 1);
    const cut = { ...weight, bytes: weight.bytes.subarray(1) };
    expect(() => LinearLayer.create(runtime, cut)).toThrow(FormatError);
    expect(() => LinearLayer.create(runtime, weight, runtime.uploadVector(new Float32Array(4)))).toThrow(
      /bias of 4/,
    );
    const layer = LinearLayer.create(runtime, weight);
    const table = new Embedding(runtime, weight);
    runtime.run(() => {
      expect(() => layer.forward(tensor2d([[1, 2]]))).toThrow(ConfigError);
      expect(() => add(tensor2d([[1, 2]]), tensor2d([[1], [2]]) as never)).toThrow(/differ/);
      expect(() => table.lookup([3])).toThrow(/outside 0…2/);
      return [];
    });
  });

  it("keeps results apart from recycled memory", async () => {
    await setBackend(runtime.device.name);
    const kept = runtime.run(() => add(tensor2d([[1, 2]]), tensor2d([[3, 4]])));
    const data = kept.dataSync();
    const part = runtime.run(() => slice(kept, [0, 0], [1, 1]));
    kept.dispose();
    runtime.run(() => {
      add(tensor2d([[9, 9]]), tensor2d([[9, 9]]));
      return [];
    });
    expect([...data]).toEqual([4, 6]);
    expect([...part.dataSync()]).toEqual([4]);
    part.dispose();
  });
});
