import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import type { Precision } from "../../ops/kernels.js";
import { dequantize } from "../../quantize/dequantize.js";
import { quantizeRows } from "../../quantize/quantize-rows.js";
import { GGML_TYPES, isDense, type GgmlType, type Weight } from "../../weight.js";
import { roundActivations } from "../reference/linear.js";
import { createNativeKernels, prepareWeight, releaseWeight } from "./kernels.js";
import { addonForTests, atEveryLevel, below, gaussian, INT8_LEVELS, randomWeight } from "./testing.js";

const { abs, fround, max, sqrt } = Math;

const TYPES: GgmlType[] = [
  ...([
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
  ] as const),
  ...(["IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"] as const),
];

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

interface Expected {
  readonly values: Float64Array;
  /** Per output: sum of |w · x|, the measure of rounding errors. */
  readonly size: Float64Array;
  /** Per output: what rounding the activations (and dense weights) as `fast` allows can change at most. */
  readonly slack: Float64Array;
  /** The same where activations and quantized weights are rounded to int8 per 128 inputs, as for many rows. */
  readonly panelSlack: Float64Array;
}

/** Half a rounding step of int8 for each value: its group's largest magnitude through 254, and a little more. */
function halfSteps(row: Float32Array, group: number): Float64Array {
  const steps = new Float64Array(row.length);
  for (let start = 0; start < row.length; start += group) {
    const top = row.subarray(start, start + group).reduce((most, value) => max(most, abs(value)), 0);
    steps.fill(top / 253, start, start + group);
  }
  return steps;
}

/** Products of the dequantized weight with x in double precision; `exactX` is x before it was rounded. */
function expectedProduct(weight: Weight, x: Float32Array, rows: number, exactX = x): Expected {
  const [out, columns] = weight.shape as [number, number];
  const floats = new Float32Array(out * columns);
  dequantize(weight.dtype, weight.bytes, floats);
  const values = new Float64Array(rows * out);
  const size = new Float64Array(rows * out);
  const slack = new Float64Array(rows * out);
  const panelSlack = new Float64Array(rows * out);
  // dense: both factors lose at most half a bfloat16 ulp; quantized: half a step of the activation
  const dense = isDense(weight.dtype);
  const weightSteps = new Float64Array(out * columns);
  for (let o = 0; o < out; o++)
    weightSteps.set(halfSteps(floats.subarray(o * columns, (o + 1) * columns), 128), o * columns);
  for (let r = 0; r < rows; r++) {
    const base = r * columns;
    const before = exactX.subarray(base, base + columns);
    const steps = halfSteps(before, 32);
    const wideSteps = halfSteps(before, 128);
    for (let o = 0; o < out; o++) {
      let sum = 0;
      let total = 0;
      let rounding = 0;
      let panelRounding = 0;
      for (let i = 0; i < columns; i++) {
        const at = o * columns + i;
        const w = floats[at]!;
        const product = w * x[base + i]!;
        sum += product;
        total += abs(product);
        rounding += abs(w) * steps[i]!;
        // a weight's step may be a little larger than its group's largest magnitude asks for
        panelRounding += abs(w) * wideSteps[i]! + 1.3 * abs(before[i]!) * weightSteps[at]!;
      }
      values[r * out + o] = sum;
      size[r * out + o] = total;
      slack[r * out + o] = dense ? total * 2 ** -7 : rounding;
      panelSlack[r * out + o] = panelRounding;
    }
  }
  return { values, size, slack, panelSlack };
}

/** Largest |actual - expected| relative to the limit of that output. */
function worst(actual: Float32Array, expected: Expected, limit: (i: number) => number): number {
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    const ratio = abs(actual[i]! - expected.values[i]!) / limit(i);
    if (!(ratio <= largest)) largest = ratio;
  }
  return largest;
}

/** RMS of the differences relative to that of the expected values. */
function relativeRms(actual: Float32Array, expected: Expected): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < actual.length; i++) {
    error += (actual[i]! - expected.values[i]!) ** 2;
    power += expected.values[i]! ** 2;
  }
  return sqrt(error / power);
}

/** Identical to the last bit; jest's own comparison is slow on long arrays. */
function same(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
}

