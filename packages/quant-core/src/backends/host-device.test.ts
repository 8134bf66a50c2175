import { BackendError } from "../errors.js";
import { HostBackend } from "./host-device.js";

function backendWithFreed() {
  const freed: number[] = [];
  const backend = new HostBackend({
    allocate: (bytes) => new ArrayBuffer(bytes),
    free: (array) => freed.push(array.byteLength),
  });
  return { backend, freed };
}

const LARGE = 3_000_000;

test("the memory of a disposed activation serves the next one of about its size", () => {
  const { backend, freed } = backendWithFreed();
  const first = backend.allocate([1000, 1000]);
  backend.disposeData(first.tensor.dataId);
  const second = backend.allocate([500, 1000]);
  expect(second.data.buffer).toBe(first.data.buffer);
  expect(second.data).toHaveLength(500_000);
  backend.disposeData(second.tensor.dataId);
  expect(backend.allocate([10, 10]).data.buffer).not.toBe(first.data.buffer); // far too large for it
  expect(freed).toEqual([]);
});

test("releaseUnused gives back what is free, and nothing that is in use", () => {
  const { backend, freed } = backendWithFreed();
  const [used, disposed] = [backend.allocate([200]), backend.allocate([LARGE])];
  backend.disposeData(disposed.tensor.dataId);
  backend.releaseUnused();
  expect(freed).toEqual([4 * LARGE]);
  backend.releaseUnused();
  expect(freed).toHaveLength(1);
  expect(backend.values(used.tensor)).toBe(used.data);
});

test("what the caller has read is neither used again nor given back", () => {
  const { backend, freed } = backendWithFreed();
  const { tensor, data } = backend.allocate([LARGE]);
  expect(backend.readSync(tensor.dataId)).toBe(data);
  backend.disposeData(tensor.dataId);
  backend.releaseUnused();
  expect(backend.allocate([LARGE]).data.buffer).not.toBe(data.buffer);
  expect(freed).toEqual([]);
});

test("a large buffer that no stage uses any more goes back by itself", () => {
  const { backend, freed } = backendWithFreed();
  backend.disposeData(backend.allocate([LARGE]).tensor.dataId);
  for (let i = 0; i < 200; i++) backend.disposeData(backend.allocate([100]).tensor.dataId);
  expect(freed).toEqual([4 * LARGE]);
});

test("free buffers make room for a tensor before it is refused", () => {
  let room = 2;
  const backend = new HostBackend({
    allocate: (bytes) => {
      if (room === 0) throw new RangeError("Array buffer allocation failed");
      room--;
      return new ArrayBuffer(bytes);
    },
    free: () => room++,
  });
  backend.allocate([LARGE]);
  backend.disposeData(backend.allocate([LARGE]).tensor.dataId);
  expect(backend.allocate([3 * LARGE]).data).toHaveLength(3 * LARGE);
  expect(() => backend.allocate([5 * LARGE])).toThrow(BackendError);
  expect(() => backend.allocate([5 * LARGE])).toThrow(/no memory for a tensor of 60000000 bytes/);
});
