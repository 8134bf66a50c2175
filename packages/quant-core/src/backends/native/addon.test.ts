import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { addonProblem } from "./addon.js";
import { addonForTests, atEveryLevel } from "./testing.js";

const addon = addonForTests();
const test_ = addon === null ? test.skip : test;
const binary = fileURLToPath(new URL("../../../native/build/voxquant.node", import.meta.url));
const built = addon !== null && existsSync(binary) ? test : test.skip;

test_("every level passes the self-check", () => {
  atEveryLevel(addon!, () => expect(addon!.checkIsa()).toBeNull());
  expect(addonProblem()).toBeNull();
  expect(addon!.setIsa("mmx")).toBe(false);
});

test_("threads can be set", () => {
  const before = addon!.threads();
  expect(before).toBeGreaterThan(0);
  addon!.setThreads(3);
  expect(addon!.threads()).toBe(3);
  expect(() => addon!.setThreads(0)).toThrow("threads is not an integer in 1..256");
  addon!.setThreads(before);
});

built("several worker threads use the addon at once, and the process ends", async () => {
  const code = `
    const { parentPort } = require("node:worker_threads");
    const addon = require(${JSON.stringify(binary)});
    const bytes = new Uint8Array(34 * 32 * 512).fill(1);
    const weight = addon.prepareWeight(8, 512, 1024, bytes);
    const x = new Float32Array(1024).fill(1);
    const outs = [];
    for (let i = 0; i < 300; i++) {
      const out = new Float32Array(512);
      addon.linear(x, 1, [weight], [null], [out], true);
      outs.push(out[0] === out[511] ? out[0] : NaN);
    }
    parentPort.postMessage(new Set(outs).size);`;
  const workers = [1, 2, 3].map(
    () =>
      new Promise((resolve, reject) => {
        const worker = new Worker(code, { eval: true });
        worker.on("message", resolve);
        worker.on("error", reject);
      }),
  );
  expect(await Promise.all(workers)).toEqual([1, 1, 1]);
});
