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
import type { Device } from "../ops/kernels.js";

/**
 * A tfjs backend whose tensors are Float32Arrays on the JavaScript heap: tfjs's CPU backend, with the arrays of disposed
 * activations kept for the next op of the same size. A model runs the same shapes over and over; without the pool
 * the garbage collector sees every activation of every layer.
 */
export class HostBackend extends MathBackendCPU {
  readonly #pool = new Map<number, Float32Array[]>();
  /** Memory that only this backend has seen: only this may be used again. */
  readonly #owned = new WeakSet<ArrayBufferLike>();
  #pooledBytes = 0;

  constructor() {
    super();
    // tfjs recommends its native package on the first write in Node; a library must not print.
    (this as unknown as { firstUse: boolean }).firstUse = false;
  }

  /** A float32 tensor with uninitialised content. */
  allocate(shape: number[]): { tensor: TensorInfo; data: Float32Array } {
    const size = shape.reduce((product, dim) => product * dim, 1);
    let data = this.#pool.get(size)?.pop();
    if (data === undefined) {
      data = new Float32Array(size);
      this.#owned.add(data.buffer);
    } else {
      this.#pooledBytes -= data.byteLength;
    }
    return { tensor: { dataId: super.write(data, shape, "float32"), shape, dtype: "float32" }, data };
  }

  /** The values of a tensor, for the duration of a kernel. */
  values(tensor: TensorInfo): Float32Array {
    return this.data.get(tensor.dataId).values as Float32Array;
  }

  override write(values: backend_util.BackendValues, shape: number[], dtype: DataType): DataId {
    // tfjs's slices are views of their source, which must not be pooled under them: they get a copy.
    const view = values instanceof Float32Array && this.#owned.has(values.buffer);
    return super.write(view ? values.slice() : values, shape, dtype);
  }

  override readSync(dataId: DataId) {
    const values = super.readSync(dataId);
    if (values instanceof Float32Array) this.#owned.delete(values.buffer); // the caller may keep it
    return values;
  }

  override disposeData(dataId: DataId, force = false): boolean {
    const values = this.data.has(dataId) ? this.data.get(dataId).values : undefined;
    const disposed = super.disposeData(dataId, force);
    if (
      disposed &&
      values instanceof Float32Array &&
      this.#owned.has(values.buffer) &&
      !this.data.has(dataId)
    ) {
      if (this.#pooledBytes + values.byteLength > POOL_LIMIT) this.#emptyPool();
      const sameSize = this.#pool.get(values.length);
      if (sameSize === undefined) this.#pool.set(values.length, [values]);
      else sameSize.push(values);
      this.#pooledBytes += values.byteLength;
    }
    return disposed;
  }

  /** Lets go of all pooled arrays, as after a long recording whose sizes will not come again. */
  #emptyPool(): void {
    this.#pool.clear();
    this.#pooledBytes = 0;
  }
}

/** Keeps the activations of one layer, not of every length that ever came by. */
const POOL_LIMIT = 64 * 2 ** 20;

/** Registers (once) a HostBackend under this tfjs name, with tfjs's own CPU kernels, and returns it. */
export function hostBackend(name: string): HostBackend {
  const existing = findBackend(name) as HostBackend | null;
  if (existing !== null) return existing;
  for (const kernel of getKernelsForBackend("cpu")) registerKernel({ ...kernel, backendName: name });
  const backend = new HostBackend();
  registerBackend(name, () => backend, 0);
  void engine().findBackend(name);
  return backend;
}

/** The parts of a Device that all typed-array backends share. */
export function hostDevice(
  name: string,
): Pick<Device<Float32Array>, "name" | "uploadVector" | "releaseVector" | "read" | "allocate"> {
  const backend = hostBackend(name);
  return {
    name,
    uploadVector: (values) => values,
    releaseVector: () => undefined,
    read: (tensor) => backend.values(tensor),
    allocate: (shape) => backend.allocate(shape),
  };
}
