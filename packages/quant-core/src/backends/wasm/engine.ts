import {
  engine,
  env,
  findBackend,
  findBackendFactory,
  registerBackend,
  removeBackend,
  type KernelBackend,
} from "@tensorflow/tfjs-core";
import { setWasmPaths, type BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";
import { assetUrl } from "./assets.js";
import { canShareMemory } from "./shared-memory.js";

export const WASM_BACKEND = "wasm";

/**
 * The TensorFlow.js WASM backend, initialised on its first use. It is given one of two copies of its single-threaded
 * binary from our assets: as it is, or with its memory declared as shared where workers can have it. (Its own threaded
 * build starts eight workers for ops that our kernels replace.)
 * @throws BackendError if it does not start
 */
export async function startWasmBackend(): Promise<BackendWasm> {
  // A backend that the application started before stays as it is; settings would come too late for it.
  env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  if (!(await env().getAsync("WASM_HAS_SIMD_SUPPORT"))) {
    throw new BackendError(
      "this engine has no WebAssembly SIMD, which the WASM backend needs: " +
        "use Node 16, Chrome 91, Firefox 89, Safari 16.4 or newer, or another backend",
    );
  }
  if (!(WASM_BACKEND in engine().registry)) {
    const url = assetUrl(
      canShareMemory() ? "tfjs-backend-wasm-simd-shared.wasm" : "tfjs-backend-wasm-simd.wasm",
    );
    const simd = isNode && url.protocol === "file:" ? nodeBuiltin("node:url").fileURLToPath(url) : url.href;
    setWasmPaths({
      "tfjs-backend-wasm.wasm": simd,
      "tfjs-backend-wasm-simd.wasm": simd,
      "tfjs-backend-wasm-threaded-simd.wasm": simd,
    });
    await initialise();
  }
  return findBackend(WASM_BACKEND) as BackendWasm;
}

/**
 * Makes the backend outside of the engine and hands it over complete: while the engine itself waits for a backend, it
 * refuses every op, also those of a model that is at work on another backend.
 */
async function initialise(): Promise<void> {
  let backend: KernelBackend;
  try {
    backend = await findBackendFactory(WASM_BACKEND)();
  } catch (cause) {
    throw new BackendError(
      "the TensorFlow.js WASM backend does not start; in a browser its binary must be served: " +
        "name the folder of the wasm files with setWasmAssetPath",
      { cause },
    );
  }
  if (WASM_BACKEND in engine().registry) return; // the application was quicker
  removeBackend(WASM_BACKEND);
  registerBackend(WASM_BACKEND, () => backend, PRIORITY);
}

/** As tfjs registers it. */
const PRIORITY = 2;

/** The parts of the backend's Emscripten module that are used. */
export interface WasmHeap {
  readonly memory: WebAssembly.Memory;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
}

/** The heap in which a backend keeps its tensors. */
export function heapOf(backend: BackendWasm): WasmHeap {
  const heap = backend.wasm as unknown as Omit<WasmHeap, "memory"> & {
    readonly asm: { readonly memory?: WebAssembly.Memory };
    readonly wasmMemory?: WebAssembly.Memory;
  };
  // The threaded build, which an application may have started, imports its memory.
  const memory = heap.asm.memory ?? heap.wasmMemory!;
  return { memory, _malloc: (bytes) => heap._malloc(bytes), _free: (pointer) => heap._free(pointer) };
}
