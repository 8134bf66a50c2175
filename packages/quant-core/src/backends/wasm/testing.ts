import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { quantizeRows } from "../../quantize/index.js";
import type { GgmlType, Weight } from "../../weight.js";
import { makeWasmDevice, type WasmDevice } from "./device.js";
import { startWasmBackend } from "./engine.js";
import type { WasmArray } from "./memory.js";
import { hasRelaxedSimd } from "./module.js";

const { abs, imul, sqrt } = Math;
let seed = 1;

/** Sums of three uniform numbers with variance 1, the same in every run. */
export function gauss(n: number, scale = 1): Float32Array {
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

export function makeWeight(dtype: GgmlType, rows: number, columns: number): Weight {
  const bytes = quantizeRows(dtype, gauss(rows * columns, 0.05), columns);
  return { name: `${dtype} weight`, dtype, shape: [rows, columns], bytes };
}

/** Largest difference relative to the expected values' RMS; NaN if a value is. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return NaN;
  let worst = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
    squares += expected[i]! ** 2;
  }
  return worst / sqrt(squares / expected.length);
}

/** A device with one variant of the kernels, and the way of data into and out of it. */
export class TestDevice {
  readonly device: WasmDevice;
  readonly #backend: BackendWasm;

  private constructor(device: WasmDevice, backend: BackendWasm) {
    this.device = device;
    this.#backend = backend;
  }

  /** The variant that the engine's flags call for; null, with a line on stderr, if that is not the wanted one. */
  static async start(relaxed: boolean): Promise<TestDevice | null> {
    if (hasRelaxedSimd() !== relaxed) {
      process.stderr.write(
        `wasm: this engine cannot choose ${relaxed ? "relaxed" : "plain"} SIMD, skipped\n`,
      );
      return null;
    }
    const backend = await startWasmBackend();
    return new TestDevice(await makeWasmDevice(backend), backend);
  }

  put(values: Float32Array): WasmArray {
    return this.device.uploadVector(values);
  }

  /** Runs a kernel into a tensor of `length` floats and returns them. */
  produce(length: number, run: (out: WasmArray) => void): Float32Array {
    const { tensor, data } = this.device.allocate([length]);
    run(data);
    const values = this.#backend.readSync(tensor.dataId) as Float32Array;
    this.#backend.disposeData(tensor.dataId);
    return values;
  }
}
