import { constants, PerformanceObserver } from "node:perf_hooks";
import { addonForTests } from "./testing.js";

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;

const MEBIBYTE = 2 ** 20;

function allocated(bytes: number, huge = true): Uint8Array {
  const buffer = addon!.allocateMemory(bytes, huge);
  if (buffer === null) throw new Error("this runtime has external array buffers");
  return new Uint8Array(buffer);
}

test_.each([true, false])(
  "zeros of the size that was asked for, until they are given back; huge: %s",
  (huge) => {
    for (const bytes of [1, 4097, 3 * MEBIBYTE + 5]) {
      const bytesOf = allocated(bytes, huge);
      expect(bytesOf).toHaveLength(bytes);
      expect(bytesOf.every((value) => value === 0)).toBe(true);
      bytesOf.fill(7);
      const view = new Uint8Array(bytesOf.buffer, 1);
      addon!.freeMemory(bytesOf);
      expect([bytesOf.length, view.length]).toEqual([0, 0]);
      addon!.freeMemory(view); // nothing is left of it
    }
  },
);

test_("what is given back does not add up, and does not touch what is still in use", () => {
  const kept = allocated(4 * MEBIBYTE).fill(1);
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 200; i++) addon!.freeMemory(allocated(8 * MEBIBYTE).fill(2));
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 * MEBIBYTE);
  expect(kept.every((value) => value === 1)).toBe(true);
  addon!.freeMemory(kept);
});

test_("memory of small pages that is not used is not there", () => {
  const before = process.memoryUsage.rss();
  const sparse = allocated(256 * MEBIBYTE, false);
  for (let at = 0; at < sparse.length; at += MEBIBYTE) sparse[at] = 1;
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MEBIBYTE);
  addon!.freeMemory(sparse);
});

test_("the garbage collector does not run for it", async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      if (kind !== constants.NODE_PERFORMANCE_GC_MINOR) collections++;
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  const arrays: Uint8Array[] = [];
  for (let i = 0; i < 100; i++) {
    arrays.push(allocated(16 * MEBIBYTE));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  observer.disconnect();
  for (const array of arrays) addon!.freeMemory(array);
  expect(collections).toBeLessThan(5);
});

test_("a size that is none is refused", () => {
  for (const bytes of [0, -1, 1.5, 2 ** 41])
    expect(() => addon!.allocateMemory(bytes, true)).toThrow("bytes");
  expect(() => addon!.freeMemory({} as Uint8Array)).toThrow("typed array");
});
