import { ConfigError } from "../../errors.js";
import type { AttentionSegment, KvCacheShape } from "../../ops/kernels.js";
import { floatKvCacheBytes } from "../host-kv-cache.js";
import type { WasmArray, WasmMemory } from "./memory.js";
import type { KernelModule, Pointer } from "./module.js";

/** Keys, then values, each `[layers, kvHeads, capacity, headDim]` float32. */
export interface WasmKvCache extends KvCacheShape {
  readonly pointer: Pointer;
}

/** Bytes of the keys (or the values) of one layer. */
function layerBytes({ kvHeads, headDim, capacity }: KvCacheShape): number {
  return kvHeads * headDim * capacity * 4;
}

export function createCache(memory: WasmMemory, shape: KvCacheShape): WasmKvCache {
  const { layers, kvHeads, headDim, capacity } = shape;
  const bytes = floatKvCacheBytes(shape);
  const what = `key-value cache of ${capacity} tokens (${layers} layers, ${kvHeads} heads of ${headDim})`;
  return { layers, kvHeads, headDim, capacity, pointer: memory.allocate(bytes, what) };
}

export class AttentionKernels {
  readonly #module: KernelModule;
  readonly #memory: WasmMemory;

  constructor(module: KernelModule, memory: WasmMemory) {
    this.#module = module;
    this.#memory = memory;
  }

  cachedAttention(
    q: WasmArray,
    k: WasmArray,
    v: WasmArray,
    segments: readonly AttentionSegment<WasmKvCache>[],
    layer: number,
    heads: number,
    scale: number,
    window: number,
    out: WasmArray,
  ): void {
    for (const { cache, start, count, position } of segments) {
      const { kvHeads, headDim, capacity, layers } = cache;
      if (position < 0 || position + count > capacity || layer >= layers) {
        throw new ConfigError(
          `tokens ${position}…${position + count - 1} of layer ${layer} do not fit a key-value cache of ` +
            `${layers} layers and ${capacity} tokens`,
        );
      }
      const keys = cache.pointer + layer * layerBytes(cache);
      const values = keys + layers * layerBytes(cache);
      const kvStart = start * kvHeads * headDim * 4;
      this.#module.writeCache(k.pointer + kvStart, count, kvHeads, headDim, keys, capacity, position);
      this.#module.writeCache(v.pointer + kvStart, count, kvHeads, headDim, values, capacity, position);
      const qStart = start * heads * headDim * 4;
      this.#module.causalAttention(
        q.pointer + qStart,
        count,
        heads,
        kvHeads,
        headDim,
        keys,
        values,
        capacity,
        position,
        scale,
        window,
        out.pointer + qStart,
        this.#scores(position + count),
        0,
        kvHeads,
      );
    }
  }

  dropCached({ pointer, ...shape }: WasmKvCache, count: number): void {
    const { layers, kvHeads, headDim, capacity } = shape;
    for (let part = 0; part < 2 * layers; part++) {
      const at = pointer + part * layerBytes(shape);
      this.#module.dropCached(at, kvHeads, headDim, capacity, count);
    }
  }

  copyCached(from: WasmKvCache, to: WasmKvCache, count: number): void {
    const { layers, kvHeads, headDim } = from;
    const bytes = count * headDim * 4;
    const memory = new Uint8Array(this.#memory.memory.buffer);
    for (let h = 0; h < 2 * layers * kvHeads; h++) {
      const at = from.pointer + h * from.capacity * headDim * 4;
      memory.copyWithin(to.pointer + h * to.capacity * headDim * 4, at, at + bytes);
    }
  }

  blockAttention(
    q: WasmArray,
    k: WasmArray,
    v: WasmArray,
    offsets: Int32Array,
    heads: number,
    headDim: number,
    scale: number,
    out: WasmArray,
  ): void {
    for (let b = 0; b + 1 < offsets.length; b++) {
      const at = offsets[b]! * heads * headDim * 4;
      const rows = offsets[b + 1]! - offsets[b]!;
      this.#module.fullAttention(
        q.pointer + at,
        k.pointer + at,
        v.pointer + at,
        rows,
        heads,
        headDim,
        scale,
        out.pointer + at,
        this.#scores(rows),
        0,
        heads,
      );
    }
  }

  #scores(length: number): Pointer {
    return this.#memory.scratch("attention scores", this.#module.attentionScratch(length));
  }
}