function columnsOf(dtype: GgmlType): number {
  const { block } = GGML_TYPES[dtype];
  return block === 1 ? 203 : block === 32 ? 96 * 3 + 32 * 2 : 512;
}

describe.each(TYPES)("%s", (dtype) => {
  test_("1 to 64 rows, exact and fast, at every level", () => {
    const kernels = createNativeKernels(addon!);
    const columns = columnsOf(dtype);
    const out = 53;
    const most = 64;
    const weight = randomWeight(dtype, out, columns, 7);
    const x = gaussian(most * columns, 1.3, 11);
    const exact = expectedProduct(weight, x, most);
    const rounded = expectedProduct(weight, roundActivations(x, weight, "fast"), most, x);
    const bias = gaussian(out, 0.5, 3);
    const handle = prepareWeight(addon!, weight);
    for (const rows of [1, 2, 3, 5, 8, 9, 17, most]) {
      const input = x.subarray(0, rows * columns);
      atEveryLevel(addon!, (level) => {
        const label = `${rows} rows, ${level}`;
        const run = (precision: Precision, withBias = false) => {
          const y = new Float32Array(rows * out).fill(NaN);
          kernels.linear(input, rows, [handle], [withBias ? bias : null], [y], precision);
          return y;
        };
        const precise = worst(run("exact"), exact, (i) => 4e-6 * exact.size[i]! + 1e-9);
        expect([label, precise]).toEqual([label, below(1)]);
        const fast = run("fast");
        const largestCode = !isDense(dtype) && rows > 8 ? INT8_LEVELS.get(level) : undefined;
        const coarser = 127 / (largestCode ?? 127);
        const slack = largestCode === undefined ? exact.slack : exact.panelSlack;
        const allowed = worst(fast, exact, (i) => slack[i]! * coarser + 4e-6 * exact.size[i]! + 1e-9);
        expect([label, allowed]).toEqual([label, below(1)]);
        if (largestCode !== undefined)
          expect([label, relativeRms(fast, exact)]).toEqual([label, below(0.012 * coarser)]);
        // for few rows int8 kernels compute with exactly these rounded activations
        if (!isDense(dtype) && rows <= 8) {
          const same = worst(fast, rounded, (i) => 4e-6 * rounded.size[i]! + 1e-9);
          expect([label, same]).toEqual([label, below(1)]);
        }
        const biased = run("fast", true);
        expect(biased.every((value, i) => abs(value - fround(fast[i]! + bias[i % out]!)) < 1e-5)).toBe(true);
      });
    }
    releaseWeight(addon!, handle);
  });
});

test_("several weights of different types share one call", () => {
  const kernels = createNativeKernels(addon!);
  const columns = 512;
  const weights = (["Q4_0", "Q6_K", "Q8_0", "BF16", "Q4_K"] as const).map((dtype, i) =>
    randomWeight(dtype, 20 + i, columns, i),
  );
  const handles = weights.map((weight) => prepareWeight(addon!, weight));
  for (const rows of [1, 4, 33]) {
    const x = gaussian(rows * columns, 1, 5);
    for (const precision of ["exact", "fast"] as const) {
      const together = weights.map(({ shape }) => new Float32Array(rows * shape[0]!));
      kernels.linear(
        x,
        rows,
        handles,
        handles.map(() => null),
        together,
        precision,
      );
      handles.forEach((handle, i) => {
        const alone = new Float32Array(together[i]!.length);
        kernels.linear(x, rows, [handle], [null], [alone], precision);
        expect(together[i]).toEqual(alone);
      });
    }
  }
});

