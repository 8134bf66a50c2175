import { BackendError, type KvCache, type Runtime } from "@voxquant/quant-core";
import type { Qwen3Decoder } from "./qwen3-decoder.js";

/** Most beginnings that are kept … */
const MOST_BEGINNINGS = 4;
/** … and most bytes of their keys and values, counted as float32: an int8 cache takes little more than a quarter. */
const MOST_BYTES = 2 ** 27;

/**
 * Beginnings are cut to a multiple of this. Kernels that take four query vectors at a time sum those left over at the end in
 * another order: with a multiple the same ones are left over as in the whole prompt, so that results have the same bits.
 */
const TOKENS_TOGETHER = 4;

/** Tokens that a prompt began with, and a cache that holds their keys and values. */
interface Beginning {
  readonly ids: readonly number[];
  readonly cache: KvCache;
}

/**
 * Keys and values of the last beginnings of prompts, by their token ids. Causal attention makes them the same in every
 * prompt that begins with these tokens, so that they are copied instead of computed, and results have the same bits as
 * without. At most 4 beginnings and 128 MiB (counted as float32); of a longer one the first tokens. The runtime's `dispose`
 * frees what is kept.
 */
export class PromptCache {
  readonly #runtime: Runtime;
  readonly #decoder: Pick<Qwen3Decoder, "config" | "createCache">;
  readonly #mostTokens: number;
  /** The last used one last. */
  readonly #kept = new Set<Beginning>();

  constructor(runtime: Runtime, decoder: Pick<Qwen3Decoder, "config" | "createCache">) {
    this.#runtime = runtime;
    this.#decoder = decoder;
    const { layers, kvHeads, headDim } = decoder.config;
    this.#mostTokens = Math.floor(
      MOST_BYTES / (2 * layers * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT),
    );
  }

  /** Copies to `cache` what is known of the first tokens of `ids`. @returns how many tokens that are */
  restore(ids: readonly number[], cache: KvCache): number {
    let best: Beginning | null = null;
    let most = 0;
    for (const beginning of this.#kept) {
      const common = whole(commonLength(beginning.ids, ids));
      if (common <= most) continue;
      best = beginning;
      most = common;
    }
    if (best === null) return 0;
    this.#runtime.copyCached(best.cache, cache, most);
    this.#use(best);
    return most;
  }

  /** Keeps a copy of the first positions of `cache`, which hold the tokens `ids`. */
  keep(ids: readonly number[], cache: KvCache): void {
    const begun = ids.slice(0, whole(Math.min(ids.length, this.#mostTokens)));
    if (begun.length === 0) return;
    for (const beginning of [...this.#kept]) {
      const common = commonLength(beginning.ids, begun);
      if (common === begun.length) {
        this.#use(beginning);
        return;
      }
      if (common === beginning.ids.length) this.#release(beginning); // the new one has it too
    }
    for (const oldest of [...this.#kept]) {
      if (this.#kept.size < MOST_BEGINNINGS && this.#tokens() + begun.length <= this.#mostTokens) break;
      this.#release(oldest);
    }
    let copy: KvCache;
    try {
      copy = this.#decoder.createCache(begun.length);
    } catch (error) {
      if (error instanceof BackendError) return; // no memory: such prompts are computed whole
      throw error;
    }
    this.#runtime.copyCached(cache, copy, begun.length);
    this.#kept.add({ ids: begun, cache: copy });
  }

  #tokens(): number {
    let tokens = 0;
    for (const { ids } of this.#kept) tokens += ids.length;
    return tokens;
  }

  #use(beginning: Beginning): void {
    this.#kept.delete(beginning);
    this.#kept.add(beginning);
  }

  #release(beginning: Beginning): void {
    this.#kept.delete(beginning);
    this.#runtime.releaseKvCache(beginning.cache);
  }
}

function whole(tokens: number): number {
  return tokens - (tokens % TOKENS_TOGETHER);
}

/** Ids that two lists begin with alike. */
function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i++) if (a[i] !== b[i]) return i;
  return most;
}
