import type { AttentionSegment } from "../../ops/kernels.js";
import type { HostKvCache } from "../host-kv-cache.js";

const { exp } = Math;

/** One query row against `count` keys and values that lie `stride` elements apart; softmax in double precision. */
function attend(
  q: Float32Array,
  qBase: number,
  keys: Float32Array,
  values: Float32Array,
  base: number,
  stride: number,
  count: number,
  headDim: number,
  scale: number,
  out: Float32Array,
): void {
  const scores = new Float64Array(count);
  let largest = -Infinity;
  for (let j = 0; j < count; j++) {
    let dot = 0;
    for (let i = 0; i < headDim; i++) dot += q[qBase + i]! * keys[base + j * stride + i]!;
    scores[j] = dot * scale;
    if (scores[j]! > largest) largest = scores[j]!;
  }
  let total = 0;
  for (let j = 0; j < count; j++) {
    scores[j] = exp(scores[j]! - largest);
    total += scores[j]!;
  }
  for (let i = 0; i < headDim; i++) {
    let sum = 0;
    for (let j = 0; j < count; j++) sum += scores[j]! * values[base + j * stride + i]!;
    out[qBase + i] = sum / total;
  }
}

export function cachedAttention(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  segments: readonly AttentionSegment<HostKvCache>[],
  layer: number,
  heads: number,
  scale: number,
  window: number,
  out: Float32Array,
): void {
  for (const { cache, start, count, position } of segments) {
    const { kvHeads, headDim, capacity } = cache;
    const keys = cache.keys[layer]!;
    const values = cache.values[layer]!;
    for (let r = 0; r < count; r++) {
      for (let head = 0; head < kvHeads; head++) {
        const from = ((start + r) * kvHeads + head) * headDim;
        const to = (head * capacity + position + r) * headDim;
        keys.set(k.subarray(from, from + headDim), to);
        values.set(v.subarray(from, from + headDim), to);
      }
    }
    for (let r = 0; r < count; r++) {
      const seen = Math.min(position + r + 1, window);
      const first = position + r + 1 - seen;
      for (let head = 0; head < heads; head++) {
        const base = (Math.floor((head * kvHeads) / heads) * capacity + first) * headDim;
        const qBase = ((start + r) * heads + head) * headDim;
        attend(q, qBase, keys, values, base, headDim, seen, headDim, scale, out);
      }
    }
  }
}

export function blockAttention(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  offsets: Int32Array,
  heads: number,
  headDim: number,
  scale: number,
  out: Float32Array,
): void {
  const stride = heads * headDim;
  for (let b = 0; b + 1 < offsets.length; b++) {
    const first = offsets[b]!;
    const count = offsets[b + 1]! - first;
    for (let r = first; r < first + count; r++) {
      for (let head = 0; head < heads; head++) {
        const column = head * headDim;
        attend(q, r * stride + column, k, v, first * stride + column, stride, count, headDim, scale, out);
      }
    }
  }
}
