import type { Device, Kernels } from "../../ops/kernels.js";
import type { Weight } from "../../weight.js";
import { hostDevice } from "../host-device.js";
import {
  copyHostKvCache,
  createHostKvCache,
  dropFromHostKvCache,
  floatKvCacheBytes,
  type HostKvCache,
} from "../host-kv-cache.js";
import { addScaled, gelu, siluMul, snake } from "./activations.js";
import { blockAttention, cachedAttention } from "./attention.js";
import { causalConv1d, depthwiseCausalConv1d } from "./causal-conv.js";
import { conv2d } from "./conv.js";
import { embedding, linear, linearArgmax } from "./linear.js";
import { add, headNormRope, layerNorm, rmsNorm } from "./norms.js";

/** Plain TypeScript kernels, written to be read: the oracle of the fast backends. */
export function createReferenceKernels(): Kernels<Float32Array, Weight, HostKvCache> {
  return {
    linear(x, rows, weights, biases, outs, precision) {
      weights.forEach((weight, i) => linear(x, rows, weight, biases[i] ?? null, outs[i]!, precision));
    },
    linearArgmax,
    embedding,
    rmsNorm,
    addRmsNorm(x, residual, gamma, eps, dim, sum, out) {
      add(x, residual, sum);
      rmsNorm(sum, gamma, eps, dim, out);
    },
    layerNorm,
    addLayerNorm(x, residual, gamma, beta, eps, dim, sum, out) {
      add(x, residual, sum);
      layerNorm(sum, gamma, beta, eps, dim, out);
    },
    headNormRope,
    cachedAttention,
    blockAttention,
    add,
    siluMul,
    gelu,
    conv2d,
    causalConv1d,
    depthwiseCausalConv1d,
    snake,
    addScaled,
  };
}

/** The `cpu` backend: reference kernels on typed arrays. Needs nothing, serves tests and machines without SIMD. */
export function createReferenceDevice(): Device<Float32Array, Weight, HostKvCache> {
  return {
    ...hostDevice("voxquant-cpu"),
    kernels: createReferenceKernels(),
    prepareWeight: (weight) => weight,
    releaseWeight: () => undefined,
    createKvCache: createHostKvCache,
    kvCacheBytes: floatKvCacheBytes,
    releaseKvCache: () => undefined,
    dropCached: dropFromHostKvCache,
    copyCached: copyHostKvCache,
  };
}
