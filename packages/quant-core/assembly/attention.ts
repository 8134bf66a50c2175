/** Attention over a key-value cache and inside blocks, in tiles of up to four queries. */
import { attend } from "./attention-tile";

/** Bytes of scratch for `length` positions. */
export function attentionScratch(length: i32): usize {
  return (<usize>length) << 4;
}

/**
 * One segment of causal grouped-query attention whose keys and values are in the cache already.
 * @param q, out the segment's first row of `[rows, heads · headDim]`
 * @param keys, values `[kvHeads, capacity, headDim]` of the layer
 * @param position cached tokens before the segment: row r sees the last `window` of `position + r + 1` positions
 * @param scratch `attentionScratch(position + rows)` bytes
 * @param from, to the key-value heads `[from, to)` to compute, with their query heads
 */
export function causalAttention(
  q: usize,
  rows: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  keys: usize,
  values: usize,
  capacity: i32,
  position: i32,
  scale: f32,
  window: i32,
  out: usize,
  scratch: usize,
  from: i32,
  to: i32,
): void {
  const headBytes = (<usize>headDim) << 2;
  const rowBytes = headBytes * heads;
  for (let kv = from; kv < to; kv++) {
    const k = keys + headBytes * capacity * kv;
    const v = values + headBytes * capacity * kv;
    // query heads h with floor(h · kvHeads / heads) = kv
    const firstHead = (kv * heads + kvHeads - 1) / kvHeads;
    const group = ((kv + 1) * heads + kvHeads - 1) / kvHeads - firstHead;
    const total = rows * group;
    for (let i = 0; i < total; i += 4) {
      const queries = min(4, total - i);
      const i1 = i + (queries > 1 ? 1 : 0);
      const i2 = queries > 2 ? i + 2 : i;
      const i3 = queries > 3 ? i + 3 : i;
      const at0 = rowBytes * (i / group) + headBytes * (firstHead + (i % group));
      const at1 = rowBytes * (i1 / group) + headBytes * (firstHead + (i1 % group));
      const at2 = rowBytes * (i2 / group) + headBytes * (firstHead + (i2 % group));
      const at3 = rowBytes * (i3 / group) + headBytes * (firstHead + (i3 % group));
      let limits = i32x4.splat(position + i / group + 1);
      limits = i32x4.replace_lane(limits, 1, position + i1 / group + 1);
      limits = i32x4.replace_lane(limits, 2, position + i2 / group + 1);
      limits = i32x4.replace_lane(limits, 3, position + i3 / group + 1);
      const length = position + (i + queries - 1) / group + 1;
      const first = max(0, position + i / group + 1 - window);
      limits = i32x4.sub(limits, i32x4.splat(first));
      attend(
        q + at0,
        q + at1,
        q + at2,
        q + at3,
        queries,
        limits,
        window,
        length - first,
        k + headBytes * first,
        v + headBytes * first,
        headBytes,
        headDim,
        scale,
        out + at0,
        out + at1,
        out + at2,
        out + at3,
        scratch,
      );
    }
  }
}

/**
 * Attention of `rows` rows among themselves; q, k, v, out are the block's first rows of `[…, heads · headDim]`.
 * @param scratch `attentionScratch(rows)` bytes
 * @param from, to the heads `[from, to)` to compute
 */
export function fullAttention(
  q: usize,
  k: usize,
  v: usize,
  rows: i32,
  heads: i32,
  headDim: i32,
  scale: f32,
  out: usize,
  scratch: usize,
  from: i32,
  to: i32,
): void {
  const headBytes = (<usize>headDim) << 2;
  const rowBytes = headBytes * heads;
  const limits = i32x4.splat(rows);
  for (let h = from; h < to; h++) {
    const head = headBytes * h;
    for (let i = 0; i < rows; i += 4) {
      const queries = min(4, rows - i);
      const at0 = head + rowBytes * i;
      const at1 = at0 + (queries > 1 ? rowBytes : 0);
      const at2 = at0 + (queries > 2 ? rowBytes * 2 : 0);
      const at3 = at0 + (queries > 3 ? rowBytes * 3 : 0);
      attend(
        q + at0,
        q + at1,
        q + at2,
        q + at3,
        queries,
        limits,
        rows,
        rows,
        k + head,
        v + head,
        rowBytes,
        headDim,
        scale,
        out + at0,
        out + at1,
        out + at2,
        out + at3,
        scratch,
      );
    }
  }
}

/** Moves positions `count…` of a layer `[kvHeads, capacity, headDim]` to the front. */
export function dropCached(cache: usize, kvHeads: i32, headDim: i32, capacity: i32, count: i32): void {
  const headBytes = (<usize>headDim) << 2;
  for (let h = 0; h < kvHeads; h++) {
    memory.copy(cache, cache + headBytes * count, headBytes * (capacity - count));
    cache += headBytes * capacity;
  }
}

/** Copies `rows` rows `[rows, kvHeads · headDim]` to positions `position…` of a layer `[kvHeads, capacity, headDim]`. */
export function writeCache(
  rowsIn: usize,
  rows: i32,
  kvHeads: i32,
  headDim: i32,
  cache: usize,
  capacity: i32,
  position: i32,
): void {
  const headBytes = (<usize>headDim) << 2;
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < kvHeads; h++) {
      memory.copy(cache + headBytes * (h * capacity + position + r), rowsIn, headBytes);
      rowsIn += headBytes;
    }
  }
}
