import {
  engine,
  findBackend,
  getKernelsForBackend,
  registerBackend,
  registerKernel,
  type backend_util,
  type DataId,
  type DataType,
  type TensorInfo,
} from "@tensorflow/tfjs-core";
import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu";
import { BackendError } from "../errors.js";
import type { Device } from "../ops/kernels.js";

/** Memory of large arrays that does not wait for the garbage collector. */
export interface ArrayMemory {
  /** Zeros, or null where there are none of this kind. */
  allocate(bytes: number): ArrayBuffer | null;
  /** Gives an array's memory back at once, of whatever kind it is. */
  free(array: Float32Array | Uint8Array): void;
}

/** From this size on an `ArrayMemory` is asked. */
export const LARGE_BYTES = 2 ** 20;

/**
 * A tfjs backend whose tensors are Float32Arrays on the JavaScript heap: tfjs's CPU backend, with the memory of disposed
 * activations kept for the next ones. A model runs the same shapes over and over; without the pool the garbage
 * collector sees every activation of every layer.
 */
export class HostBackend extends MathBackendCPU {
  readonly #pool: BufferPool;

  /** Without `memory` all arrays are the garbage collector's. */
  constructor(memory?: ArrayMemory) {
    super();
    this.#pool = new BufferPool(memory);
    // tfjs recommends its native package on the first write in Node; a library must not print.
    (this as unknown as { firstUse: boolean }).firstUse = false;
  }

  /**
   * A float32 tensor with uninitialised content.
   * @throws BackendError if there is no memory for it
   */
  allocate(shape: number[]): { tensor: TensorInfo; data: Float32Array } {
    const size = shape.reduce((product, dim) => product * dim, 1);
    const data = this.#pool.take(size);
    return { tensor: { dataId: super.write(data, shape, "float32"), shape, dtype: "float32" }, data };
  }

  /** The values of a tensor, for the duration of a kernel. */
  values(tensor: TensorInfo): Float32Array {
    return this.data.get(tensor.dataId).values as Float32Array;
  }

  /** Gives the memory of disposed activations back. */
  releaseUnused(): void {
    this.#pool.release(() => true);
  }

  override write(values: backend_util.BackendValues, shape: number[], dtype: DataType): DataId {
    // tfjs's slices are views of their source, which must not be pooled under them: they get a copy.
    const view = values instanceof Float32Array && this.#pool.owns(values);
    return super.write(view ? values.slice() : values, shape, dtype);
  }

  override readSync(dataId: DataId) {
    const values = super.readSync(dataId);
    if (values instanceof Float32Array) this.#pool.disown(values); // the caller may keep it
    return values;
  }

  override disposeData(dataId: DataId, force = false): boolean {
    const values = this.data.has(dataId) ? this.data.get(dataId).values : undefined;
    const disposed = super.disposeData(dataId, force);
    if (disposed && values instanceof Float32Array && !this.data.has(dataId)) this.#pool.give(values);
    return disposed;
  }
}

/**
 * Memory of activations between two uses. A buffer serves any array that is not much smaller, so that the stages of a
 * model follow each other in the same memory; what a later stage does not use goes back to the system.
 */
class BufferPool {
  /** Free buffers, smallest first; `since`: the take before which it came back. */
  readonly #free: { readonly buffer: ArrayBuffer; readonly since: number }[] = [];
  /** Memory that only the backend has seen: only this may be used again. */
  readonly #owned = new WeakSet<ArrayBufferLike>();
  readonly #memory: ArrayMemory | undefined;
  #takes = 0;

  constructor(memory: ArrayMemory | undefined) {
    this.#memory = memory;
  }

