import { BackendError } from "../errors.js";
import { nodeBuiltin } from "../platform.js";
import { loadAddon } from "./native/addon.js";
import type { BackendName } from "./select.js";
import { hasRelaxedSimd } from "./wasm/module.js";
import { wasmThreads } from "./wasm/thread-pool.js";

/** What a backend computes with. */
export interface BackendDescription {
  /** Instruction set in use. */
  readonly isa: string;
  readonly threads: number;
}

/** Instruction set and thread count that a backend has on this machine now. @throws BackendError for native without its addon */
export function describeBackend(backend: BackendName): BackendDescription {
  if (backend === "native") {
    const addon = loadAddon();
    if (addon === null) throw new BackendError("the native backend is not available here");
    return { isa: addon.isa(), threads: addon.threads() };
  }
  if (backend === "wasm")
    return { isa: hasRelaxedSimd() ? "relaxed-simd" : "simd128", threads: wasmThreads() };
  if (backend === "tensorflow")
    return { isa: "libtensorflow", threads: nodeBuiltin("node:os").availableParallelism() };
  return { isa: "javascript", threads: 1 };
}
