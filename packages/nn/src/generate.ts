import { concat2d, slice2d, type Tensor2D } from "@tensorflow/tfjs-core";
import type { KvCache, Runtime } from "@voxquant/quant-core";
import type { EventLoopBreak } from "./event-loop.js";
import type { PromptCache } from "./prompt-cache.js";
import type { Qwen3Decoder } from "./qwen3-decoder.js";
import { traceTensor, type TraceSink } from "./trace.js";

/** Why a generation ended: an end token, the token budget, or a guard that saw it repeat itself. */
export type StopReason = "eos" | "length" | "repetition";

export interface GenerationSequence {
  /** Prompt as embeddings `[tokens, hidden]`, consumed. */
  readonly embeds: Tensor2D;
  /** Ids of the tokens that the prompt begins with, as far as its embeddings are theirs: what `promptCache` knows it by. */
  readonly beginning?: readonly number[];
  readonly maxTokens: number;
  /** Sees each generated token; a reason ends the sequence after it. */
  readonly onToken?: (id: number) => "repetition" | undefined;
}

export interface GeneratedSequence {
  /** Generated ids, with the final end token if there was one. */
  readonly ids: number[];
  readonly stopReason: StopReason;
}

export interface GenerateOptions {
  readonly endIds: ReadonlySet<number>;
  readonly pause: EventLoopBreak;
  /** Traces the prompt's stages and `logits` of each step; for one sequence. */
  readonly trace?: TraceSink;
  /** Beginnings of prompts that need not be computed again. Not used while someone watches (a trace, the runtime's `observe`). */
  readonly promptCache?: PromptCache;
  /** The prompts are through the decoder; `cachedTokens` of theirs came from `promptCache`. */
  readonly onPrefilled?: (cachedTokens: number) => void;
}

/**
 * Greedy decoding of several sequences in one pass: prompts are prefilled together without padding, then each step
 * decodes one token of every sequence that still runs. Each result equals that sequence alone.
 */
export async function generateGreedy(
  runtime: Runtime,
  decoder: Qwen3Decoder,
  sequences: readonly GenerationSequence[],
  options: GenerateOptions,
): Promise<GeneratedSequence[]> {
  const { endIds, pause, trace } = options;
  const results = sequences.map((): { ids: number[]; stopReason: StopReason } => ({
    ids: [],
    stopReason: "length",
  }));
  const caches: KvCache[] = [];
  const logits: Float32Array[] | null = trace === undefined ? null : [];
  try {
    const lengths = sequences.map(({ embeds }) => embeds.shape[0]);
    for (let i = 0; i < sequences.length; i++)
      caches.push(decoder.createCache(lengths[i]! + sequences[i]!.maxTokens));
    const positions = [...lengths];

    const promptCache = trace === undefined && runtime.observe === null ? options.promptCache : undefined;
    /** What of a sequence's prompt a PromptCache may hold. */
    const beginningOf = (i: number): readonly number[] => {
      const { beginning = [] } = sequences[i]!;
      return lengths[i]! - beginning.length > DECODE_ROWS ? beginning : [];
    };
    let cachedTokens = 0;

    let running = sequences.map((_, i) => i);
    const next = new Map<number, number>();
    for (const group of prefillGroups(lengths)) {
      let total = 0;
      const rows = group.map((i) => {
        const position = promptCache?.restore(beginningOf(i), caches[i]!) ?? 0;
        cachedTokens += position;
        const start = total;
        const count = lengths[i]! - position;
        total += count;
        return { cache: caches[i]!, start, count, position };
      });
      const embeds = runtime.run(() => {
        const parts = group.map((i, at) => {
          const { embeds: all } = sequences[i]!;
          const { count, position } = rows[at]!;
          return position === 0 ? all.clone() : slice2d(all, [position, 0], [count, all.shape[1]]);
        });
        return parts.length === 1 ? parts[0]! : concat2d(parts, 0);
      });
      for (const i of group) sequences[i]!.embeds.dispose();
      const last = await decoder.prefill(embeds, rows, pause, trace);
      group.forEach((i, at) => {
        const beginning = beginningOf(i);
        if (rows[at]!.position < beginning.length) promptCache?.keep(beginning, caches[i]!);
      });
      for (const part of decodeGroups(group)) {
        const slice = runtime.run(() =>
          slice2d(last, [group.indexOf(part[0]!), 0], [part.length, last.shape[1]]),
        );
        const ids = chooseToken(runtime, decoder, slice, logits);
        slice.dispose();
        part.forEach((i, at) => next.set(i, ids[at]!));
      }
      last.dispose();
    }
    options.onPrefilled?.(cachedTokens);

    for (;;) {
      running = running.filter((i) => {
        const { maxTokens, onToken } = sequences[i]!;
        const result = results[i]!;
        if (result.ids.length >= maxTokens) return false;
        const id = next.get(i)!;
        result.ids.push(id);
        if (endIds.has(id)) {
          result.stopReason = "eos";
          return false;
        }
        const stop = onToken?.(id);
        if (stop !== undefined) result.stopReason = stop;
        return stop === undefined && result.ids.length < maxTokens;
      });
      if (running.length === 0) break;
      for (const group of decodeGroups(running)) {
        const rows = group.map((i, start) => ({
          cache: caches[i]!,
          start,
          count: 1,
          position: positions[i]!,
        }));
        const embeds = runtime.run(() => decoder.embedding.lookup(group.map((i) => next.get(i)!)));
        const hidden = await decoder.decode(embeds, rows, pause);
        const ids = chooseToken(runtime, decoder, hidden, logits);
        hidden.dispose();
        group.forEach((i, at) => {
          positions[i]!++;
          next.set(i, ids[at]!);
        });
      }
    }
  } finally {
    for (const cache of caches) runtime.releaseKvCache(cache);
    // prompts whose turn did not come because of an abort
    for (const { embeds } of sequences) if (!embeds.isDisposed) embeds.dispose();
  }
  if (trace !== undefined && logits !== null) traceLogits(trace, logits);
  return results;
}

