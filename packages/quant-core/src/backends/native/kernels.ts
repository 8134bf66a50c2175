import { FormatError, UnsupportedError } from "../../errors.js";
import type {
  Activation,
  AttentionSegment,
  DecoderLayerParameters,
  FusedKernels,
  Kernels,
} from "../../ops/kernels.js";
import { GGML_TYPES, elementCount, weightByteLength, type GgmlType, type Weight } from "../../weight.js";
import type { HostKvCache } from "../host-kv-cache.js";
import type { LayerArguments, NativeAddon, WeightHandle } from "./addon.js";
import { decoderLayers, decoderStack } from "./decoder-stack.js";
import type { Int8KvCache } from "./int8-kv-cache.js";

/** A weight that the addon's kernels use in place. */
export interface NativeWeight {
  readonly handle: WeightHandle;
  /** First dimension by the product of all others. */
  readonly rows: number;
  readonly columns: number;
}

/** Float32, or int8 where the model runs in precision `fast`. */
export type NativeKvCache = HostKvCache | Int8KvCache;

const COMPUTABLE: readonly GgmlType[] = [
  "F32",
  "F16",
  "BF16",
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q5_0",
  "Q5_1",
  "Q2_K",
  "Q3_K",
  "Q4_K",
  "Q5_K",
  "Q6_K",
  "IQ4_NL",
  "IQ4_XS",
  "MXFP4",
  "TQ1_0",
  "TQ2_0",
];

const ACTIVATION_CODES: Record<Activation, number> = { none: 0, gelu: 1, silu: 2 };

/**
 * @throws UnsupportedError for a type without kernels
 * @throws FormatError if the bytes are fewer than the shape asks for, or a row is not a whole number of blocks
 */
export function prepareWeight(addon: NativeAddon, weight: Weight): NativeWeight {
  if (!COMPUTABLE.includes(weight.dtype)) {
    throw new UnsupportedError(
      `${weight.name}: there are no kernels for ${weight.dtype}; requantize it to one of ${COMPUTABLE.join(", ")}`,
    );
  }
  const rows = weight.shape[0] ?? 1;
  const columns = elementCount(weight.shape.slice(1));
  const expected = weightByteLength(weight.dtype, [rows, columns], weight.name);
  if (weight.bytes.length < expected) {
    throw new FormatError(
      `${weight.name}: ${weight.bytes.length} bytes, but ${weight.dtype} [${weight.shape.join(", ")}] has ${expected}`,
    );
  }
  return {
    handle: addon.prepareWeight(GGML_TYPES[weight.dtype].id, rows, columns, weight.bytes),
    rows,
    columns,
  };
}

export function releaseWeight(addon: NativeAddon, weight: NativeWeight): void {
  addon.releaseWeight(weight.handle);
}

/**
 * The kernels of the addon. A call throws BackendError when a weight's file was cut while mapped, whose results and those of
 * calls before it since the cut are not to be used, and when the system has no memory for what it works in.
 */
