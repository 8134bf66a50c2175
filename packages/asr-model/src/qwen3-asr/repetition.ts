/** Tokens before which a generation is not judged: short texts may well repeat themselves. */
const GRACE_TOKENS = 128;
/** Last tokens that are looked at. */
const WINDOW = 96;
/** Fewer distinct tokens than these in a full window are a loop. */
const MOST_LOOPED_TOKENS = 6;
/** Longest period, in tokens, and how often in a row a period must come to be a loop: together they span the window. */
const LONGEST_PERIOD = 16;
const LOOP_REPEATS = 6;

/**
 * Watches a generation for loops: from 128 tokens on, the last 96 hold at most 6 distinct ones, or the last 6 blocks of
 * some period of 1 to 16 tokens are equal.
 */
export class RepetitionGuard {
  readonly #ids: number[] = [];
  /** How often each id is in the window. */
  readonly #counts = new Map<number, number>();
  /** By period: for how many tokens up to now each has equalled the one a period before. */
  readonly #equalRun = new Int32Array(LONGEST_PERIOD + 1);

  /** Adds a generated id; true if the generation loops. */
  push(id: number): boolean {
    const ids = this.#ids;
    const at = ids.push(id) - 1;
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    if (at >= WINDOW) {
      const left = ids[at - WINDOW]!;
      const count = this.#counts.get(left)! - 1;
      if (count === 0) this.#counts.delete(left);
      else this.#counts.set(left, count);
    }
    let periodic = false;
    for (let period = 1; period <= LONGEST_PERIOD; period++) {
      const run = ids[at - period] === id ? this.#equalRun[period]! + 1 : 0;
      this.#equalRun[period] = run;
      periodic ||= run >= (LOOP_REPEATS - 1) * period;
    }
    return ids.length >= GRACE_TOKENS && (periodic || this.#counts.size <= MOST_LOOPED_TOKENS);
  }
}

/**
 * Cuts the loop at the end of a generation that a guard stopped back to its first occurrence: one period, or for a
 * loop without a period the tokens up to the last one that is new in it. Ids that do not loop are returned as they are.
 * @returns the ids to keep and how often what was kept of the loop came again
 */
export function cutRepeats(ids: readonly number[]): { ids: readonly number[]; repeats: number } {
  const loop = periodicTail(ids) ?? monotonousTail(ids);
  if (loop === null) return { ids, repeats: 0 };
  const kept = loop.start + loop.length;
  return { ids: ids.slice(0, kept), repeats: Math.ceil((ids.length - kept) / loop.length) };
}

interface Loop {
  readonly start: number;
  /** Tokens of its first occurrence. */
  readonly length: number;
}

function periodicTail(ids: readonly number[]): Loop | null {
  for (let period = 1; period <= LONGEST_PERIOD; period++) {
    let start = ids.length - period;
    while (start > 0 && ids[start - 1] === ids[start - 1 + period]) start--;
    if (ids.length - start >= LOOP_REPEATS * period) return { start, length: period };
  }
  return null;
}

function monotonousTail(ids: readonly number[]): Loop | null {
  const distinct = new Set<number>();
  let start = ids.length;
  let lastNew = ids.length; // first place, within the tail, of the id that comes latest for the first time
  while (start > 0 && (distinct.has(ids[start - 1]!) || distinct.size < MOST_LOOPED_TOKENS))
    distinct.add(ids[--start]!);
  if (ids.length - start < WINDOW) return null;
  distinct.clear();
  for (let i = start; i < ids.length; i++) {
    if (!distinct.has(ids[i]!)) lastNew = i;
    distinct.add(ids[i]!);
  }
  return { start, length: lastNew + 1 - start };
}
