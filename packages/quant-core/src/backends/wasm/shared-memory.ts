import { isNode } from "../../platform.js";

/** Whether workers can use this thread's memory: always in Node, in a browser on a cross-origin isolated page. */
export function canShareMemory(): boolean {
  if (typeof SharedArrayBuffer === "undefined" || (!isNode && !globalThis.crossOriginIsolated)) return false;
  try {
    // Engines that reserve the whole address range may refuse it.
    return isShared(new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true }));
  } catch {
    return false;
  }
}

export function isShared(memory: WebAssembly.Memory): boolean {
  return Object.prototype.toString.call(memory.buffer) === "[object SharedArrayBuffer]";
}
