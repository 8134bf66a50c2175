import { setFlagsFromString } from "node:v8";
import type { Conv2dGeometry, Precision } from "../../ops/kernels.js";
import type { GgmlType } from "../../weight.js";
import { createHostKvCache } from "../host-kv-cache.js";
import { createReferenceKernels } from "../reference/device.js";
import { TestDevice, gauss, makeWeight, relativeError } from "./testing.js";

const { abs } = Math;
const reference = createReferenceKernels();

/** Largest difference, relative where the expected value is above 1. */
function mixedError(actual: Float32Array, expected: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = abs(actual[i]! - expected[i]!) / Math.max(1, abs(expected[i]!));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

let context: TestDevice | null;

describe.each([
  ["SIMD128", false],
  ["relaxed SIMD", true],
])("%s kernels", (_, relaxed) => {
  beforeAll(async () => {
    if (relaxed) setFlagsFromString("--experimental-wasm-relaxed-simd");
    context = await TestDevice.start(relaxed);
  });
  afterAll(() => {
    if (relaxed) setFlagsFromString("--no-experimental-wasm-relaxed-simd");
  });

  /** A test that is void where this variant cannot run. */
  const check = (name: string, body: (on: TestDevice) => void) =>
    test(name, () => (context === null ? undefined : body(context)));

  check("norms", (on) => {
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
      let actual = on.produce(n, (out) =>
        on.device.kernels.rmsNorm(on.put(x), on.put(gamma), 1e-6, dim, out),
      );
      expect(relativeError(actual, expected)).toBeLessThan(2e-6);

      reference.layerNorm(x, gamma, beta, 1e-5, dim, expected);
      actual = on.produce(n, (out) =>
        on.device.kernels.layerNorm(on.put(x), on.put(gamma), on.put(beta), 1e-5, dim, out),
      );
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);

      let sum: Float32Array = new Float32Array(0);
      reference.addRmsNorm(x, residual, gamma, 1e-6, dim, expectedSum, expected);
      actual = on.produce(n, (out) => {
        sum = on.produce(n, (into) =>
          on.device.kernels.addRmsNorm(on.put(x), on.put(residual), on.put(gamma), 1e-6, dim, into, out),
        );
      });
      expect(relativeError(sum, expectedSum)).toBe(0);
      expect(relativeError(actual, expected)).toBeLessThan(2e-6);

      reference.addLayerNorm(x, residual, gamma, beta, 1e-5, dim, expectedSum, expected);
      actual = on.produce(n, (out) => {
        sum = on.produce(n, (into) =>
          on.device.kernels.addLayerNorm(
            on.put(x),
            on.put(residual),
            on.put(gamma),
            on.put(beta),
            1e-5,
            dim,
            into,
            out,
          ),
        );
      });
      expect(relativeError(sum, expectedSum)).toBe(0);
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("headNormRope, to position 65535", (on) => {
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
        const actual = on.produce(x.length, (out) =>
          on.device.kernels.headNormRope(
            on.put(x),
            gain === null ? null : on.put(gain),
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

  check("cachedAttention: prefill, decode and several sequences", (on) => {
    for (const [heads, kvHeads, headDim, window] of [
      [4, 2, 16, 100],
      [6, 2, 5, 100],
      [3, 3, 37, 100],
      [5, 1, 8, 100],
      [4, 2, 16, 7],
      [3, 3, 5, 1],
      [2, 1, 12, 66],
    ] as const) {
      const shape = { layers: 2, kvHeads, headDim, capacity: 100 };
      const caches = [createHostKvCache(shape), createHostKvCache(shape)];
      const wasmCaches = [on.device.createKvCache(shape), on.device.createKvCache(shape)];
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
          reference.cachedAttention(q, k, v, segmentsOf(caches), layer, heads, 0.3, window, expected);
          const actual = on.produce(q.length, (out) =>
            on.device.kernels.cachedAttention(
              on.put(q),
              on.put(k),
              on.put(v),
              segmentsOf(wasmCaches),
              layer,
              heads,
              0.3,
              window,
              out,
            ),
          );
          expect(relativeError(actual, expected)).toBeLessThan(1e-5);
        }
      }
      for (const cache of wasmCaches) on.device.releaseKvCache(cache);
    }
  });

  check("blockAttention", (on) => {
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
      const actual = on.produce(n, (out) =>
        on.device.kernels.blockAttention(on.put(q), on.put(k), on.put(v), offsets, heads, headDim, 0.25, out),
      );
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("add, siluMul and gelu over their whole range", (on) => {
    const x = Float32Array.from({ length: 4003 }, (_, i) => (i - 2001) / 20);
    const y = gauss(x.length);
    const expected = new Float32Array(x.length);
    reference.add(x, y, expected);
    expect(on.produce(x.length, (out) => on.device.kernels.add(on.put(x), on.put(y), out))).toEqual(expected);
    const far = x.map((v) => v * 1e30);
    expect(
      on.produce(x.length, (out) => on.device.kernels.gelu(on.put(far), out)).every(Number.isFinite),
    ).toBe(true);
    reference.siluMul(x, y, expected);
    let actual = on.produce(x.length, (out) => on.device.kernels.siluMul(on.put(x), on.put(y), out));
    expect(mixedError(actual, expected)).toBeLessThan(1e-6);
    reference.gelu(x, expected);
    actual = on.produce(x.length, (out) => on.device.kernels.gelu(on.put(x), out));
    expect(mixedError(actual, expected)).toBeLessThan(5e-7);
  });

  check("conv2d: odd sizes, strides, paddings, layouts and activations", (on) => {
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
      const actual = on.produce(expected.length, (out) =>
        on.device.kernels.conv2d(
          on.put(x),
          geometry,
          on.device.prepareWeight(weight),
          on.put(bias),
          out,
          precision,
        ),
      );
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
    }
  });

  check("conv2d of more pixels than are gathered at a time", (on) => {
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
      const actual = on.produce(expected.length, (out) =>
        on.device.kernels.conv2d(
          on.put(x),
          { ...geometry, layout },
          on.device.prepareWeight(weight),
          null,
          out,
          "exact",
        ),
      );
      expect(relativeError(actual, expected)).toBeLessThan(3e-5);
    }
  });
});
