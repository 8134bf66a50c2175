import type { Tensor } from "@tensorflow/tfjs-core";
import { BACKENDS, selectDevice, type BackendName } from "../backends/select.js";
import { BackendError } from "../errors.js";
import { quantizeRows } from "../quantize/index.js";
import type { Runtime } from "../runtime.js";
import type { GgmlType, Weight } from "../weight.js";
import type { Device } from "./kernels.js";

/** Deterministic values, roughly normal. */
export function gaussian(count: number, seed: number, scale = 1): Float32Array {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => scale * (next() + next() + next() + next() - 2));
}

const weights = new Map<string, Weight>();

/** The same object for the same arguments: quantizing is what takes time here. */
export function makeWeight(dtype: GgmlType, shape: number[], seed: number): Weight {
  const key = `${dtype} ${shape.join()} ${seed}`;
  let weight = weights.get(key);
  if (weight === undefined) {
    const columns = shape.slice(1).reduce((product, dim) => product * dim, 1);
    const values = gaussian(shape[0]! * columns, seed, 0.5);
    weight = { name: `${dtype}.weight`, dtype, shape, bytes: quantizeRows(dtype, values, columns) };
    weights.set(key, weight);
  }
  return weight;
}

/** max |a − b| / RMS(b) */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
    squares += expected[i]! ** 2;
  }
  return worst / (Math.sqrt(squares / expected.length) || 1);
}

/** Root mean square of the differences, relative to that of the expected values. */
export function rmsError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let errors = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    errors += (actual[i]! - expected[i]!) ** 2;
    squares += expected[i]! ** 2;
  }
  return Math.sqrt(errors / (squares || 1));
}

/** The backends that work here but the reference, by name; what is missing is said on stderr. */
export async function devicesForTests(): Promise<Map<BackendName, Device>> {
  const devices = new Map<BackendName, Device>();
  for (const backend of BACKENDS) {
    if (backend === "cpu") continue;
    try {
      devices.set(backend, (await selectDevice(backend)).device);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      process.stderr.write(`ops: backend ${backend} is not tested: ${error.message}\n`);
    }
  }
  return devices;
}

/** Values of the tensors that `body` makes, on `runtime`'s device. */
export function values(runtime: Runtime, body: () => Tensor | Tensor[]): Float32Array[] {
  const made = runtime.run(body);
  return [made].flat().map((tensor) => {
    const copy = Float32Array.from(tensor.dataSync());
    tensor.dispose();
    return copy;
  });
}