  /** An array of this length with any content. */
  take(length: number): Float32Array {
    this.#takes++;
    if (this.#takes % MOST_IDLE === 0) {
      this.release((bytes, idle) => idle >= (bytes <= MEDIUM_BYTES ? MEDIUM_IDLE : MOST_IDLE));
    }
    const bytes = length * Float32Array.BYTES_PER_ELEMENT;
    const at = this.#free.findIndex(({ buffer }) => buffer.byteLength >= bytes);
    const found = this.#free[at]?.buffer;
    if (found !== undefined && found.byteLength <= Math.max(bytes * MOST_SLACK, SMALL_BYTES)) {
      this.#free.splice(at, 1);
      return new Float32Array(found, 0, length);
    }
    const buffer = this.#create(bytes);
    this.#owned.add(buffer);
    return new Float32Array(buffer);
  }

  #create(bytes: number): ArrayBuffer {
    const create = () =>
      (bytes < LARGE_BYTES ? null : this.#memory?.allocate(bytes)) ?? new ArrayBuffer(bytes);
    try {
      return create();
    } catch {
      this.release(() => true);
    }
    try {
      return create();
    } catch (cause) {
      throw new BackendError(
        `the system has no memory for a tensor of ${bytes} bytes; use shorter inputs or fewer at a time`,
        { cause },
      );
    }
  }

  owns(array: Float32Array): boolean {
    return this.#owned.has(array.buffer);
  }

  disown(array: Float32Array): void {
    this.#owned.delete(array.buffer);
  }

  /** Takes back an array, if its memory is the pool's. */
  give(array: Float32Array): void {
    if (!this.owns(array)) return;
    const buffer = array.buffer as ArrayBuffer;
    const at = this.#free.findIndex((other) => other.buffer.byteLength >= buffer.byteLength);
    this.#free.splice(at < 0 ? this.#free.length : at, 0, { buffer, since: this.#takes });
  }

  /** Gives back free buffers by their size and the number of takes that they were not of use for. */
  release(which: (bytes: number, idle: number) => boolean): void {
    for (let i = this.#free.length - 1; i >= 0; i--) {
      const { buffer, since } = this.#free[i]!;
      if (!which(buffer.byteLength, this.#takes - since)) continue;
      this.#free.splice(i, 1);
      this.#memory?.free(new Float32Array(buffer));
    }
  }
}

/** Takes after which a free buffer is not waited for any more: some layers' worth. */
const MOST_IDLE = 64;
/**
 * Buffers up to this size wait longer: as long as a codec that decodes some frames now and then, between many steps of
 * a decoder. To get their memory anew from the system would cost it a tenth of its time.
 */
const MEDIUM_BYTES = 2 ** 23;
const MEDIUM_IDLE = 4096;
/** A buffer may be this many times larger than what it serves … */
const MOST_SLACK = 4;
/** … or, where that matters little, of any size up to this. */
const SMALL_BYTES = 2 ** 16;

/** Registers (once) a HostBackend under this tfjs name, with tfjs's own CPU kernels, and returns it. */
export function hostBackend(name: string, memory?: ArrayMemory): HostBackend {
  const existing = findBackend(name) as HostBackend | null;
  if (existing !== null) return existing;
  for (const kernel of getKernelsForBackend("cpu")) registerKernel({ ...kernel, backendName: name });
  const backend = new HostBackend(memory);
  registerBackend(name, () => backend, 0);
  void engine().findBackend(name);
  return backend;
}

/** The parts of a Device that all typed-array backends share. */
export function hostDevice(
  name: string,
  memory?: ArrayMemory,
): Pick<
  Device<Float32Array>,
  "name" | "uploadVector" | "releaseVector" | "assignVector" | "read" | "allocate" | "releaseUnused"
> {
  const backend = hostBackend(name, memory);
  return {
    name,
    uploadVector: (values) => values,
    releaseVector: () => undefined,
    assignVector: (vector, values) => void (values === null ? vector.fill(0) : vector.set(values)),
    read: (tensor) => backend.values(tensor),
    allocate: (shape) => backend.allocate(shape),
    releaseUnused: () => backend.releaseUnused(),
  };
}
