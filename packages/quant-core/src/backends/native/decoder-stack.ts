import type { AttentionSegment, DecoderLayerParameters, DecoderStackParameters } from "../../ops/kernels.js";
import type { LayerArguments, NativeAddon, WeightHandle } from "./addon.js";
import type { NativeKvCache, NativeWeight } from "./kernels.js";

type Stack = DecoderStackParameters<Float32Array, NativeWeight>;
type Segments = readonly AttentionSegment<NativeKvCache>[];

/** `FusedKernels.decoderStack` by one call of the addon. */
export function decoderStack(
  addon: NativeAddon,
  x: Float32Array,
  { layers, norms }: Stack,
  positions: Int32Array,
  segments: Segments,
  out: Float32Array,
): void {
  addon.decoderStack(x, norms[0]!, ...stackArguments(layers, norms.slice(1), positions, segments), out);
}

/** `FusedKernels.decoderLayers` by one call of the addon. */
export function decoderLayers(
  addon: NativeAddon,
  stream: Float32Array,
  normed: Float32Array,
  { layers, norms }: Stack,
  from: number,
  to: number,
  positions: Int32Array,
  segments: Segments,
): void {
  const given = stackArguments(layers.slice(from, to), norms.slice(from + 1, to + 1), positions, segments);
  addon.decoderLayers(stream, normed, from, ...given);
}

/** @param norms after each layer */
function stackArguments(
  layers: readonly DecoderLayerParameters<Float32Array, NativeWeight>[],
  norms: readonly Float32Array[],
  positions: Int32Array,
  segments: Segments,
): LayerArguments {
  const handles: WeightHandle[] = [];
  const gains: (Float32Array | null)[] = [];
  layers.forEach(({ query, key, value, output, gate, up, down, queryNorm, keyNorm, mlpNorm }, i) => {
    for (const { handle } of [query, key, value, output, gate, up, down]) handles.push(handle);
    gains.push(queryNorm, keyNorm, mlpNorm, norms[i]!);
  });
  const numbers = new Int32Array(segments.length * 4);
  segments.forEach(({ cache, start, count, position }, i) => {
    numbers.set([start, count, position, cache.capacity], i * 4);
  });
  const { heads, kvHeads, headDim, eps, theta, scale, precision } = layers[0]!;
  return [
    handles,
    gains,
    segments.map(({ cache }) => cache.memory),
    segments.map(({ cache }) => cache.values[0]!),
    numbers,
    positions,
    heads,
    kvHeads,
    headDim,
    eps,
    theta,
    scale,
    precision === "fast",
  ];
}
