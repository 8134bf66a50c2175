import type { DecoderLayerParameters, Precision } from "../../ops/kernels.js";
import { createHostKvCache } from "../host-kv-cache.js";
import { createInt8KvCache } from "./int8-kv-cache.js";
import { createFusedKernels, createNativeKernels, prepareWeight, type NativeWeight } from "./kernels.js";
import { addonForTests, atEveryLevel, gaussian, randomWeight } from "./testing.js";

const { sqrt } = Math;

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

const SIZES = { hidden: 96, wide: 160, heads: 6, kvHeads: 2, headDim: 32 };
const LAYER = 1;
const CAPACITY = 50;

function makeLayer(precision: Precision): DecoderLayerParameters<Float32Array, NativeWeight> {
  const { hidden, wide, heads, kvHeads, headDim } = SIZES;
  const weight = (rows: number, columns: number, seed: number) =>
    prepareWeight(addon!, randomWeight("Q8_0", rows, columns, seed));
  return {
    query: weight(heads * headDim, hidden, 1),
    key: weight(kvHeads * headDim, hidden, 2),
    value: weight(kvHeads * headDim, hidden, 3),
    output: weight(hidden, heads * headDim, 4),
    gate: weight(wide, hidden, 5),
    up: weight(wide, hidden, 6),
    down: weight(hidden, wide, 7),
    queryNorm: gaussian(headDim, 1, 8),
    keyNorm: precision === "exact" ? null : gaussian(headDim, 1, 9),
    mlpNorm: gaussian(hidden, 1, 10),
    heads,
    kvHeads,
    headDim,
    eps: 1e-6,
    theta: 1e6,
    scale: 1 / sqrt(headDim),
    precision,
  };
}

/** Two sequences, the first of which has tokens in its cache already. */
function makeSegments(counts: readonly number[], precision: Precision) {
  const { kvHeads, headDim } = SIZES;
  const shape = { layers: 2, kvHeads, headDim, capacity: CAPACITY };
  let start = 0;
  return counts.map((count, i) => {
    const cache = precision === "fast" ? createInt8KvCache(addon!, shape) : createHostKvCache(shape);
    const segment = { cache, start, count, position: i === 0 ? 7 : 0 };
    start += count;
    return segment;
  });
}

type Segments = ReturnType<typeof makeSegments>;

/** The layer by the kernels one by one. */
function composed(
  x: Float32Array,
  normed: Float32Array,
  layer: DecoderLayerParameters<Float32Array, NativeWeight>,
  nextNorm: Float32Array,
  positions: Int32Array,
  segments: Segments,
): [sum: Float32Array, out: Float32Array] {
  const kernels = createNativeKernels(addon!);
  const rows = positions.length;
  const { hidden } = SIZES;
  const { heads, kvHeads, headDim, eps, theta, precision } = layer;
  const make = (width: number) => new Float32Array(rows * width).fill(NaN);
  const linear = (input: Float32Array, weights: NativeWeight[]) => {
    const outs = weights.map((weight) => make(weight.rows));
    const noBias = weights.map(() => null);
    kernels.linear(input, rows, weights, noBias, outs, precision);
    return outs;
  };
  const [q, k, v] = linear(normed, [layer.query, layer.key, layer.value]);
  const [rotatedQ, rotatedK, mixed] = [q!.slice(), k!.slice(), q!.slice()];
  kernels.headNormRope(q!, layer.queryNorm, positions, heads, headDim, eps, theta, rotatedQ);
  kernels.headNormRope(k!, layer.keyNorm, positions, kvHeads, headDim, eps, theta, rotatedK);
  kernels.cachedAttention(rotatedQ, rotatedK, v!, segments, LAYER, heads, layer.scale, CAPACITY, mixed);
  const [projected] = linear(mixed, [layer.output]);
  const [middle, forMlp, sum, out] = [make(hidden), make(hidden), make(hidden), make(hidden)];
  kernels.addRmsNorm(x, projected!, layer.mlpNorm, eps, hidden, middle, forMlp);
  const [gate, up] = linear(forMlp, [layer.gate, layer.up]);
  const gated = gate!.slice();
  kernels.siluMul(gate!, up!, gated);
  const [down] = linear(gated, [layer.down]);
  kernels.addRmsNorm(middle, down!, nextNorm, eps, hidden, sum, out);
  return [sum, out];
}

describe.each(["exact", "fast"] as const)("fused decoder layer, %s", (precision) => {
  test_.each([[[1]], [[1, 1, 1]], [[5, 3]], [[21, 13]]])("equals its kernels for rows %j", (counts) => {
    const rows = counts.reduce((sum, count) => sum + count, 0);
    const { hidden } = SIZES;
    const [x, normed, nextNorm] = [gaussian(rows * hidden, 1, 11), gaussian(rows * hidden, 1, 12)].concat(
      gaussian(hidden, 1, 13),
    );
    const layer = makeLayer(precision);
    atEveryLevel(addon!, () => {
      const [one, other, filled] = [1, 2, 3].map(() => makeSegments(counts, precision)) as [
        Segments,
        Segments,
        Segments,
      ];
      const positions = Int32Array.from(
        one.flatMap(({ count, position }) => Array.from({ length: count }, (_, i) => position + i)),
      );
      const expected = composed(x!, normed!, layer, nextNorm!, positions, one);
      const [sum, out] = [new Float32Array(rows * hidden), new Float32Array(rows * hidden)];
      createFusedKernels(addon!).decoderLayer(
        x!,
        normed!,
        layer,
        nextNorm!,
        positions,
        other,
        LAYER,
        sum,
        out,
      );
      expect([sum, out]).toEqual(expected);
      expect(other.map(({ cache }) => cache.memory)).toEqual(one.map(({ cache }) => cache.memory));
      createFusedKernels(addon!).decoderKeys(normed!, layer, positions, filled, LAYER);
      expect(filled.map(({ cache }) => cache.memory)).toEqual(one.map(({ cache }) => cache.memory));
    });
  });
});

test_("refuses a layer whose weights do not fit", () => {
  const layer = makeLayer("exact");
  const x = new Float32Array(SIZES.hidden);
  const run = (changed: object) =>
    createFusedKernels(addon!).decoderLayer(
      x,
      x,
      { ...layer, ...changed },
      x,
      Int32Array.of(0),
      makeSegments([1], "exact"),
      LAYER,
      x.slice(),
      x.slice(),
    );
  expect(() => run({ heads: 5 })).toThrow("do not fit");
  expect(() => run({ down: layer.gate })).toThrow("do not fit");
  expect(() => run({ mlpNorm: new Float32Array(3) })).toThrow("norm has 3 elements");
});
