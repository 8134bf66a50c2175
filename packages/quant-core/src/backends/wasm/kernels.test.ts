import { setFlagsFromString } from "node:v8";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { quantizeRows } from "../../quantize/index.js";
import { GGML_TYPES, isDense, type GgmlType, type Weight } from "../../weight.js";
import type { Conv2dGeometry, Precision } from "../../ops/kernels.js";
import { createHostKvCache } from "../host-kv-cache.js";
import { createReferenceKernels } from "../reference/device.js";
import { makeWasmDevice, type WasmDevice } from "./device.js";
import { startWasmBackend } from "./engine.js";
import type { WasmArray } from "./memory.js";
import { hasRelaxedSimd } from "./module.js";

const { abs, imul, sqrt } = Math;
const reference = createReferenceKernels();
let backend: BackendWasm;
let device: WasmDevice;
let seed = 1;

const DTYPES = [
  ...([
    "F32",
    "F16",
    "BF16",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
  ] as const),
  ...(["IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"] as const),
];

/** Sums of three uniform numbers with variance 1, the same in every run. */
function gauss(n: number, scale = 1): Float32Array {
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let sum = -1.5;
    for (let j = 0; j < 3; j++) {
      seed = (imul(seed, 1664525) + 1013904223) >>> 0;
      sum += (seed >>> 8) / 2 ** 24;
    }
    values[i] = 2 * sum * scale;
  }
  return values;
}

function put(values: Float32Array): WasmArray {
  return device.uploadVector(values);
}

/** Runs a kernel into a tensor of `length` floats and returns them. */
function produce(length: number, run: (out: WasmArray) => void): Float32Array {
  const { tensor, data } = device.allocate([length]);
  run(data);
  const values = backend.readSync(tensor.dataId) as Float32Array;
  backend.disposeData(tensor.dataId);
  return values;
}

