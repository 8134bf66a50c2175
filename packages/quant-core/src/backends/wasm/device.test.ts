import { findBackend, tensor } from "@tensorflow/tfjs-core";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { BackendError, ConfigError, FormatError, UnsupportedError } from "../../errors.js";
import type { Weight } from "../../weight.js";
import { quantizeRows } from "../../quantize/index.js";
import { createReferenceKernels } from "../reference/device.js";
import { assetUrl, loadAsset, setWasmAssetPath } from "./assets.js";
import { createWasmDevice, type WasmDevice } from "./device.js";
import { WasmMemory } from "./memory.js";

const GIBIBYTE = 2 ** 30;
let device: WasmDevice;
let backend: BackendWasm;

beforeAll(async () => {
  device = await createWasmDevice();
  backend = findBackend("wasm") as BackendWasm;
});

function weight(change: Partial<Weight>): Weight {
  return { name: "w", dtype: "Q8_0", shape: [2, 32], bytes: new Uint8Array(68), ...change };
}

test("one device per backend, whose tensors are tfjs tensors", async () => {
  expect(await createWasmDevice()).toBe(device);
  const a = tensor([1, 2, 3]);
  const { tensor: sum, data } = device.allocate([3]);
  device.kernels.add(device.read(a), device.read(a), data);
  expect([...(backend.readSync(sum.dataId) as Float32Array)]).toEqual([2, 4, 6]);
  backend.disposeData(sum.dataId);
  a.dispose();
});

test("unsupported types and sizes that do not fit are named", () => {
  expect(() => device.prepareWeight(weight({ dtype: "IQ2_XS", shape: [1, 256] }))).toThrow(UnsupportedError);
  expect(() => device.prepareWeight(weight({ shape: [2, 33] }))).toThrow(FormatError);
  expect(() => device.prepareWeight(weight({ bytes: new Uint8Array(67) }))).toThrow(
    /takes 68 bytes, found 67/,
  );
});

test("a four-dimensional weight is a matrix of its first dimension by the others", () => {
  const prepared = device.prepareWeight(
    weight({ dtype: "F32", shape: [2, 3, 1, 5], bytes: new Uint8Array(120) }),
  );
  expect(prepared).toMatchObject({ rows: 2, columns: 15, rowBytes: 60 });
  device.releaseWeight(prepared);
});

test("memory that is out is said with sizes and a way on, and what was taken can be given back", () => {
  const huge = { layers: 1, kvHeads: 1, headDim: 128, capacity: 2 ** 23 }; // 8 GiB
  expect(() => device.createKvCache(huge)).toThrow(BackendError);
  expect(() => device.createKvCache(huge)).toThrow(/8192\.0 MiB .* 4096 MiB .* native backend/s);
  expect(() => device.allocate([2 ** 20, 2 ** 12])).toThrow(BackendError);
  const third = { ...huge, capacity: 1.5 * 2 ** 20 }; // 1.5 GiB
  const taken = [device.createKvCache(third), device.createKvCache(third)];
  expect(() => device.createKvCache(third)).toThrow(BackendError);
  expect(() => device.allocate([2 ** 18, 1536])).toThrow(BackendError);
  for (const cache of taken) device.releaseKvCache(cache);
  device.releaseKvCache(device.createKvCache(third));
});

test("addresses above 2 GiB", () => {
  const reference = createReferenceKernels();
  const filler = device.createKvCache({ layers: 1, kvHeads: 1, headDim: 128, capacity: 2.1 * 2 ** 20 });
  const [outputs, columns] = [300, 1024];
  const x = Float32Array.from({ length: 6 * columns }, (_, i) => Math.sin(i));
  const values = Float32Array.from({ length: outputs * columns }, (_, i) => Math.cos(i * 1.7));
  const w = weight({ shape: [outputs, columns], bytes: quantizeRows("Q8_0", values, columns) });
  const prepared = device.prepareWeight(w);
  expect(prepared.pointer).toBeGreaterThan(2 * GIBIBYTE);
  const { tensor: input, data: inputData } = device.allocate([2 ** 18]);
  const { tensor: out, data } = device.allocate([2 ** 18]);
  expect(Math.min(inputData.pointer, data.pointer)).toBeGreaterThan(2 * GIBIBYTE);
  const memory = new WasmMemory(backend);
  memory.floats(inputData.pointer, x.length).set(x);
  for (const rows of [1, 6]) {
    for (const precision of ["exact", "fast"] as const) {
      const expected = new Float32Array(rows * outputs);
      reference.linear(x, rows, [w], [null], [expected], precision);
      device.kernels.linear(inputData, rows, [prepared], [null], [data], precision);
      const actual = memory.floats(data.pointer, rows * outputs);
      expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-3);
    }
  }
  for (const { dataId } of [input, out]) backend.disposeData(dataId);
  device.releaseWeight(prepared);
  device.releaseKvCache(filler);
});

test("positions outside the cache or the rotary table are errors, not writes elsewhere", () => {
  const cache = device.createKvCache({ layers: 1, kvHeads: 1, headDim: 4, capacity: 3 });
  const row = device.uploadVector(new Float32Array(4));
  const out = device.uploadVector(new Float32Array(4));
  const attendAt = (position: number) =>
    device.kernels.cachedAttention(row, row, row, [{ cache, start: 0, count: 1, position }], 0, 1, 1, 3, out);
  attendAt(2);
  expect(() => attendAt(3)).toThrow(ConfigError);
  for (const position of [-1, 2 ** 20]) {
    expect(() =>
      device.kernels.headNormRope(row, null, Int32Array.of(position), 1, 4, 1e-6, 1e4, out),
    ).toThrow(BackendError);
  }
});

test("releasing gives the memory back: a thousand rounds do not grow it", () => {
  const big = weight({ dtype: "F32", shape: [512, 512], bytes: new Uint8Array(2 ** 20) });
  const round = () => {
    const prepared = device.prepareWeight(big);
    const cache = device.createKvCache({ layers: 2, kvHeads: 2, headDim: 64, capacity: 512 });
    const vector = device.uploadVector(new Float32Array(1000));
    const { tensor: out } = device.allocate([1000]);
    backend.disposeData(out.dataId);
    device.releaseVector(vector);
    device.releaseKvCache(cache);
    device.releaseWeight(prepared);
  };
  round();
  const { memory } = new WasmMemory(backend);
  const before = memory.buffer.byteLength;
  for (let i = 0; i < 1000; i++) round();
  expect(memory.buffer.byteLength).toBe(before);
});

test("asset URLs, and the error for a file that is not there", async () => {
  expect(assetUrl("voxquant-simd.wasm").pathname).toMatch(/\/wasm\/voxquant-simd\.wasm$/);
  setWasmAssetPath("file:///nowhere/of/ours");
  try {
    expect(assetUrl("voxquant-simd.wasm").href).toBe("file:///nowhere/of/ours/voxquant-simd.wasm");
    await expect(loadAsset("voxquant-simd.wasm")).rejects.toThrow(BackendError);
    await expect(loadAsset("voxquant-simd.wasm")).rejects.toThrow(/nowhere.*setWasmAssetPath/);
  } finally {
    setWasmAssetPath(new URL("../../../wasm/", import.meta.url));
  }
});
