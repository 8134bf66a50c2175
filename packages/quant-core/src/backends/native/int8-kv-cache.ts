import { BackendError } from "../../errors.js";
import type { KvCacheShape } from "../../ops/kernels.js";
import { LARGE_BYTES } from "../host-device.js";
import { copyHeads, divideKvCache, type HostKvCache } from "../host-kv-cache.js";
import type { NativeAddon } from "./addon.js";

/** Keys and values as int8 with a scale per 32 channels, in a layout of the addon's own (native/int8_cache.h). */
export type Int8KvCache = HostKvCache<Uint8Array>;

export function isInt8KvCache(cache: HostKvCache | Int8KvCache): cache is Int8KvCache {
  return cache.memory instanceof Uint8Array;
}

/** @throws BackendError if it does not fit into one array */
export function createInt8KvCache(addon: NativeAddon, shape: KvCacheShape): Int8KvCache {
  const { capacity } = shape;
  const bytes = int8KvCacheBytes(addon, shape);
  try {
    return divideKvCache(
      shape,
      new Uint8Array(
        (bytes < LARGE_BYTES ? null : addon.allocateMemory(bytes, false)) ?? new ArrayBuffer(bytes),
      ),
    );
  } catch (error) {
    throw new BackendError(
      `a key-value cache of ${capacity} positions takes ${bytes} bytes, which the system refuses; lower the capacity`,
      { cause: error },
    );
  }
}

export function int8KvCacheBytes(
  addon: NativeAddon,
  { layers, kvHeads, headDim, capacity }: KvCacheShape,
): number {
  return 2 * layers * kvHeads * addon.int8CacheBytes(headDim, capacity);
}

/** Moves the positions from `count` on to the front. */
export function dropFromInt8KvCache(addon: NativeAddon, cache: Int8KvCache, count: number): void {
  const { kvHeads, headDim, capacity } = cache;
  cache.keys.forEach((keys, layer) => {
    addon.dropInt8Cached(keys, cache.values[layer]!, kvHeads, headDim, capacity, count);
  });
}

/** Copies the first `count` positions, with what else is in the last one's block: nobody looks at it before it is replaced. */
export function copyInt8KvCache(addon: NativeAddon, from: Int8KvCache, to: Int8KvCache, count: number): void {
  copyHeads(from, to, (positions) => addon.int8CacheBytes(from.headDim, positions), count);
}
