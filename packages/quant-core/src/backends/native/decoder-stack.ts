import type { AttentionSegment, DecoderStackParameters } from "../../ops/kernels.js";
import type { NativeAddon, WeightHandle } from "./addon.js";
import type { NativeKvCache, NativeWeight } from "./kernels.js";

/** `FusedKernels.decoderStack` by one call of the addon. */
export function decoderStack(
  addon: NativeAddon,
  x: Float32Array,
  { layers, norms }: DecoderStackParameters<Float32Array, NativeWeight>,
  positions: Int32Array,
  segments: readonly AttentionSegment<NativeKvCache>[],
  out: Float32Array,
): void {
  const handles: WeightHandle[] = [];
  const gains: (Float32Array | null)[] = [norms[0]!];
  layers.forEach(({ query, key, value, output, gate, up, down, queryNorm, keyNorm, mlpNorm }, i) => {
    for (const { handle } of [query, key, value, output, gate, up, down]) handles.push(handle);
    gains.push(queryNorm, keyNorm, mlpNorm, norms[i + 1]!);
  });
  const numbers = new Int32Array(segments.length * 4);
  segments.forEach(({ cache, start, count, position }, i) => {
    numbers.set([start, count, position, cache.capacity], i * 4);
  });
  const { heads, kvHeads, headDim, eps, theta, scale, precision } = layers[0]!;
  addon.decoderStack(
    x,
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
    out,
  );
}
