import type { KvCacheShape } from "../ops/kernels.js";

/** A key-value cache in typed arrays: `keys[layer]` and `values[layer]` are `[kvHeads, capacity, headDim]`. */
export interface HostKvCache<A extends Float32Array | Uint8Array = Float32Array> extends KvCacheShape {
  readonly keys: readonly A[];
  readonly values: readonly A[];
  /** What all of them are views of: one large block, which goes back to the system as a whole. */
  readonly memory: A;
}

export function createHostKvCache(shape: KvCacheShape): HostKvCache {
  return divideKvCache(shape, new Float32Array(floatKvCacheBytes(shape) / Float32Array.BYTES_PER_ELEMENT));
}

/** Bytes of a cache in float32. */
export function floatKvCacheBytes({ layers, kvHeads, headDim, capacity }: KvCacheShape): number {
  return 2 * layers * kvHeads * headDim * capacity * Float32Array.BYTES_PER_ELEMENT;
}

/** A cache in this memory: keys, values, keys, values… of its layers, equally long. */
export function divideKvCache<A extends Float32Array | Uint8Array>(
  shape: KvCacheShape,
  memory: A,
): HostKvCache<A> {
  const { layers } = shape;
  const size = memory.length / (2 * layers);
  const part = (index: number) => memory.subarray(index * size, (index + 1) * size) as A;
  return {
    ...shape,
    keys: Array.from({ length: layers }, (_, layer) => part(2 * layer)),
    values: Array.from({ length: layers }, (_, layer) => part(2 * layer + 1)),
    memory,
  };
}

/** Moves the positions from `count` on to the front. */
export function dropFromHostKvCache(cache: HostKvCache, count: number): void {
  const { kvHeads, capacity, headDim } = cache;
  const head = capacity * headDim;
  for (const part of [...cache.keys, ...cache.values]) {
    for (let h = 0; h < kvHeads; h++) part.copyWithin(h * head, h * head + count * headDim, (h + 1) * head);
  }
}

/** Copies the first `count` positions. */
export function copyHostKvCache(from: HostKvCache, to: HostKvCache, count: number): void {
  copyHeads(from, to, (positions) => positions * from.headDim, count);
}

/**
 * Copies the first `count` positions of all heads.
 * @param lengthOf elements that so many first positions of a head take
 */
export function copyHeads<A extends Float32Array | Uint8Array>(
  from: HostKvCache<A>,
  to: HostKvCache<A>,
  lengthOf: (positions: number) => number,
  count: number,
): void {
  const [length, fromHead, toHead] = [count, from.capacity, to.capacity].map(lengthOf) as [
    number,
    number,
    number,
  ];
  // Heads lie equally far apart in the whole block.
  const heads = 2 * from.layers * from.kvHeads;
  for (let h = 0; h < heads; h++) {
    to.memory.set(from.memory.subarray(h * fromHead, h * fromHead + length), h * toHead);
  }
}