/** Largest difference relative to the expected values' RMS. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  expect(actual).toHaveLength(expected.length);
  let worst = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
    squares += expected[i]! ** 2;
  }
  return worst / sqrt(squares / expected.length);
}

/** Largest difference, relative where the expected value is above 1. */
function mixedError(actual: Float32Array, expected: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = abs(actual[i]! - expected[i]!) / Math.max(1, abs(expected[i]!));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

function makeWeight(dtype: GgmlType, rows: number, columns: number): Weight {
  const bytes = quantizeRows(dtype, gauss(rows * columns, 0.05), columns);
  return { name: `${dtype} weight`, dtype, shape: [rows, columns], bytes };
}

/** Row lengths: short, several blocks, longer than the pieces in which panels are unpacked. */
function rowLengths(dtype: GgmlType): readonly [number, number, number] {
  const { block } = GGML_TYPES[dtype];
  if (block === 1) return [5, 200, 1035];
  return block === 32 ? [32, 224, 1120] : [256, 512, 1280];
}

interface Product {
  readonly rows: number;
  readonly weight: Weight;
  readonly x: Float32Array;
  readonly bias: Float32Array | null;
  readonly expected: Readonly<Record<Precision, Float32Array>>;
}

const products = new Map<GgmlType, readonly Product[]>();

/** The products that every kernel for `dtype` is tested with, and their results by the reference. */
function productsOf(dtype: GgmlType): readonly Product[] {
  let made = products.get(dtype);
  if (made !== undefined) return made;
  const [short, middle, long] = rowLengths(dtype);
  const shapes = [
    [1, long, 7],
    [2, short, 3],
    [3, middle, 66],
    [4, short, 1],
    [5, long, 67],
    [17, middle, 9],
    [64, short, 13],
  ] as const;
  made = shapes.map(([rows, columns, outputs]) => {
    const weight = makeWeight(dtype, outputs, columns);
    const x = gauss(rows * columns);
    const bias = rows % 2 === 0 ? null : gauss(outputs);
    const result = (precision: Precision) => {
      const out = new Float32Array(rows * outputs);
      reference.linear(x, rows, [weight], [bias], [out], precision);
      return out;
    };
    const exact = result("exact");
    return { rows, weight, x, bias, expected: { exact, fast: isDense(dtype) ? exact : result("fast") } };
  });
  products.set(dtype, made);
  return made;
}

beforeAll(async () => {
  backend = await startWasmBackend();
});

describe.each([
  ["SIMD128", false],
  ["relaxed SIMD", true],
])("%s kernels", (_, relaxed) => {
  let available = true;
  beforeAll(async () => {
    if (relaxed) setFlagsFromString("--experimental-wasm-relaxed-simd");
    available = hasRelaxedSimd() === relaxed;
    if (!available)
      process.stderr.write(
        `wasm: this engine cannot choose ${relaxed ? "relaxed" : "plain"} SIMD, skipped\n`,
      );
    else device = await makeWasmDevice(backend);
  });
  afterAll(() => {
    if (relaxed) setFlagsFromString("--no-experimental-wasm-relaxed-simd");
  });

  /** A test that is void where this variant cannot run. */
  const check = (name: string, body: () => void) => test(name, () => (available ? body() : undefined));

  describe.each(DTYPES)("%s", (dtype) => {
    for (const precision of ["exact", "fast"] as const) {
      check(`linear, ${precision}`, () => {
        for (const { rows, weight, x, bias, expected } of productsOf(dtype)) {
          const prepared = device.prepareWeight(weight);
          const biases = [bias === null ? null : put(bias)];
          const actual = produce(rows * weight.shape[0]!, (out) =>
            device.kernels.linear(put(x), rows, [prepared], biases, [out], precision),
          );
          device.releaseWeight(prepared);
          expect(relativeError(actual, expected[precision])).toBeLessThan(1e-5);
        }
      });
    }

    check("embedding gives the dequantized rows bit for bit", () => {
      const { weight } = productsOf(dtype)[0]!;
      const ids = Int32Array.of(5, 0, 3, 3);
      const expected = new Float32Array(ids.length * weight.shape[1]!);
      reference.embedding(ids, weight, expected);
      const actual = produce(expected.length, (out) =>
        device.kernels.embedding(ids, device.prepareWeight(weight), out),
      );
      expect(new Int32Array(actual.buffer)).toEqual(new Int32Array(expected.buffer));
    });
  });

  check("several weights of different types share x", () => {
    const weights = [makeWeight("Q8_0", 9, 256), makeWeight("F16", 4, 256), makeWeight("Q6_K", 70, 256)];
    for (const rows of [2, 9]) {
      const x = gauss(rows * 256);
      const outs = weights.map(({ shape }) => new Float32Array(rows * shape[0]!));
      reference.linear(x, rows, weights, [null, null, null], outs, "fast");
      const given = outs.map(({ length }) => device.allocate([length]));
      device.kernels.linear(
        put(x),
        rows,
        weights.map((weight) => device.prepareWeight(weight)),
        [null, null, null],
        given.map(({ data }) => data),
        "fast",
      );
      outs.forEach((expected, i) => {
        const actual = backend.readSync(given[i]!.tensor.dataId) as Float32Array;
        expect(relativeError(actual, expected)).toBeLessThan(1e-5);
      });
    }
  });

  check("halves of every kind are widened exactly", () => {
    const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
    const weight: Weight = { name: "all halves", dtype: "F16", shape: [1, 65536], bytes };
    const expected = new Float32Array(65536);
    reference.embedding(Int32Array.of(0), weight, expected);
    const actual = produce(65536, (out) =>
      device.kernels.embedding(Int32Array.of(0), device.prepareWeight(weight), out),
    );
    for (let i = 0; i < 65536; i++) {
      if (!Object.is(actual[i], expected[i])) throw new Error(`half ${i}: ${actual[i]} for ${expected[i]}`);
    }
  });

  check("activations of zeros, extremes and tiny numbers round to finite products", () => {
    const x = new Float32Array(160);
    x.fill(1e-42, 32, 64);
    x.fill(-3e30, 64, 96);
    x.set(gauss(64), 96);
    const weight = makeWeight("Q8_0", 3, 160);
    const expected = new Float32Array(3);
    const withoutTiny = x.map((v) => (abs(v) < 1e-36 ? 0 : v));
    reference.linear(withoutTiny, 1, [weight], [null], [expected], "fast");
    const actual = produce(3, (out) =>
      device.kernels.linear(put(x), 1, [device.prepareWeight(weight)], [null], [out], "fast"),
    );
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  check("a NaN activation gives NaN and not a number", () => {
    const x = gauss(64);
    x[40] = NaN;
    for (const [rows, precision] of [
      [1, "fast"],
      [5, "fast"],
      [1, "exact"],
      [5, "exact"],
    ] as const) {
      const many = new Float32Array(rows * 64);
      for (let r = 0; r < rows; r++) many.set(x, r * 64);
      const weight = device.prepareWeight(makeWeight("Q8_0", 3, 64));
      const actual = produce(rows * 3, (out) =>
        device.kernels.linear(put(many), rows, [weight], [null], [out], precision),
      );
      expect([...actual].every(Number.isNaN)).toBe(true);
    }
  });

  check("linearArgmax takes the first of equal outputs, across chunks of rows", () => {
    const weight = makeWeight("Q8_0", 1500, 64);
    const rowBytes = 68;
    // the same row three times
    const same = weight.bytes.slice(7 * rowBytes, 8 * rowBytes);
    weight.bytes.set(same, 1100 * rowBytes);
    weight.bytes.set(same, 1499 * rowBytes);
    const row = new Float32Array(64);
    reference.embedding(Int32Array.of(7), weight, row);
    for (const precision of ["exact", "fast"] as const) {
      for (const rows of [1, 6]) {
        const x = gauss(rows * 64);
        x.set(row.map((v) => v * 40));
        const expected = new Int32Array(rows);
        reference.linearArgmax(x, rows, weight, expected, precision);
        expect(expected[0]).toBe(7);
        const actual = new Int32Array(rows);
        device.kernels.linearArgmax(put(x), rows, device.prepareWeight(weight), actual, precision);
        expect(actual).toEqual(expected);
      }
    }
  });

  check("norms", () => {
    for (const [rows, dim] of [
      [1, 1],
      [2, 3],
      [3, 37],
      [5, 128],
      [2, 1027],
    ] as const) {
      const x = gauss(rows * dim).map((v) => v + 3);
      const residual = gauss(rows * dim);
      const gamma = gauss(dim);
      const beta = gauss(dim);
      const n = rows * dim;
      const expected = new Float32Array(n);
      const expectedSum = new Float32Array(n);

      reference.rmsNorm(x, gamma, 1e-6, dim, expected);
      let actual = produce(n, (out) => device.kernels.rmsNorm(put(x), put(gamma), 1e-6, dim, out));
      expect(relativeError(actual, expected)).toBeLessThan(2e-6);

      reference.layerNorm(x, gamma, beta, 1e-5, dim, expected);
      actual = produce(n, (out) => device.kernels.layerNorm(put(x), put(gamma), put(beta), 1e-5, dim, out));
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);

      let sum: Float32Array = new Float32Array(0);
      reference.addRmsNorm(x, residual, gamma, 1e-6, dim, expectedSum, expected);
      actual = produce(n, (out) => {
        sum = produce(n, (into) =>
          device.kernels.addRmsNorm(put(x), put(residual), put(gamma), 1e-6, dim, into, out),
        );
      });
      expect(relativeError(sum, expectedSum)).toBe(0);
      expect(relativeError(actual, expected)).toBeLessThan(2e-6);

      reference.addLayerNorm(x, residual, gamma, beta, 1e-5, dim, expectedSum, expected);
      actual = produce(n, (out) => {
        sum = produce(n, (into) =>
          device.kernels.addLayerNorm(put(x), put(residual), put(gamma), put(beta), 1e-5, dim, into, out),
        );
      });
      expect(relativeError(sum, expectedSum)).toBe(0);
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("headNormRope, to position 65535", () => {
    for (const [heads, headDim] of [
      [1, 2],
      [3, 6],
      [2, 64],
      [2, 22],
    ] as const) {
      const positions = Int32Array.of(0, 1, 511, 512, 65535);
      const x = gauss(positions.length * heads * headDim);
      const gamma = gauss(headDim);
      const expected = new Float32Array(x.length);
      for (const gain of [gamma, null]) {
        reference.headNormRope(x, gain, positions, heads, headDim, 1e-6, 1e6, expected);
        const actual = produce(x.length, (out) =>
          device.kernels.headNormRope(
            put(x),
            gain === null ? null : put(gain),
            positions,
            heads,
            headDim,
            1e-6,
            1e6,
            out,
          ),
        );
        expect(relativeError(actual, expected)).toBeLessThan(2e-6);
      }
    }
  });

  check("cachedAttention: prefill, decode and several sequences", () => {
    for (const [heads, kvHeads, headDim] of [
      [4, 2, 16],
      [6, 2, 5],
      [3, 3, 37],
      [5, 1, 8],
    ] as const) {
      const shape = { layers: 2, kvHeads, headDim, capacity: 100 };
      const caches = [createHostKvCache(shape), createHostKvCache(shape)];
      const wasmCaches = [device.createKvCache(shape), device.createKvCache(shape)];
      const steps = [
        [[0, 0, 11, 0]],
        [
          [1, 0, 70, 0],
          [0, 70, 2, 11],
        ],
        [
          [0, 0, 1, 13],
          [1, 1, 1, 70],
        ],
        [[1, 0, 3, 71]],
      ] as const;
      for (const step of steps) {
        const rows = step.reduce((sum, [, , count]) => sum + count, 0);
        const q = gauss(rows * heads * headDim);
        const k = gauss(rows * kvHeads * headDim);
        const v = gauss(rows * kvHeads * headDim);
        const segmentsOf = <C>(of: readonly C[]) =>
          step.map(([cache, start, count, position]) => ({ cache: of[cache]!, start, count, position }));
        for (const layer of [1, 0]) {
          const expected = new Float32Array(q.length);
          reference.cachedAttention(q, k, v, segmentsOf(caches), layer, heads, 0.3, expected);
          const actual = produce(q.length, (out) =>
            device.kernels.cachedAttention(
              put(q),
              put(k),
              put(v),
              segmentsOf(wasmCaches),
              layer,
              heads,
              0.3,
              out,
            ),
          );
          expect(relativeError(actual, expected)).toBeLessThan(1e-5);
        }
      }
      for (const cache of wasmCaches) device.releaseKvCache(cache);
    }
  });

  check("blockAttention", () => {
    for (const [heads, headDim] of [
      [1, 3],
      [2, 64],
      [3, 20],
    ] as const) {
      const offsets = Int32Array.of(0, 1, 3, 3, 10, 85);
      const n = 85 * heads * headDim;
      const [q, k, v] = [gauss(n, 2), gauss(n, 2), gauss(n)];
      const expected = new Float32Array(n);
      reference.blockAttention(q, k, v, offsets, heads, headDim, 0.25, expected);
      const actual = produce(n, (out) =>
        device.kernels.blockAttention(put(q), put(k), put(v), offsets, heads, headDim, 0.25, out),
      );
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("add, siluMul and gelu over their whole range", () => {
    const x = Float32Array.from({ length: 4003 }, (_, i) => (i - 2001) / 20);
    const y = gauss(x.length);
    const expected = new Float32Array(x.length);
    reference.add(x, y, expected);
    expect(produce(x.length, (out) => device.kernels.add(put(x), put(y), out))).toEqual(expected);
    const far = x.map((v) => v * 1e30);
    expect(produce(x.length, (out) => device.kernels.gelu(put(far), out)).every(Number.isFinite)).toBe(true);
    reference.siluMul(x, y, expected);
    let actual = produce(x.length, (out) => device.kernels.siluMul(put(x), put(y), out));
    expect(mixedError(actual, expected)).toBeLessThan(1e-6);
    reference.gelu(x, expected);
    actual = produce(x.length, (out) => device.kernels.gelu(put(x), out));
    expect(mixedError(actual, expected)).toBeLessThan(5e-7);
  });

  check("conv2d: odd sizes, strides, paddings, layouts and activations", () => {
    const cases: [Partial<Conv2dGeometry>, GgmlType, Precision][] = [
      [{}, "F32", "exact"],
      [{ layout: "nwch", activation: "gelu" }, "BF16", "exact"],
      [{ inChannels: 1, kernel: [3, 3], activation: "silu" }, "F16", "exact"],
      [{ inChannels: 32, outChannels: 33, kernel: [3, 1], padding: [0, 2] }, "Q8_0", "fast"],
      [{ inChannels: 32, kernel: [1, 1], stride: [1, 3], layout: "nwch" }, "Q4_0", "exact"],
      [{ batch: 7, height: 1, width: 5, kernel: [1, 2], padding: [0, 0], layout: "nwch" }, "F32", "exact"],
    ];
    for (const [change, dtype, precision] of cases) {
      const geometry: Conv2dGeometry = {
        batch: 3,
        height: 11,
        width: 13,
        inChannels: 5,
        outChannels: 10,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        activation: "none",
        layout: "nhwc",
        ...change,
      };
      const { batch, height, width, inChannels, outChannels, kernel, stride, padding } = geometry;
      const weight = makeWeight(dtype, outChannels, inChannels * kernel[0] * kernel[1]);
      const x = gauss(batch * height * width * inChannels);
      const bias = gauss(outChannels);
      const size = (length: number, axis: 0 | 1) =>
        Math.floor((length + 2 * padding[axis] - kernel[axis]) / stride[axis]) + 1;
      const expected = new Float32Array(batch * size(height, 0) * size(width, 1) * outChannels);
      reference.conv2d(x, geometry, weight, bias, expected, precision);
      const actual = produce(expected.length, (out) =>
        device.kernels.conv2d(put(x), geometry, device.prepareWeight(weight), put(bias), out, precision),
      );
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("conv2d of more pixels than are gathered at a time", () => {
    const geometry: Conv2dGeometry = {
      batch: 2,
      height: 6,
      width: 15,
      inChannels: 1900,
      outChannels: 2,
      kernel: [3, 3],
      stride: [1, 1],
      padding: [1, 1],
      activation: "none",
      layout: "nhwc",
    };
    const weight = makeWeight("F32", 2, 1900 * 9);
    const pixels = gauss(2 * 6 * 15);
    const x = new Float32Array(pixels.length * 1900).map((_, i) => pixels[Math.floor(i / 1900)]!);
    for (const layout of ["nhwc", "nwch"] as const) {
      const expected = new Float32Array(2 * 6 * 15 * 2);
      reference.conv2d(x, { ...geometry, layout }, weight, null, expected, "exact");
      const actual = produce(expected.length, (out) =>
        device.kernels.conv2d(
          put(x),
          { ...geometry, layout },
          device.prepareWeight(weight),
          null,
          out,
          "exact",
        ),
      );
      expect(relativeError(actual, expected)).toBeLessThan(3e-5);
    }
  });
});
