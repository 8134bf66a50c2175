import { ConfigError } from "@voxquant/quant-core";
import type { RandomStream } from "./random.js";

const { exp } = Math;

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most likely id. */
  readonly temperature: number;
  /** Ids kept, with all that tie with the last; 0: all. */
  readonly topK: number;
  /** Probability mass kept of what top-k left, above 0 to 1. */
  readonly topP: number;
}

/** @throws ConfigError for a value out of range; `name` goes before the field in the message */
export function checkSampling({ temperature, topK, topP }: SamplingOptions, name = ""): void {
  const wrong = (field: string, value: number, range: string) =>
    new ConfigError(`${name}${field} is ${value}, it must be ${range}`);
  if (!(temperature >= 0 && temperature < Infinity))
    throw wrong("temperature", temperature, "0 (greedy) or more");
  if (!(Number.isSafeInteger(topK) && topK >= 0)) throw wrong("topK", topK, "a whole number, 0 for all");
  if (!(topP > 0 && topP <= 1)) throw wrong("topP", topP, "above 0 and at most 1");
}

/**
 * Repetition penalty (Keskar et al., CTRL, section 4.1): scores of ids that came before are divided by `penalty` where
 * positive and multiplied where negative, each id once.
 */
export function penalizeRepetition(scores: Float32Array, seen: ReadonlySet<number>, penalty: number): void {
  if (penalty === 1) return;
  for (const id of seen) {
    const score = scores[id]!;
    scores[id] = score < 0 ? score * penalty : score / penalty;
  }
}

/** Forbids ids. */
export function suppress(scores: Float32Array, ids: Iterable<number>): void {
  for (const id of ids) scores[id] = -Infinity;
}

/** Index of the largest score; ties give the lowest. */
export function argmax(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

/** Probabilities of scores, in place: forbidden ids (−∞) get 0. */
export function softmax(scores: Float32Array): void {
  const largest = scores[argmax(scores)]!;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += exp(scores[i]! - largest);
  for (let i = 0; i < scores.length; i++) scores[i] = exp(scores[i]! - largest) / sum;
}

/** Chooses ids from scores, with scratch memory of its own. */
export class Sampler {
  #values = new Float32Array(0);
  /** What top-k and top-p keep: ids, ascending, and their scores after the temperature. */
  #ids = new Int32Array(0);
  #scaled = new Float32Array(0);
  #masses = new Float64Array(0);
  #count = 0;

  /**
   * Temperature (above 0), top-k and top-p in this order, in place: what is left out becomes −∞. The rules are those of
   * transformers `generation/logits_process.py`.
   */
  warp(scores: Float32Array, options: SamplingOptions): void {
    this.#keep(scores, options);
    scores.fill(-Infinity);
    for (let i = 0; i < this.#count; i++) scores[this.#ids[i]!] = this.#scaled[i]!;
  }

  /**
   * An id drawn from the distribution that `warp` leaves, by one random number, or for temperature 0 the most likely
   * one, by none.
   */
  choose(scores: Float32Array, options: SamplingOptions, random: RandomStream): number {
    if (options.temperature === 0) return argmax(scores);
    this.#keep(scores, options);
    const scaled = this.#scaled;
    const masses = this.#masses;
    const count = this.#count;
    let largest = -Infinity;
    for (let i = 0; i < count; i++) if (scaled[i]! > largest) largest = scaled[i]!;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += masses[i] = exp(scaled[i]! - largest);
    const target = random.next() * sum;
    let mass = 0;
    for (let i = 0; i < count; i++) {
      mass += masses[i]!;
      if (mass > target) return this.#ids[i]!;
    }
    return this.#ids[count - 1]!;
  }

  #keep(scores: Float32Array, { temperature, topK, topP }: SamplingOptions): void {
    if (this.#values.length < scores.length) {
      this.#values = new Float32Array(scores.length);
      this.#ids = new Int32Array(scores.length);
      this.#scaled = new Float32Array(scores.length);
      this.#masses = new Float64Array(scores.length);
    }
    // A temperature keeps the order, so that it is enough to divide what top-k leaves.
    const limit = topK > 0 && topK < scores.length ? this.#kthLargest(scores, topK) : -Infinity;
    const ids = this.#ids;
    const scaled = this.#scaled;
    let count = 0;
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i]!;
      if (score < limit || score === -Infinity) continue;
      ids[count] = i;
      scaled[count++] = score / temperature;
    }
    this.#count = count;
    if (topP < 1) this.#keepMass(topP);
  }

  /** Drops the least likely ids as long as their mass together is at most `1 − topP`; of equal ones the first go first. */
  #keepMass(topP: number): void {
    const scaled = this.#scaled;
    const order = Array.from({ length: this.#count }, (_, i) => i);
    order.sort((a, b) => scaled[a]! - scaled[b]! || a - b);
    const largest = scaled[order.at(-1)!]!;
    let sum = 0;
    for (const i of order) sum += exp(scaled[i]! - largest);
    const most = (1 - topP) * sum;
    let mass = 0;
    let dropped = 0;
    for (; dropped < order.length - 1; dropped++) {
      mass += exp(scaled[order[dropped]!]! - largest);
      if (mass > most) break;
    }
    const kept = order.slice(dropped).sort((a, b) => a - b);
    kept.forEach((from, to) => {
      this.#ids[to] = this.#ids[from]!;
      scaled[to] = scaled[from]!;
    });
    this.#count = kept.length;
  }

  /**
   * By a heap of the k largest so far, the smallest on top: of many scores few ever get into it. `k` is at most their
   * number.
   */
  #kthLargest(scores: Float32Array, k: number): number {
    const heap = this.#values;
    for (let i = 0; i < k; i++) heap[i] = scores[i]!;
    for (let at = (k >> 1) - 1; at >= 0; at--) sink(heap, k, at, heap[at]!);
    for (let i = k; i < scores.length; i++) {
      const score = scores[i]!;
      if (score > heap[0]!) sink(heap, k, 0, score);
    }
    return heap[0]!;
  }
}

/** Puts `value` in the place `at` of a heap of `count`, or below, so that no value is above a smaller one. */
function sink(heap: Float32Array, count: number, at: number, value: number): void {
  for (let child = 2 * at + 1; child < count; child = 2 * at + 1) {
    if (child + 1 < count && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
