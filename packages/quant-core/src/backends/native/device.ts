import type { Device } from "../../ops/kernels.js";
import { hostDevice } from "../host-device.js";
import { createHostKvCache, type HostKvCache } from "../host-kv-cache.js";
import type { NativeAddon } from "./addon.js";
import { createNativeKernels, prepareWeight, releaseWeight, type NativeWeight } from "./kernels.js";

/** The `native` backend: tensors are typed arrays, which the C++ addon computes on in place. */
export function createNativeDevice(addon: NativeAddon): Device<Float32Array, NativeWeight, HostKvCache> {
  return {
    ...hostDevice("voxquant-native"),
    kernels: createNativeKernels(addon),
    prepareWeight: (weight) => prepareWeight(addon, weight),
    releaseWeight: (weight) => releaseWeight(addon, weight),
    createKvCache: createHostKvCache,
    releaseKvCache: () => undefined,
  };
}
