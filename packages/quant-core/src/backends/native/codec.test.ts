import { availableParallelism } from "node:os";
import type { CausalConvGeometry } from "../../ops/kernels.js";
import { createNativeKernels, prepareWeight } from "./kernels.js";
import { addonForTests, atEveryLevel, gaussian, randomWeight } from "./testing.js";

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

const SIZES = { inChannels: 24, kernel: 3, dilation: 2, activation: "none" } as const;
const OUTPUTS = 70;

test_("convolutions do not depend on the number of threads", () => {
  const weight = prepareWeight(addon!, randomWeight("F16", OUTPUTS, 3 * 24, 1));
  const kernels = createNativeKernels(addon!);
  atEveryLevel(addon!, () => {
    for (const rows of [7, 100, 700]) {
      const geometry: CausalConvGeometry = { ...SIZES, rows };
      const x = gaussian(rows * 24, 1, rows);
      const results = [1, 2, 5].map((threads) => {
        addon!.setThreads(threads);
        const out = new Float32Array(rows * OUTPUTS);
        const history = gaussian(4 * 24, 1, 9);
        kernels.causalConv1d(x, geometry, weight, null, history, null, out, "fast");
        return Buffer.concat([out, history].map(({ buffer }) => new Uint8Array(buffer)));
      });
      for (const other of results.slice(1)) expect(other.equals(results[0]!)).toBe(true);
    }
  });
  addon!.setThreads(availableParallelism());
});

/** Square filters wide enough are convolved in int8 where the instruction set has it; the others in bfloat16 or float32. */
const FAST_CASES = [
  { dtype: "Q8_0", channels: 256, outputs: 256, kernel: 3, dilation: 2, activation: "none" },
  { dtype: "Q4_0", channels: 288, outputs: 288, kernel: 2, dilation: 1, activation: "gelu" },
  { dtype: "Q8_0", channels: 64, outputs: 100, kernel: 2, dilation: 3, activation: "silu" },
  { dtype: "BF16", channels: 26, outputs: 17, kernel: 7, dilation: 9, activation: "none" },
  { dtype: "F32", channels: 10, outputs: 49, kernel: 1, dilation: 1, activation: "none" },
] as const;

test_.each(FAST_CASES)(
  "fast convolutions are close to exact ones, in pieces the same: %j",
  ({ dtype, channels, outputs, kernel, dilation, activation }) => {
    const rows = 533;
    const before = (kernel - 1) * dilation * channels;
    const weight = prepareWeight(addon!, randomWeight(dtype, outputs, kernel * channels, 1));
    const x = gaussian(rows * channels, 1, 2);
    const residual = gaussian(rows * outputs, 1, 3);
    const bias = gaussian(outputs, 1, 4);
    const run = (precision: "exact" | "fast", ends: readonly number[]) => {
      const out = new Float32Array(rows * outputs);
      const history = gaussian(before, 1, 5);
      let first = 0;
      for (const end of ends) {
        const geometry: CausalConvGeometry = {
          ...{ rows: end - first, inChannels: channels, kernel, dilation },
          activation,
        };
        createNativeKernels(addon!).causalConv1d(
          x.subarray(first * channels, end * channels),
          geometry,
          weight,
          bias,
          before === 0 ? null : history,
          residual.subarray(first * outputs, end * outputs),
          out.subarray(first * outputs, end * outputs),
          precision,
        );
        first = end;
      }
      return { out, history };
    };
    atEveryLevel(addon!, () => {
      const exact = run("exact", [rows]);
      const fast = run("fast", [rows]);
      const pieces = run("fast", [9, 30, 130, rows]);
      let [signal, noise] = [0, 0];
      exact.out.forEach((value, i) => {
        signal += (value - residual[i]!) ** 2;
        noise += (value - fast.out[i]!) ** 2;
      });
      expect(10 * Math.log10(signal / noise)).toBeGreaterThan(42); // int8 per 32: about 45 dB
      expect(fast.history).toEqual(exact.history);
      expect(pieces).toEqual(fast);
    });
  },
);

