import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackendError } from "../../errors.js";
import { createNativeKernels, prepareWeight } from "./kernels.js";
import { addonForTests, randomWeight } from "./testing.js";

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;
const folder = mkdtempSync(join(tmpdir(), "voxquant-mapping-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ROWS = 4096;
const COLUMNS = 64;

function mapped(name: string) {
  const path = join(folder, name);
  const weight = randomWeight("Q8_0", ROWS, COLUMNS, 1);
  writeFileSync(path, weight.bytes);
  const { buffer, handle } = addon!.mapFile(path);
  return { path, weight, buffer, handle, view: new Uint8Array(buffer) };
}

test_("a mapped file is read in place and its views are empty after unmapping", () => {
  const { weight, buffer, handle, view } = mapped("plain");
  expect(Buffer.compare(view, weight.bytes)).toBe(0);
  expect(addon!.mappingFault(handle)).toBe(false);
  const prepared = prepareWeight(addon!, { ...weight, bytes: view });
  addon!.unmapFile(handle);
  addon!.unmapFile(handle);
  expect([buffer.byteLength, view.length]).toEqual([0, 0]);
  const run = () =>
    createNativeKernels(addon!).linear(
      new Float32Array(COLUMNS),
      1,
      [prepared],
      [null],
      [new Float32Array(ROWS)],
      "fast",
    );
  expect(run).toThrow("was its file closed?");
});

test_("a file that is cut while in use gives an error, not a crash", () => {
  const { path, weight, handle, view } = mapped("cut");
  const other = mapped("whole");
  const kernels = createNativeKernels(addon!);
  const x = new Float32Array(COLUMNS).fill(1);
  const out = new Float32Array(ROWS);
  const cut = prepareWeight(addon!, { ...weight, bytes: view });
  const whole = prepareWeight(addon!, { ...weight, bytes: other.view });
  truncateSync(path, 8192);
  expect(() => kernels.linear(x, 1, [cut], [null], [out], "fast")).toThrow(BackendError);
  expect(() => kernels.linear(x, 1, [cut], [null], [out], "fast")).toThrow(
    /cut: the file was cut while in use/,
  );
  expect(() => kernels.embedding(Int32Array.of(ROWS - 1), cut, new Float32Array(COLUMNS))).toThrow(
    BackendError,
  );
  expect(addon!.mappingFault(handle)).toBe(true);
  expect(view[view.length - 1]).toBe(0);
  expect(view[0]).toBe(weight.bytes[0]);
  // other files are not concerned
  kernels.linear(x, 1, [whole], [null], [out], "fast");
  expect(addon!.mappingFault(other.handle)).toBe(false);
});

test_("JavaScript's own read of a missing page survives too", () => {
  const { path, handle, view } = mapped("read");
  truncateSync(path, 0);
  expect(view.reduce((sum, byte) => sum + byte, 0)).toBe(0);
  expect(addon!.mappingFault(handle)).toBe(true);
});

test_("what cannot be mapped is named", () => {
  expect(() => addon!.mapFile(join(folder, "missing"))).toThrow(/missing: cannot open: No such file/);
  expect(() => addon!.mapFile(folder)).toThrow(/not a regular file/);
  writeFileSync(join(folder, "empty"), "");
  expect(() => addon!.mapFile(join(folder, "empty"))).toThrow(/empty: cannot map/);
  expect(() => addon!.unmapFile({} as never)).toThrow("not the handle");
});
