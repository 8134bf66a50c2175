import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { KvCache, Vector } from "../runtime.js";
import type { AttentionSegment } from "./kernels.js";
import { requireLastDim, requireSameShape, runOp } from "./run.js";

export interface RopeOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly eps: number;
  /** Base of the inverse frequencies `theta^(-2i/headDim)`. */
  readonly theta: number;
}

/**
 * Per head RMS norm (skipped without gamma), then half-split rotary embedding at `positions` `[rows]`.
 * x `[rows, heads · headDim]`, gamma `[headDim]`.
 */
export function headNormRope(
  x: Tensor2D,
  gamma: Vector | null,
  positions: Int32Array,
  { heads, headDim, eps, theta }: RopeOptions,
): Tensor2D {
  requireLastDim("headNormRope", x, heads * headDim);
  if (positions.length !== x.shape[0]) {
    throw new ConfigError(`headNormRope: ${positions.length} positions for ${x.shape[0]} rows`);
  }
  return runOp<Tensor2D>(
    "VoxHeadNormRope",
    { x },
    { gamma: gamma?.data ?? null, positions, heads, headDim, eps, theta },
  );
}

/** Rows `[start, start + count)` that continue one sequence, whose cache already holds `position` tokens. */
export interface SequenceRows {
  readonly cache: KvCache;
  readonly start: number;
  readonly count: number;
  readonly position: number;
}

/**
 * Causal grouped-query attention of several sequences in one pass: appends k and v to each sequence's cache at `layer`,
 * then each row sees its sequence up to itself. q `[rows, heads · headDim]`, k and v `[rows, kvHeads · headDim]`,
 * result like q.
 * @param window most positions that a row sees, itself included; all without it
 * @throws ConfigError if a cache is too small or the window is not a positive integer
 */
export function cachedAttention(
  q: Tensor2D,
  k: Tensor2D,
  v: Tensor2D,
  sequences: readonly SequenceRows[],
  layer: number,
  heads: number,
  scale: number,
  window?: number,
): Tensor2D {
  requireSameShape("cachedAttention", k, v);
  if (window !== undefined && !(Number.isInteger(window) && window > 0)) {
    throw new ConfigError(`cachedAttention: a window of ${window} is not a positive number of positions`);
  }
  for (const { cache } of sequences) {
    requireLastDim("cachedAttention", q, heads * cache.shape.headDim);
    requireLastDim("cachedAttention", k, cache.shape.kvHeads * cache.shape.headDim);
  }
  const segments = attentionSegments(sequences, q.shape[0]);
  const capacity = Math.max(1, ...sequences.map(({ cache }) => cache.shape.capacity));
  return runOp<Tensor2D>(
    "VoxCachedAttention",
    { q, k, v },
    { segments, layer, heads, scale, window: Math.min(window ?? capacity, capacity) },
  );
}

/** Sequences as the kernels take them. @throws ConfigError if a cache is too small, or rows lie outside `0…rows` */
export function attentionSegments(
  sequences: readonly SequenceRows[],
  rows: number,
): AttentionSegment<unknown>[] {
  return sequences.map(({ cache, start, count, position }) => {
    if (position + count > cache.shape.capacity || start + count > rows) {
      throw new ConfigError(
        `attention: ${count} tokens at position ${position} do not fit a cache of ${cache.shape.capacity}`,
      );
    }
    return { cache: cache.data, start, count, position };
  });
}

/**
 * Bidirectional attention inside blocks of rows: rows `[offsets[b], offsets[b + 1])` see each other and nothing else.
 * q, k, v and the result are `[rows, heads · headDim]`; offsets ascend from 0 to rows.
 */
export function blockAttention(
  q: Tensor2D,
  k: Tensor2D,
  v: Tensor2D,
  offsets: Int32Array,
  heads: number,
  scale: number,
): Tensor2D {
  requireSameShape("blockAttention", q, k);
  requireSameShape("blockAttention", q, v);
  if (
    offsets[0] !== 0 ||
    offsets.at(-1) !== q.shape[0] ||
    offsets.some((at, i) => i > 0 && at < offsets[i - 1]!)
  ) {
    throw new ConfigError(`blockAttention: offsets [${offsets.join(", ")}] do not divide ${q.shape[0]} rows`);
  }
  const headDim = q.shape[1] / heads;
  return runOp<Tensor2D>("VoxBlockAttention", { q, k, v }, { offsets, heads, headDim, scale });
}
