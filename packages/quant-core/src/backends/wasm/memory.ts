import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { BackendError } from "../../errors.js";
import { heapOf, type WasmHeap } from "./engine.js";
import type { Pointer } from "./module.js";

/** What a 32-bit address reaches. */
export const ADDRESS_SPACE = 2 ** 32;
const MEBIBYTE = 2 ** 20;

/**
 * Blocks of the backend's heap. Growth replaces the memory's buffer, so views are made anew for every use and must not
 * be kept across an allocation.
 */
export class WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly #heap: WasmHeap;
  readonly #scratch = new Map<string, { pointer: Pointer; bytes: number }>();

  constructor(backend: BackendWasm) {
    this.#heap = heapOf(backend);
    this.memory = this.#heap.memory;
  }

  /**
   * Uninitialised bytes, aligned to 8 or more.
   * @param what for the message
   * @throws BackendError if the 4 GiB of a WebAssembly memory do not have them
   */
  allocate(bytes: number, what: string): Pointer {
    // Rounding lets kernels read the last vector of a block whole. malloc takes 32 bits, and addresses above 2 GiB
    // come back negative.
    const size = Math.ceil(bytes / 16) * 16 + 16;
    const pointer = size < ADDRESS_SPACE ? this.#heap._malloc(size) >>> 0 : 0;
    if (!this.holds(pointer, size)) {
      if (pointer !== 0) this.free(pointer);
      throw this.exhausted(bytes, what);
    }
    return pointer;
  }

  /**
   * Whether malloc really gave `size` bytes. It computes in 32 bits, so that a request beyond the end of the address
   * space can wrap around and come back as a block of a few bytes; the word before a block has its true size.
   */
  holds(pointer: Pointer, size: number): boolean {
    if (pointer === 0) return false;
    if (this.memory.buffer.byteLength + size < ADDRESS_SPACE) return true;
    return new Uint32Array(this.memory.buffer, pointer - 4, 1)[0]! >= size;
  }

  exhausted(bytes: number, what: string): BackendError {
    const used = (this.memory.buffer.byteLength / MEBIBYTE).toFixed(0);
    return new BackendError(
      `${what}: ${(bytes / MEBIBYTE).toFixed(1)} MiB more do not fit in WebAssembly memory, which ends at 4096 MiB ` +
        `and has grown to ${used} MiB; use the native backend, or a model of a smaller quantization type`,
    );
  }

  free(pointer: Pointer): void {
    this.#heap._free(pointer);
  }

  bytes(pointer: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, length);
  }

  floats(pointer: Pointer, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  ints(pointer: Pointer, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, pointer, length);
  }

  /**
   * A block of at least `bytes` whose contents last until the next call with the same name. Grows to the largest
   * size asked for and is kept.
   */
  scratch(name: string, bytes: number): Pointer {
    const held = this.#scratch.get(name);
    if (held !== undefined && held.bytes >= bytes) return held.pointer;
    if (held !== undefined) {
      this.#scratch.delete(name);
      this.free(held.pointer);
    }
    const size = Math.ceil(bytes / 65536) * 65536;
    const pointer = this.allocate(size, `scratch space for ${name}`);
    this.#scratch.set(name, { pointer, bytes: size });
    return pointer;
  }
}

/** Float32 data in WASM memory. */
export interface WasmArray {
  readonly pointer: Pointer;
  /** Elements. */
  readonly length: number;
}
