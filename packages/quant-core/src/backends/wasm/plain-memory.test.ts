import { findBackend } from "@tensorflow/tfjs-core";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { describeBackend } from "../describe.js";
import { setThreads } from "../select.js";
import { createReferenceKernels } from "../reference/device.js";
import { createWasmDevice } from "./device.js";
import { WasmMemory } from "./memory.js";
import { isShared } from "./shared-memory.js";
import { gauss, makeWeight, relativeError } from "./testing.js";

// A page that is not cross-origin isolated has no SharedArrayBuffer.
const { SharedArrayBuffer } = globalThis;
beforeAll(() => Reflect.deleteProperty(globalThis, "SharedArrayBuffer"));
afterAll(() => void Object.assign(globalThis, { SharedArrayBuffer }));

test("without shared memory the kernels run on one thread and plain memory", async () => {
  const device = await createWasmDevice();
  const memory = new WasmMemory(findBackend("wasm") as BackendWasm);
  expect(isShared(memory.memory)).toBe(false);
  expect(describeBackend("wasm").threads).toBe(1);
  const reference = createReferenceKernels();
  const weight = makeWeight("Q8_0", 700, 512);
  const prepared = device.prepareWeight(weight);
  for (const rows of [1, 9]) {
    const x = gauss(rows * 512);
    const expected = new Float32Array(rows * 700);
    reference.linear(x, rows, [weight], [null], [expected], "exact");
    const out = device.uploadVector(new Float32Array(rows * 700));
    device.kernels.linear(device.uploadVector(x), rows, [prepared], [null], [out], "exact");
    expect(relativeError(memory.floats(out.pointer, out.length).slice(), expected)).toBeLessThan(1e-5);
  }
});

test("kernels that have begun on plain memory stay on one thread, which is said", () => {
  Object.assign(globalThis, { SharedArrayBuffer });
  setThreads(3);
  expect(describeBackend("wasm").threads).toBe(1);
});
