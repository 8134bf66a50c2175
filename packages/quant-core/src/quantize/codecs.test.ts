import { crc32 } from "node:zlib";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { FormatError, UnsupportedError } from "../errors.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { QUANTIZABLE, codecOf } from "./codecs.js";
import { dequantize } from "./dequantize.js";
import { activationType, dotReference } from "./dot.js";
import { quantizeRows } from "./quantize-rows.js";
import { iq4NlCodec } from "./table-blocks.js";

interface Goldens {
  inputs: { id: string; n: number; f32_le_hex: string }[];
  cases: {
    type: GgmlType;
    variant: string;
    input: string;
    n: number;
    block_hex: string[];
    dequant: {
      sum: number;
      sum_abs: number;
      crc32: string;
      first8: number[];
      max_abs_err: number;
      rmse: number;
    };
  }[];
  imatrix: {
    weights_f32_le_hex: string;
    cases: { type: GgmlType; input: string; n: number; block_hex: string[] }[];
  };
  vec_dot: {
    weight_type: GgmlType;
    act_type: GgmlType;
    weight_input: string;
    act_input: string;
    n: number;
    result_f32: number;
    exact_dequant_dot_f64: number;
    l1_f64: number;
  }[];
}

function floats(hex: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(hex, "hex")).buffer);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

const path = goldensFolder("ggml-quants.json");
const goldens = path === null ? null : readGoldenJson<Goldens>(path);
const inputs = new Map((goldens?.inputs ?? []).map((input) => [input.id, floats(input.f32_le_hex)]));

function encode(type: GgmlType, variant: string, x: Float32Array): Uint8Array {
  if (variant !== "ntry=-1") return quantizeRows(type, x, x.length);
  const out = new Uint8Array((x.length / GGML_TYPES[type].block) * GGML_TYPES[type].bytes);
  iq4NlCodec(-1).quantizeRow(x, 0, x.length, out, 0, null);
  return out;
}

(goldens === null ? describe.skip : describe)("goldens of ggml", () => {
  const types = [...new Set(goldens?.cases.map((c) => `${c.type} ${c.variant}`))];

  test.each(types)("%s: blocks and decoded values are identical", (key) => {
    for (const golden of goldens!.cases.filter((c) => `${c.type} ${c.variant}` === key)) {
      const label = `${key}/${golden.input}: `;
      const x = inputs.get(golden.input)!.subarray(0, golden.n);
      const bytes = encode(golden.type, golden.variant, x);
      expect(label + hexOf(bytes)).toBe(label + golden.block_hex.join(""));

      // Decoding from an odd address: tensors need not be aligned.
      const moved = new Uint8Array(bytes.length + 1);
      moved.set(bytes, 1);
      const decoded = new Float32Array(golden.n);
      dequantize(golden.type, moved.subarray(1), decoded);
      const decodedBytes = new Uint8Array(decoded.buffer);
      expect(label + crc32(decodedBytes).toString(16).padStart(8, "0")).toBe(label + golden.dequant.crc32);
    }
  });

  test("importance-weighted blocks are identical", () => {
    const importance = floats(goldens!.imatrix.weights_f32_le_hex);
    for (const golden of goldens!.imatrix.cases) {
      const label = `${golden.type}/${golden.input}: `;
      const x = inputs.get(golden.input)!.subarray(0, golden.n);
      const bytes = quantizeRows(golden.type, x, golden.n, importance.subarray(0, golden.n));
      expect(label + hexOf(bytes)).toBe(label + golden.block_hex.join(""));
    }
  });

  test("dot products", () => {
    for (const golden of goldens!.vec_dot) {
      const weight = quantizeRows(golden.weight_type, inputs.get(golden.weight_input)!, golden.n);
      expect(activationType(golden.weight_type)).toBe(golden.act_type);
      const activation = quantizeRows(golden.act_type, inputs.get(golden.act_input)!, golden.n);
      const result = dotReference(golden.weight_type, weight, activation, golden.n);
      const expected = golden.act_type === "Q8_1" ? golden.result_f32 : golden.exact_dequant_dot_f64;
      expect(Math.abs(result - expected)).toBeLessThanOrEqual(1e-6 * golden.l1_f64);
    }
  });
});

describe("quantizeRows", () => {
  const row = Float32Array.from({ length: 512 }, (_, i) => Math.sin(i * 0.7) * Math.exp(-i / 300));

  test.each(QUANTIZABLE.map((type) => [type]))(
    "%s: rows are independent and decode near their values",
    (type) => {
      const rows = new Float32Array(1024);
      rows.set(row);
      rows.set(
        row.map((x) => -2 * x),
        512,
      );
      const together = quantizeRows(type, rows, 512);
      const apart = [
        quantizeRows(type, rows.subarray(0, 512), 512),
        quantizeRows(type, rows.subarray(512), 512),
      ];
      expect(hexOf(together)).toBe(apart.map(hexOf).join(""));
      const decoded = new Float32Array(1024);
      dequantize(type, together, decoded);
      let error = 0;
      let energy = 0;
      for (let i = 0; i < 1024; i++) {
        error += (decoded[i]! - rows[i]!) ** 2;
        energy += rows[i]! ** 2;
      }
      expect(Math.sqrt(error / energy)).toBeLessThan(type.startsWith("TQ") ? 0.9 : 0.4);
    },
  );

  test("constant rows of extreme size stay finite or become infinite scales, never other codes", () => {
    for (const value of [1e-40, -1e-40, 3e38]) {
      const constant = new Float32Array(256).fill(value);
      for (const type of QUANTIZABLE) expect(() => quantizeRows(type, constant, 256)).not.toThrow();
    }
    const tiny = quantizeRows("Q4_0", new Float32Array(32).fill(1e-40), 32);
    expect(hexOf(tiny)).toBe("0080" + "88".repeat(16));
  });

  test("refuses what does not fit", () => {
    expect(() => quantizeRows("Q4_0", new Float32Array(40), 40)).toThrow(FormatError);
    expect(() => quantizeRows("Q4_0", new Float32Array(40), 32)).toThrow(/whole rows of 32/);
    expect(() => quantizeRows("Q4_0", new Float32Array(32), 32, new Float32Array(31))).toThrow(/importance/);
    expect(() => quantizeRows("IQ1_S", new Float32Array(256), 256)).toThrow(UnsupportedError);
    const nan = new Float32Array(64);
    nan[33] = NaN;
    expect(() => quantizeRows("Q8_0", nan, 32)).toThrow(/row 1, column 1/);
    expect(() => dequantize("Q8_0", new Uint8Array(33), new Float32Array(32))).toThrow(
      /take 34 bytes, found 33/,
    );
    expect(() => dequantize("Q8_0", new Uint8Array(34), new Float32Array(31))).toThrow(FormatError);
    expect(() => codecOf("NVFP4")).toThrow(UnsupportedError);
  });
});