test_("a row's result depends neither on the rows beside it nor on the number of threads", () => {
  const kernels = createNativeKernels(addon!);
  const before = addon!.threads();
  try {
    for (const dtype of ["Q8_0", "Q4_K", "F16"] as const) {
      const columns = 512;
      const weight = randomWeight(dtype, 700, columns, 2);
      const handle = prepareWeight(addon!, weight);
      for (const precision of ["exact", "fast"] as const) {
        for (const rows of [1, 3, 8, 40]) {
          const x = gaussian(rows * columns, 1, 9);
          const results = [1, 2, 3, 4].map((threads) => {
            addon!.setThreads(threads);
            const y = new Float32Array(rows * 700);
            kernels.linear(x, rows, [handle], [null], [y], precision);
            return y;
          });
          for (const y of results) expect(same(y, results[0]!)).toBe(true);
          if (rows > 8) continue;
          const first = new Float32Array(700);
          kernels.linear(x.subarray(0, columns), 1, [handle], [null], [first], precision);
          expect(same(results[0]!.subarray(0, 700), first)).toBe(true);
        }
      }
    }
  } finally {
    addon!.setThreads(before);
  }
});

test_("argmax takes the lowest of equal logits, whatever the threads", () => {
  const kernels = createNativeKernels(addon!);
  const before = addon!.threads();
  const columns = 64;
  const rowsOfWeight = 3000;
  const values = gaussian(rowsOfWeight * columns, 0.02, 4);
  const peak = gaussian(columns, 1, 8);
  for (const row of [1234, 1999, 2999]) values.set(peak, row * columns);
  for (const dtype of ["F32", "BF16", "Q8_0", "Q4_0"] as const) {
    const bytes = quantizeRows(dtype, values, columns);
    const handle = prepareWeight(addon!, { name: "head", dtype, shape: [rowsOfWeight, columns], bytes });
    for (const rows of [1, 3, 11]) {
      const x = new Float32Array(rows * columns);
      for (let r = 0; r < rows; r++) x.set(peak, r * columns);
      for (const threads of [1, 2, 4]) {
        addon!.setThreads(threads);
        for (const precision of ["exact", "fast"] as const) {
          const out = new Int32Array(rows).fill(-1);
          kernels.linearArgmax(x, rows, handle, out, precision);
          expect(Array.from(out)).toEqual(Array.from(out, () => 1234));
        }
      }
    }
  }
  addon!.setThreads(before);
});

test_("a NaN activation is not hidden by its rounding", () => {
  const kernels = createNativeKernels(addon!);
  const handle = prepareWeight(addon!, randomWeight("Q8_0", 4, 64, 1));
  const x = gaussian(64, 1, 1);
  x[40] = NaN;
  atEveryLevel(addon!, () => {
    const y = new Float32Array(4);
    kernels.linear(x, 1, [handle], [null], [y], "fast");
    expect(Array.from(y)).toEqual([NaN, NaN, NaN, NaN]);
  });
});

test_.each(TYPES)("embedding rows of %s are the dequantized rows", (dtype) => {
  const kernels = createNativeKernels(addon!);
  const columns = columnsOf(dtype);
  const weight = randomWeight(dtype, 9, columns, 6);
  const handle = prepareWeight(addon!, weight);
  const floats = new Float32Array(9 * columns);
  dequantize(dtype, weight.bytes, floats);
  atEveryLevel(addon!, () => {
    const out = new Float32Array(3 * columns);
    kernels.embedding(Int32Array.of(8, 0, 3), handle, out);
    [8, 0, 3].forEach((id, i) => {
      expect(out.subarray(i * columns, (i + 1) * columns)).toEqual(
        floats.subarray(id * columns, (id + 1) * columns),
      );
    });
  });
});

test_("wrong calls throw and touch nothing", () => {
  const kernels = createNativeKernels(addon!);
  const weight = randomWeight("Q8_0", 4, 64, 1);
  const handle = prepareWeight(addon!, weight);
  const out = new Float32Array(4);
  expect(() => kernels.linear(new Float32Array(63), 1, [handle], [null], [out], "fast")).toThrow(
    "x has 63 elements",
  );
  expect(() => kernels.linear(new Float32Array(64), 1, [handle], [null], [out.subarray(1)], "fast")).toThrow(
    "out has 3",
  );
  expect(() => kernels.embedding(Int32Array.of(4), handle, new Float32Array(64))).toThrow(
    "id 4 is not in 0..3",
  );
  expect(() => prepareWeight(addon!, { ...weight, bytes: weight.bytes.subarray(1) })).toThrow(
    "Q8_0.weight: 271 bytes",
  );
  expect(() => prepareWeight(addon!, { ...weight, dtype: "IQ2_S", shape: [1, 256] })).toThrow(
    "no kernels for IQ2_S",
  );
  structuredClone(weight.bytes.buffer, { transfer: [weight.bytes.buffer as ArrayBuffer] });
  expect(() => kernels.linear(new Float32Array(64), 1, [handle], [null], [out], "fast")).toThrow(
    "was its file closed?",
  );
  releaseWeight(addon!, handle);
  expect(() => kernels.linear(new Float32Array(64), 1, [handle], [null], [out], "fast")).toThrow(
    "was released",
  );
});

