import { setFlagsFromString } from "node:v8";
import type { Precision } from "../../ops/kernels.js";
import { GGML_TYPES, isDense, type GgmlType, type Weight } from "../../weight.js";
import { createReferenceKernels } from "../reference/device.js";
import { TestDevice, gauss, makeWeight, relativeError } from "./testing.js";

const { abs } = Math;
const reference = createReferenceKernels();

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

let context: TestDevice | null;

describe.each([
  ["SIMD128", false],
  ["relaxed SIMD", true],
])("%s matrix products", (_, relaxed) => {
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

  describe.each(DTYPES)("%s", (dtype) => {
    for (const precision of ["exact", "fast"] as const) {
      check(`linear, ${precision}`, (on) => {
        for (const { rows, weight, x, bias, expected } of productsOf(dtype)) {
          const prepared = on.device.prepareWeight(weight);
          const biases = [bias === null ? null : on.put(bias)];
          const actual = on.produce(rows * weight.shape[0]!, (out) =>
            on.device.kernels.linear(on.put(x), rows, [prepared], biases, [out], precision),
          );
          on.device.releaseWeight(prepared);
          expect(relativeError(actual, expected[precision])).toBeLessThan(1e-5);
        }
      });
    }

    check("rows of a decode step have the same bits alone and beside others", (on) => {
      for (const { weight } of productsOf(dtype)) {
        const [outputs, columns] = weight.shape as [number, number];
        const prepared = on.device.prepareWeight(weight);
        const x = gauss(8 * columns);
        const bias = on.put(gauss(outputs));
        for (const precision of ["exact", "fast"] as const) {
          const multiply = (from: number, rows: number) =>
            on.produce(rows * outputs, (out) => {
              const part = on.put(x.subarray(from * columns, (from + rows) * columns));
              on.device.kernels.linear(part, rows, [prepared], [bias], [out], precision);
            });
          const alone = Array.from({ length: 8 }, (_row, r) => [...multiply(r, 1)]);
          for (let rows = 2; rows <= 8; rows++) {
            const from = 8 - rows;
            expect([...multiply(from, rows)]).toEqual(alone.slice(from).flat());
          }
        }
        on.device.releaseWeight(prepared);
      }
    });

    check("embedding gives the dequantized rows bit for bit", (on) => {
      const { weight } = productsOf(dtype)[0]!;
      const ids = Int32Array.of(5, 0, 3, 3);
      const expected = new Float32Array(ids.length * weight.shape[1]!);
      reference.embedding(ids, weight, expected);
      const actual = on.produce(expected.length, (out) =>
        on.device.kernels.embedding(ids, on.device.prepareWeight(weight), out),
      );
      expect(new Int32Array(actual.buffer)).toEqual(new Int32Array(expected.buffer));
    });
  });

  check("several weights of different types share x", (on) => {
    const weights = [makeWeight("Q8_0", 9, 256), makeWeight("F16", 4, 256), makeWeight("Q6_K", 70, 256)];
    for (const rows of [2, 9]) {
      const x = gauss(rows * 256);
      const outs = weights.map(({ shape }) => new Float32Array(rows * shape[0]!));
      reference.linear(x, rows, weights, [null, null, null], outs, "fast");
      const given = outs.map(({ length }) => on.put(new Float32Array(length)));
      on.device.kernels.linear(
        on.put(x),
        rows,
        weights.map((weight) => on.device.prepareWeight(weight)),
        [null, null, null],
        given,
        "fast",
      );
      outs.forEach((expected, i) => {
        const actual = on.produce(expected.length, (out) =>
          on.device.kernels.add(given[i]!, on.put(new Float32Array(expected.length)), out),
        );
        expect(relativeError(actual, expected)).toBeLessThan(1e-5);
      });
    }
  });

  check("halves of every kind are widened exactly", (on) => {
    const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
    const weight: Weight = { name: "all halves", dtype: "F16", shape: [1, 65536], bytes };
    const expected = new Float32Array(65536);
    reference.embedding(Int32Array.of(0), weight, expected);
    const actual = on.produce(65536, (out) =>
      on.device.kernels.embedding(Int32Array.of(0), on.device.prepareWeight(weight), out),
    );
    for (let i = 0; i < 65536; i++) {
      if (!Object.is(actual[i], expected[i])) throw new Error(`half ${i}: ${actual[i]} for ${expected[i]}`);
    }
  });

  check("activations of zeros, extremes and tiny numbers round to finite products", (on) => {
    const x = new Float32Array(160);
    x.fill(1e-42, 32, 64);
    x.fill(-3e30, 64, 96);
    x.set(gauss(64), 96);
    const weight = makeWeight("Q8_0", 3, 160);
    const expected = new Float32Array(3);
    const withoutTiny = x.map((v) => (abs(v) < 1e-36 ? 0 : v));
    reference.linear(withoutTiny, 1, [weight], [null], [expected], "fast");
    const actual = on.produce(3, (out) =>
      on.device.kernels.linear(on.put(x), 1, [on.device.prepareWeight(weight)], [null], [out], "fast"),
    );
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  check("a NaN activation gives NaN and not a number", (on) => {
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
      const weight = on.device.prepareWeight(makeWeight("Q8_0", 3, 64));
      const actual = on.produce(rows * 3, (out) =>
        on.device.kernels.linear(on.put(many), rows, [weight], [null], [out], precision),
      );
      expect([...actual].every(Number.isNaN)).toBe(true);
    }
  });

  check("linearArgmax takes the first of equal outputs, across chunks of rows", (on) => {
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
        on.device.kernels.linearArgmax(on.put(x), rows, on.device.prepareWeight(weight), actual, precision);
        expect(actual).toEqual(expected);
      }
    }
  });
});
