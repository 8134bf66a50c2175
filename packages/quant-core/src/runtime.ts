import { engine, tidy, type Tensor2D, type TensorContainer } from "@tensorflow/tfjs-core";
import { ConfigError } from "./errors.js";
import type { Device, KvCacheShape, Precision } from "./ops/kernels.js";
import { registerOps } from "./ops/register.js";

/** A parameter vector in a device's memory. */
export interface Vector {
  readonly data: unknown;
  readonly length: number;
}

/** Keys and values of one sequence in a device's memory. */
export interface KvCache {
  readonly data: unknown;
  readonly shape: KvCacheShape;
}

/**
 * A device in use by one model: what it uploaded is released together. Ops are plain functions on tfjs tensors; they
 * work inside `run`, which makes the device's backend the active one.
 */
export class Runtime {
  readonly device: Device;
  /** Whether activations may be rounded to be fast; layers take it over when they are made. */
  readonly precision: Precision;
  readonly #vectors = new Set<unknown>();
  readonly #weights = new Set<unknown>();
  /** Prepared weights by the bytes they came from: a tied embedding and head share one copy. */
  readonly #preparedFrom = new WeakMap<Uint8Array, unknown>();
  readonly #caches = new Set<KvCache>();

  constructor(device: Device, precision: Precision) {
    registerOps(device);
    this.device = device;
    this.precision = precision;
  }

  /**
   * Sees the input `[rows, in]` of every linear layer, by the weight's name, while it is set; for statistics such as an
   * importance matrix.
   */
  observe: ((name: string, x: Tensor2D) => void) | null = null;

  /**
   * Runs ops on this device and frees all tensors made in `body` but the returned ones. Synchronous: between two
   * calls another model may make another backend the active one.
   */
  run<T extends TensorContainer>(body: () => T): T {
    if (engine().backendName !== this.device.name) {
      // Backends are initialised when their device is made, so the switch is complete when the call returns.
      void engine().setBackend(this.device.name);
    }
    return tidy(body);
  }

  uploadVector(values: Float32Array): Vector {
    const data = this.device.uploadVector(values);
    this.#vectors.add(data);
    return { data, length: values.length };
  }

  /** For LinearLayer and Embedding. */
  prepareWeight(weight: Parameters<Device["prepareWeight"]>[0]): unknown {
    let prepared = this.#preparedFrom.get(weight.bytes);
    if (prepared === undefined) {
      prepared = this.device.prepareWeight(weight);
      this.#preparedFrom.set(weight.bytes, prepared);
      this.#weights.add(prepared);
    }
    return prepared;
  }

  createKvCache(shape: KvCacheShape): KvCache {
    if (!Number.isSafeInteger(shape.capacity) || shape.capacity < 1) {
      throw new ConfigError(`a key-value cache needs a positive capacity, found ${shape.capacity}`);
    }
    const cache = { data: this.device.createKvCache(shape, this.precision), shape };
    this.#caches.add(cache);
    return cache;
  }

  releaseKvCache(cache: KvCache): void {
    if (this.#caches.delete(cache)) this.device.releaseKvCache(cache.data);
  }

  dispose(): void {
    for (const vector of this.#vectors) this.device.releaseVector(vector);
    for (const weight of this.#weights) this.device.releaseWeight(weight);
    for (const cache of this.#caches) this.device.releaseKvCache(cache.data);
    this.#vectors.clear();
    this.#weights.clear();
    this.#caches.clear();
  }
}