interface VecDot {
  weight_type: GgmlType;
  act_type: GgmlType;
  weight_input: string;
  act_input: string;
  n: number;
  exact_dequant_dot_f64: number;
  l1_f64: number;
}

interface QuantGoldens {
  inputs: { id: string; n: number; f32_le_hex: string }[];
  cases: { type: GgmlType; variant: string; input: string; block_hex: string[] }[];
  vec_dot: VecDot[];
}

/** The activation that the golden's dot saw: blocks of its own type, dequantized. */
function goldenActivation(goldens: QuantGoldens, dot: VecDot): Float32Array {
  const input = goldens.inputs.find(({ id }) => id === dot.act_input)!;
  const hex = Buffer.from(input.f32_le_hex, "hex");
  const values = new Float32Array(hex.buffer.slice(hex.byteOffset, hex.byteOffset + hex.length));
  const group = dot.act_type === "Q8_K" ? 256 : 32;
  for (let start = 0; start < values.length; start += group) {
    let largest = 0;
    for (let i = start; i < start + group; i++) if (abs(values[i]!) > abs(largest)) largest = values[i]!;
    if (largest === 0) continue;
    const inverse = group === 256 ? fround(-127 / largest) : fround(1 / fround(abs(largest) / 127));
    const d = group === 256 ? fround(1 / inverse) : halfRound(fround(abs(largest) / 127));
    for (let i = start; i < start + group; i++) {
      const scaled = fround(values[i]! * inverse);
      const code =
        group === 256
          ? Math.min(127, roundHalfEven(scaled))
          : Math.sign(scaled) * Math.floor(abs(scaled) + 0.5);
      values[i] = fround(code * d);
    }
  }
  return values;
}

function roundHalfEven(x: number): number {
  return fround(fround(x + 12582912) - 12582912);
}

function halfRound(x: number): number {
  const out = new Float32Array(1);
  dequantize("F16", quantizeRows("F16", Float32Array.of(x), 1), out);
  return out[0]!;
}

const quantGoldens = goldensFolder("ggml-quants.json");

(addon === null || quantGoldens === null ? test.skip : test)("vec_dot goldens at every level", () => {
  const goldens = readGoldenJson<QuantGoldens>(quantGoldens!);
  const kernels = createNativeKernels(addon!);
  for (const dot of goldens.vec_dot) {
    const golden = goldens.cases.find(
      ({ type, input, variant }) =>
        type === dot.weight_type && input === dot.weight_input && variant !== "ntry=-1",
    );
    if (golden === undefined) continue;
    const bytes = new Uint8Array(Buffer.from(golden.block_hex.join(""), "hex"));
    const handle = prepareWeight(addon!, {
      name: "golden",
      dtype: dot.weight_type,
      shape: [1, dot.n],
      bytes,
    });
    const x = goldenActivation(goldens, dot);
    atEveryLevel(addon!, (level) => {
      const y = new Float32Array(1);
      kernels.linear(x, 1, [handle], [null], [y], "exact");
      const limit = 1e-6 * dot.l1_f64;
      const label = `${dot.weight_type} ${dot.weight_input} ${level}`;
      expect([label, abs(y[0]! - dot.exact_dequant_dot_f64)]).toEqual([label, below(limit)]);
      // blocks of 32 that were int8 before are the same after this rounding
      if (dot.act_type === "Q8_0") {
        kernels.linear(x, 1, [handle], [null], [y], "fast");
        expect([label, abs(y[0]! - dot.exact_dequant_dot_f64)]).toEqual([label, below(limit)]);
      }
    });
  }
});
