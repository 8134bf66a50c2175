import type { DecoderLayerParameters, DecoderStackParameters, Precision } from "../../ops/kernels.js";
import { createHostKvCache } from "../host-kv-cache.js";
import { createInt8KvCache } from "./int8-kv-cache.js";
import { createFusedKernels, prepareWeight, type NativeKvCache, type NativeWeight } from "./kernels.js";
import { addonForTests, atEveryLevel, gaussian, randomWeight } from "./testing.js";

const { sqrt } = Math;

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

const SIZES = { hidden: 96, wide: 160, heads: 6, kvHeads: 2, headDim: 32 };
const LAYERS = 3;
const CAPACITY = 20;

type Stack = DecoderStackParameters<Float32Array, NativeWeight>;

function makeStack(precision: Precision): Stack {
  const { hidden, wide, heads, kvHeads, headDim } = SIZES;
  let seed = 1;
  const weight = (rows: number, columns: number) =>
    prepareWeight(addon!, randomWeight("Q8_0", rows, columns, seed++));
  const norm = (dim: number) => gaussian(dim, 1, seed++);
  const layers = Array.from(
    { length: LAYERS },
    (_, index): DecoderLayerParameters<Float32Array, NativeWeight> => ({
      query: weight(heads * headDim, hidden),
      key: weight(kvHeads * headDim, hidden),
      value: weight(kvHeads * headDim, hidden),
      output: weight(hidden, heads * headDim),
      gate: weight(wide, hidden),
      up: weight(wide, hidden),
      down: weight(hidden, wide),
      queryNorm: norm(headDim),
      keyNorm: index === 1 ? null : norm(headDim),
      mlpNorm: norm(hidden),
      heads,
      kvHeads,
      headDim,
      eps: 1e-6,
      theta: 1e6,
      scale: 1 / sqrt(headDim),
      precision,
    }),
  );
  return { layers, norms: Array.from({ length: LAYERS + 1 }, () => norm(hidden)) };
}

/** Two steps of sequences of so many rows; the second continues where the first ended. */
function steps(counts: readonly number[], precision: Precision) {
  const { kvHeads, headDim, hidden } = SIZES;
  const shape = { layers: LAYERS, kvHeads, headDim, capacity: CAPACITY };
  const caches: NativeKvCache[] = counts.map(() =>
    precision === "fast" ? createInt8KvCache(addon!, shape) : createHostKvCache(shape),
  );
  return [0, 1].map((step) => {
    let start = 0;
    const segments = counts.map((count, i) => {
      const segment = { cache: caches[i]!, start, count, position: step * count };
      start += count;
      return segment;
    });
    const positions = Int32Array.from(
      segments.flatMap(({ count, position }) => Array.from({ length: count }, (_, i) => position + i)),
    );
    return { x: gaussian(start * hidden, 1, 90 + step), segments, positions };
  });
}

type Step = ReturnType<typeof steps>[number];

function layerByLayer({ layers, norms }: Stack, { x, segments, positions }: Step): Float32Array {
  const fused = createFusedKernels(addon!);
  const normed = new Float32Array(x.length);
  const { hidden } = SIZES;
  addon!.rmsNorm(x, null, norms[0]!, layers[0]!.eps, hidden, null, normed);
  let [stream, input] = [x, normed];
  layers.forEach((layer, i) => {
    const [sum, out] = [new Float32Array(x.length), new Float32Array(x.length)];
    fused.decoderLayer(stream, input, layer, norms[i + 1]!, positions, segments, i, sum, out);
    [stream, input] = [sum, out];
  });
  return input;
}

function atOnce(stack: Stack, { x, segments, positions }: Step): Float32Array {
  const out = new Float32Array(x.length).fill(NaN);
  createFusedKernels(addon!).decoderStack(x, stack, positions, segments, out);
  return out;
}

/** As `atOnce`, by calls for so many layers each. */
function inRuns({ layers, norms }: Stack, runs: readonly number[], { x, segments, positions }: Step) {
  const stream = x.slice();
  const normed = new Float32Array(x.length).fill(NaN);
  addon!.rmsNorm(x, null, norms[0]!, layers[0]!.eps, SIZES.hidden, null, normed);
  let from = 0;
  for (const count of runs) {
    const to = from + count;
    const { decoderLayers } = createFusedKernels(addon!);
    decoderLayers(stream, normed, { layers, norms }, from, to, positions, segments);
    from = to;
  }
  return normed;
}

describe.each(["exact", "fast"] as const)("fused decoder stack, %s", (precision) => {
  test_.each([[[1]], [[1, 1, 1]], [[2, 2]], [[9, 4]]])("equals its layers for rows %j", (counts) => {
    const stack = makeStack(precision);
    atEveryLevel(addon!, () => {
      const [one, other] = [steps(counts, precision), steps(counts, precision)];
      const expected = one.map((step) => layerByLayer(stack, step));
      expect(other.map((step) => atOnce(stack, step))).toEqual(expected);
      expect(expected[0]).not.toEqual(expected[1]);
      const memory = ({ segments }: Step) => segments.map(({ cache }) => cache.memory);
      expect(memory(other[1]!)).toEqual(memory(one[1]!));
      for (const runs of [[3], [1, 2], [2, 1], [1, 1, 1]]) {
        const again = steps(counts, precision);
        expect(again.map((step) => inRuns(stack, runs, step))).toEqual(expected);
        expect(memory(again[1]!)).toEqual(memory(one[1]!));
      }
    });
  });
});

test_("refuses what does not fit, and caches of fewer layers", () => {
  const stack = makeStack("exact");
  const [step] = steps([1], "exact");
  const run = (changed: Partial<Stack>, at: Partial<Step> = {}) =>
    atOnce({ ...stack, ...changed }, { ...step!, ...at });
  const { layers, norms } = stack;
  expect(() => run({})).not.toThrow();
  expect(() => run({ layers: [layers[0]!, { ...layers[1]!, down: layers[1]!.gate }] })).toThrow("do not fit");
  expect(() => run({ norms: [new Float32Array(3), ...norms.slice(1)] })).toThrow("norm has 3 elements");
  expect(() => run({ layers: [] })).toThrow();
  expect(() => run({}, { positions: new Int32Array(0) })).toThrow("behind the last row");
  const { kvHeads, headDim } = SIZES;
  const cache = createHostKvCache({ layers: LAYERS - 1, kvHeads, headDim, capacity: CAPACITY });
  expect(() => run({}, { segments: [{ ...step!.segments[0]!, cache }] })).toThrow("not that of 3 layers");
  expect(() => inRuns(stack, [1, 1, 1], { ...step!, segments: [{ ...step!.segments[0]!, cache }] })).toThrow(
    "not that of 3 layers",
  );
  const { x, positions, segments } = step!;
  const { decoderLayers } = createFusedKernels(addon!);
  const call = () => decoderLayers(x.subarray(1), x, stack, 0, 1, positions, segments);
  expect(call).toThrow("stream has 95 elements");
});