test_("a filter that is too large to be unpacked as a whole has the same result", () => {
  // The same rows as a small filter's, which is unpacked: 70 outputs of 5,000 inputs against 4,200 of them.
  const [inputs, rows] = [1000, 530];
  const small = randomWeight("F16", OUTPUTS, 5 * inputs, 1);
  const bytes = new Uint8Array(small.bytes.length * 60);
  for (let copy = 0; copy < 60; copy++) bytes.set(small.bytes, copy * small.bytes.length);
  const large = { ...small, shape: [60 * OUTPUTS, 5 * inputs], bytes };
  const x = gaussian(rows * inputs, 1, 3);
  const [expected, actual] = [small, large].map((weight) => {
    const out = new Float32Array(rows * weight.shape[0]!);
    createNativeKernels(addon!).causalConv1d(
      x,
      { rows, inChannels: inputs, kernel: 5, dilation: 1, activation: "silu" },
      prepareWeight(addon!, weight),
      null,
      null,
      out.slice().fill(1),
      out,
      "fast",
    );
    return out;
  });
  for (const row of [0, 3, 511, 512, 529]) {
    const last = actual!.subarray(((row + 1) * 60 - 1) * OUTPUTS, (row + 1) * 60 * OUTPUTS);
    const wanted = expected!.subarray(row * OUTPUTS, (row + 1) * OUTPUTS);
    last.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-3));
  }
});

test_("arrays that are too short are refused", () => {
  const rows = 5;
  const weight = prepareWeight(addon!, randomWeight("F32", OUTPUTS, 3 * 24, 1));
  const floats = (length: number) => new Float32Array(length);
  interface Parts {
    kernel?: number;
    x?: number;
    bias?: number;
    history?: number;
    residual?: number;
    out?: number;
  }
  const run = (parts: Parts) => () => {
    const { kernel = 3, x = rows * 24, bias = OUTPUTS, history = 4 * 24 } = parts;
    const { residual = rows * OUTPUTS, out = rows * OUTPUTS } = parts;
    const arrays = [bias, history, residual, out].map(floats) as [Float32Array, ...Float32Array[]];
    const geometry: CausalConvGeometry = { ...SIZES, rows, kernel };
    createNativeKernels(addon!).causalConv1d(
      floats(x),
      geometry,
      weight,
      arrays[0],
      arrays[1]!,
      arrays[2]!,
      arrays[3]!,
      "exact",
    );
  };
  expect(run({})).not.toThrow();
  expect(run({ kernel: 2 })).toThrow("the weight does not fit the geometry");
  expect(run({ x: rows * 24 - 1 })).toThrow("x");
  expect(run({ bias: OUTPUTS - 1 })).toThrow("bias");
  expect(run({ history: 4 * 24 - 1 })).toThrow("history");
  expect(run({ residual: 1 })).toThrow("residual");
  expect(run({ out: rows * OUTPUTS - 1 })).toThrow("out");

  const kernels = createNativeKernels(addon!);
  const three = floats(3);
  expect(() => kernels.depthwiseCausalConv1d(floats(6), 2, 3, 4, floats(11), three, null, floats(6))).toThrow(
    "weight",
  );
  expect(() =>
    kernels.depthwiseCausalConv1d(floats(6), 2, 3, 4, floats(12), three, floats(8), floats(6)),
  ).toThrow("history");
  expect(() => kernels.snake(floats(7), three, three, 3, floats(7))).toThrow(
    "not a multiple of the channels",
  );
  expect(() => kernels.snake(floats(6), floats(2), three, 3, floats(6))).toThrow("alpha");
  expect(() => kernels.addScaled(floats(6), floats(5), three, 3, floats(6))).toThrow("y");
});