/** Prompt rows per pass: enough to fill the machine, few enough to bound the memory of a batch's activations. */
const PREFILL_ROWS = 1024;
/**
 * Rows per decode step. Up to here every backend uses its matrix × vector kernels, whose rows do not see each other; more rows
 * go through the same other kernels, however many more they are.
 */
const DECODE_ROWS = 8;

/**
 * Consecutive sequences whose prompts of these lengths go through the decoder together. A prompt so short that it takes
 * other kernels when it is alone stays alone.
 */
export function prefillGroups(lengths: readonly number[]): number[][] {
  const groups: number[][] = [];
  let rows = Infinity;
  lengths.forEach((length, i) => {
    const alone = length <= DECODE_ROWS;
    if (alone || rows + length > PREFILL_ROWS) {
      groups.push([]);
      rows = 0;
    }
    groups.at(-1)!.push(i);
    rows = alone ? Infinity : rows + length;
  });
  return groups;
}

/** Running sequences whose next tokens are decoded in one step. */
export function decodeGroups(running: readonly number[]): number[][] {
  const groups: number[][] = [];
  for (let at = 0; at < running.length; at += DECODE_ROWS) groups.push(running.slice(at, at + DECODE_ROWS));
  return groups;
}

/** The most likely token of each row; with `logits`, keeps the rows of a traced run too. */
function chooseToken(
  runtime: Runtime,
  decoder: Qwen3Decoder,
  hidden: Tensor2D,
  logits: Float32Array[] | null,
): ArrayLike<number> {
  return runtime.run(() => {
    if (logits !== null) {
      traceTensor((_, { data }) => logits.push(data as Float32Array), "logits", decoder.head.forward(hidden));
    }
    return { ids: decoder.head.argmax(hidden) };
  }).ids;
}

function traceLogits(trace: TraceSink, rows: readonly Float32Array[]): void {
  const width = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => data.set(row, i * width));
  trace("logits", { shape: [rows.length, width], data });
}
