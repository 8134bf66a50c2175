import type { Device } from "../../ops/kernels.js";
import { hostDevice } from "../host-device.js";
import {
  copyHostKvCache,
  createHostKvCache,
  dropFromHostKvCache,
  floatKvCacheBytes,
  type HostKvCache,
} from "../host-kv-cache.js";
import type { NativeAddon } from "./addon.js";
import {
  copyInt8KvCache,
  createInt8KvCache,
  dropFromInt8KvCache,
  int8KvCacheBytes,
  isInt8KvCache,
} from "./int8-kv-cache.js";
import {
  createFusedKernels,
  createNativeKernels,
  prepareWeight,
  releaseWeight,
  type NativeKvCache,
  type NativeWeight,
} from "./kernels.js";

/** The `native` backend: tensors are typed arrays, which the C++ addon computes on in place. */
export function createNativeDevice(addon: NativeAddon): Device<Float32Array, NativeWeight, NativeKvCache> {
  return {
    ...hostDevice("voxquant-native", {
      allocate: (bytes) => addon.allocateMemory(bytes, true),
      free: (array) => addon.freeMemory(array),
    }),
    kernels: createNativeKernels(addon),
    fused: createFusedKernels(addon),
    prepareWeight: (weight) => prepareWeight(addon, weight),
    releaseWeight: (weight) => releaseWeight(addon, weight),
    createKvCache: (shape, precision) =>
      precision === "fast" ? createInt8KvCache(addon, shape) : createHostKvCache(shape),
    kvCacheBytes: (shape, precision) =>
      precision === "fast" ? int8KvCacheBytes(addon, shape) : floatKvCacheBytes(shape),
    releaseKvCache: (cache) => addon.freeMemory(cache.memory),
    dropCached: (cache, count) =>
      isInt8KvCache(cache) ? dropFromInt8KvCache(addon, cache, count) : dropFromHostKvCache(cache, count),
    copyCached: (from, to, count) => {
      if (isInt8KvCache(from) && isInt8KvCache(to)) copyInt8KvCache(addon, from, to, count);
      else copyHostKvCache(from as HostKvCache, to as HostKvCache, count);
    },
  };
}
