import { crc32 } from "node:zlib";
import { findBackend } from "@tensorflow/tfjs-core";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { dequantize } from "../../quantize/index.js";
import { GGML_TYPES, type GgmlType } from "../../weight.js";
import { createWasmDevice, type WasmDevice } from "./device.js";

interface QuantizedInput {
  readonly type: string;
  readonly routine: string;
  readonly variant: string;
  readonly input: string;
  readonly n: number;
  readonly block_hex: readonly string[];
  readonly dequant: { readonly crc32: string };
}

interface VectorDot {
  readonly weight_type: string;
  readonly act_type: string;
  readonly weight_input: string;
  readonly act_input: string;
  readonly n: number;
  readonly weight_routine: string;
  readonly exact_dequant_dot_f64: number;
  readonly l1_f64: number;
}

interface Goldens {
  readonly cases: readonly QuantizedInput[];
  readonly vec_dot: readonly VectorDot[];
}

const path = goldensFolder("ggml-quants.json");
const goldens = path === null ? null : readGoldenJson<Goldens>(path);
/** Forms of activations, which no weight has. */
const ACTIVATIONS = new Set(["Q8_1", "Q8_K"]);
let device: WasmDevice;

beforeAll(async () => {
  device = await createWasmDevice();
});

function bytesOf({ block_hex }: QuantizedInput): Uint8Array {
  return new Uint8Array(Buffer.from(block_hex.join(""), "hex"));
}

/** The values that `run` writes to a tensor of n floats. */
function produce(n: number, run: (out: { pointer: number; length: number }) => void): Float32Array {
  const backend = findBackend("wasm") as BackendWasm;
  const { tensor, data } = device.allocate([n]);
  run(data);
  const values = backend.readSync(tensor.dataId) as Float32Array;
  backend.disposeData(tensor.dataId);
  return values;
}

const run = goldens === null ? test.skip : test;

run("dequantized rows have the goldens' checksums", () => {
  let compared = 0;
  for (const golden of goldens!.cases) {
    if (ACTIVATIONS.has(golden.type) || !(golden.type in GGML_TYPES)) continue;
    const dtype = golden.type as GgmlType;
    const weight = { name: golden.input, dtype, shape: [1, golden.n], bytes: bytesOf(golden) };
    const prepared = device.prepareWeight(weight);
    const values = produce(golden.n, (out) => device.kernels.embedding(Int32Array.of(0), prepared, out));
    device.releaseWeight(prepared);
    const checksum = crc32(new Uint8Array(values.buffer)).toString(16).padStart(8, "0");
    expect([golden.type, golden.input, checksum]).toEqual([golden.type, golden.input, golden.dequant.crc32]);
    compared++;
  }
  expect(compared).toBeGreaterThan(0);
});

run("dot products with the goldens' dequantized activations, few and many rows", () => {
  let compared = 0;
  for (const dot of goldens!.vec_dot) {
    const find = (type: string, input: string, routine?: string) =>
      goldens!.cases.find(
        (c) => c.type === type && c.input === input && (routine === undefined || c.routine === routine),
      );
    const weightCase = find(dot.weight_type, dot.weight_input, dot.weight_routine);
    const activationCase = find(dot.act_type, dot.act_input);
    if (weightCase === undefined || activationCase === undefined) continue;
    const x = new Float32Array(dot.n);
    dequantize(activationCase.type as GgmlType, bytesOf(activationCase), x);
    const dtype = dot.weight_type as GgmlType;
    const prepared = device.prepareWeight({
      name: dot.weight_input,
      dtype,
      shape: [1, dot.n],
      bytes: bytesOf(weightCase),
    });
    for (const rows of [1, 9]) {
      const many = new Float32Array(rows * dot.n);
      for (let r = 0; r < rows; r++) many.set(x, r * dot.n);
      const input = device.uploadVector(many);
      const result = produce(rows, (out) =>
        device.kernels.linear(input, rows, [prepared], [null], [out], "exact"),
      );
      device.releaseVector(input);
      for (const value of result) {
        expect(Math.abs(value - dot.exact_dequant_dot_f64)).toBeLessThanOrEqual(1e-6 * dot.l1_f64);
      }
    }
    device.releaseWeight(prepared);
    compared++;
  }
  expect(compared).toBeGreaterThan(0);
});
