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

/** The last rows of a signal `[rows, channels]` in a device's memory: what a causal convolution carries between pieces. */
export interface StreamState {
  readonly data: unknown;
  readonly rows: number;
  readonly channels: number;
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
  readonly #streams = new Set<StreamState>();

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

  /** Bytes that a cache of this shape takes here. */
  kvCacheBytes(shape: KvCacheShape): number {
    return this.device.kvCacheBytes(shape, this.precision);
  }

  releaseKvCache(cache: KvCache): void {
    if (this.#caches.delete(cache)) this.device.releaseKvCache(cache.data);
  }

  /**
   * Forgets the first `count` positions of a cache: what was at position p is at p − count now, so that a stream with
   * limited attention goes on in a finite cache.
   * @throws ConfigError if the cache has fewer positions
   */
  dropCached(cache: KvCache, count: number): void {
    const { capacity } = cache.shape;
    if (!Number.isInteger(count) || count < 0 || count > capacity) {
      throw new ConfigError(`${count} positions cannot be dropped from a cache of ${capacity}`);
    }
    if (count > 0) this.device.dropCached(cache.data, count);
  }

  /**
   * Copies the first `count` positions of a cache to the front of another, as if the same tokens had been seen there. What
   * `to` has behind them is undefined.
   * @throws ConfigError if the caches belong to different decoders or one has fewer positions
   */
  copyCached(from: KvCache, to: KvCache, count: number): void {
    const { layers, kvHeads, headDim, capacity } = from.shape;
    if (layers !== to.shape.layers || kvHeads !== to.shape.kvHeads || headDim !== to.shape.headDim) {
      throw new ConfigError(
        `a key-value cache of [${layers}, ${kvHeads}, ${headDim}] (layers, heads, head size) cannot be copied to one of ` +
          `[${to.shape.layers}, ${to.shape.kvHeads}, ${to.shape.headDim}]`,
      );
    }
    const most = Math.min(capacity, to.shape.capacity);
    if (!Number.isInteger(count) || count < 0 || count > most) {
      throw new ConfigError(`${count} positions cannot be copied between caches of ${most} and more`);
    }
    if (count > 0) this.device.copyCached(from.data, to.data, count);
  }

  /**
   * Gives memory back that is kept for further activations: between two stages of a model whose activations differ, or
   * after the last.
   */
  releaseUnused(): void {
    this.device.releaseUnused?.();
  }

  /** The state of a stream that has seen nothing: zeros. No rows is a state too, that of a kernel of one tap. */
  createStreamState(rows: number, channels: number): StreamState {
    if (!Number.isSafeInteger(rows * channels) || rows < 0 || channels < 1) {
      throw new ConfigError(`a stream state of [${rows}, ${channels}] has no size`);
    }
    const state = { data: this.device.uploadVector(new Float32Array(rows * channels)), rows, channels };
    this.#streams.add(state);
    return state;
  }

  /** As if the rows of the tensor `[rows, channels]` had been seen last, or (null) nothing yet. */
  setStreamState(state: StreamState, values: Tensor2D | null): void {
    if (values !== null && (values.shape[0] !== state.rows || values.shape[1] !== state.channels)) {
      throw new ConfigError(
        `a stream state of [${state.rows}, ${state.channels}] cannot take [${values.shape.join(", ")}]`,
      );
    }
    this.device.assignVector(state.data, values === null ? null : this.device.read(values));
  }

  releaseStreamState(state: StreamState): void {
    if (this.#streams.delete(state)) this.device.releaseVector(state.data);
  }

  dispose(): void {
    for (const vector of this.#vectors) this.device.releaseVector(vector);
    for (const weight of this.#weights) this.device.releaseWeight(weight);
    for (const cache of this.#caches) this.device.releaseKvCache(cache.data);
    for (const state of this.#streams) this.device.releaseVector(state.data);
    this.#vectors.clear();
    this.#weights.clear();
    this.#caches.clear();
    this.#streams.clear();
    this.releaseUnused();
  }
}
