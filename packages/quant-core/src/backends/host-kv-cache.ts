import type { KvCacheShape } from "../ops/kernels.js";

/** A key-value cache in typed arrays: `keys[layer]` and `values[layer]` are `[kvHeads, capacity, headDim]`. */
export interface HostKvCache extends KvCacheShape {
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

export function createHostKvCache(shape: KvCacheShape): HostKvCache {
  const make = () =>
    Array.from(
      { length: shape.layers },
      () => new Float32Array(shape.kvHeads * shape.capacity * shape.headDim),
    );
  return { ...shape, keys: make(), values: make() };
}
