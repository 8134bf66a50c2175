// Memory of this process, and how it grows. Linux; the process runs with --expose-gc.
import { readFileSync } from "node:fs";

/** Bytes after forced garbage collection: the process's own memory (without mapped files), JavaScript heap, buffers. */
export function memoryNow() {
  for (let i = 0; i < 3; i++) globalThis.gc(); // what finalizers let go is collected by the next round
  const { heapUsed, external } = process.memoryUsage();
  return { anon: statusBytes("RssAnon"), heap: heapUsed, external };
}

/** Most bytes that were resident at any time, mapped files included. */
export function peakBytes() {
  return statusBytes("VmHWM");
}

function statusBytes(field) {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)[1]) * 1024;
}

/** Least-squares slope of `samples[key]` over `samples[at]`. */
export function slopeOf(samples, at, key) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanAt = mean(samples.map((sample) => sample[at]));
  const meanValue = mean(samples.map((sample) => sample[key]));
  let covariance = 0;
  let variance = 0;
  for (const sample of samples) {
    covariance += (sample[at] - meanAt) * (sample[key] - meanValue);
    variance += (sample[at] - meanAt) ** 2;
  }
  return covariance / variance;
}