export function createNativeKernels(addon: NativeAddon): Kernels<Float32Array, NativeWeight, NativeKvCache> {
  return {
    linear(x, rows, weights, biases, outs, precision) {
      const handles = weights.map((weight) => weight.handle);
      addon.linear(x, rows, handles, biases, outs, precision === "fast");
    },
    linearArgmax(x, rows, weight, out, precision) {
      addon.linearArgmax(x, rows, weight.handle, out, precision === "fast");
    },
    embedding(ids, weight, out) {
      addon.embedding(ids, weight.handle, out);
    },
    rmsNorm(x, gamma, eps, dim, out) {
      addon.rmsNorm(x, null, gamma, eps, dim, null, out);
    },
    addRmsNorm(x, residual, gamma, eps, dim, sum, out) {
      addon.rmsNorm(x, residual, gamma, eps, dim, sum, out);
    },
    layerNorm(x, gamma, beta, eps, dim, out) {
      addon.layerNorm(x, null, gamma, beta, eps, dim, null, out);
    },
    addLayerNorm(x, residual, gamma, beta, eps, dim, sum, out) {
      addon.layerNorm(x, residual, gamma, beta, eps, dim, sum, out);
    },
    headNormRope(x, gamma, positions, heads, headDim, eps, theta, out) {
      addon.headNormRope(x, gamma, positions, heads, headDim, eps, theta, out);
    },
    cachedAttention(q, k, v, segments, layer, heads, scale, window, out) {
      const shape = segments[0]?.cache;
      if (shape === undefined) return;
      const { kvHeads, headDim } = shape;
      const { keys, values, numbers } = cachesOf(segments, layer);
      addon.cachedAttention(q, k, v, keys, values, numbers, heads, kvHeads, headDim, scale, window, out);
    },
    blockAttention(q, k, v, offsets, heads, headDim, scale, out) {
      addon.blockAttention(q, k, v, offsets, heads, headDim, scale, out);
    },
    add(a, b, out) {
      addon.add(a, b, out);
    },
    siluMul(gate, up, out) {
      addon.siluMul(gate, up, out);
    },
    gelu(x, out) {
      addon.gelu(x, out);
    },
    conv2d(x, geometry, weight, bias, out, precision) {
      const { batch, height, width, inChannels, outChannels, kernel, stride, padding, activation, layout } =
        geometry;
      const numbers = Int32Array.of(
        ...[batch, height, width, inChannels, outChannels, ...kernel, ...stride, ...padding],
        ACTIVATION_CODES[activation],
        layout === "nhwc" ? 1 : 0,
      );
      addon.conv2d(x, numbers, weight.handle, bias, out, precision === "fast");
    },
    causalConv1d(x, geometry, weight, bias, history, residual, out, precision) {
      const { rows, inChannels, kernel, dilation } = geometry;
      const activation = ACTIVATION_CODES[geometry.activation];
      addon.causalConv1d(
        x,
        rows,
        inChannels,
        kernel,
        dilation,
        activation,
        weight.handle,
        bias,
        history,
        residual,
        out,
        precision === "fast",
      );
    },
    depthwiseCausalConv1d(x, rows, channels, kernel, weight, bias, history, out) {
      addon.depthwiseCausalConv1d(x, rows, channels, kernel, weight, bias, history, out);
    },
    snake(x, alpha, inverseBeta, channels, out) {
      addon.snake(x, alpha, inverseBeta, channels, out);
    },
    addScaled(x, y, scale, channels, out) {
      addon.addScaled(x, y, scale, channels, out);
    },
  };
}

/** The addon's kernels that do the work of several. */
export function createFusedKernels(
  addon: NativeAddon,
): FusedKernels<Float32Array, NativeWeight, NativeKvCache> {
  return {
    decoderLayer(x, normed, layer, nextNorm, positions, segments, index, sum, out) {
      const given = layerArguments(layer, nextNorm, positions, segments, index);
      addon.decoderLayer(x, normed, ...given, sum, out);
    },
    decoderKeys(normed, layer, positions, segments, index) {
      const given = layerArguments(layer, layer.mlpNorm, positions, segments, index);
      addon.decoderKeys(normed, ...given);
    },
    decoderStack: (...call) => decoderStack(addon, ...call),
    decoderLayers: (...call) => decoderLayers(addon, ...call),
  };
}

function layerArguments(
  layer: DecoderLayerParameters<Float32Array, NativeWeight>,
  nextNorm: Float32Array,
  positions: Int32Array,
  segments: readonly AttentionSegment<NativeKvCache>[],
  index: number,
): LayerArguments {
  const { query, key, value, output, gate, up, down, queryNorm, keyNorm, mlpNorm } = layer;
  const { keys, values, numbers } = cachesOf(segments, index);
  return [
    [query, key, value, output, gate, up, down].map(({ handle }) => handle),
    [queryNorm, keyNorm, mlpNorm, nextNorm],
    keys,
    values,
    numbers,
    positions,
    layer.heads,
    layer.kvHeads,
    layer.headDim,
    layer.eps,
    layer.theta,
    layer.scale,
    layer.precision === "fast",
  ];
}

/** What the addon takes of segments: their caches' arrays of a layer, and start, count, position, capacity of each. */
function cachesOf(segments: readonly AttentionSegment<NativeKvCache>[], layer: number) {
  const numbers = new Int32Array(segments.length * 4);
  segments.forEach(({ cache, start, count, position }, i) => {
    numbers.set([start, count, position, cache.capacity], i * 4);
  });
  return {
    keys: segments.map(({ cache }) => cache.keys[layer]!),
    values: segments.map(({ cache }) => cache.values[layer]!),
    numbers,
  };
}
