/**
 * Random numbers that a seed reproduces on every machine: xoshiro128** (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators"), its state filled from the seed by SplitMix32. No platform arithmetic is involved.
 */
export class RandomStream {
  readonly #state = new Uint32Array(4);

  /** @param seed any integer that a double holds exactly; streams of different seeds are unrelated */
  constructor(seed: number) {
    // The low and the high word of the seed count apart, from places that they do not share.
    let low = seed >>> 0;
    let high = (Math.floor(seed / 2 ** 32) ^ 0x6a09e667) >>> 0;
    for (let i = 0; i < 4; i += 2) {
      this.#state[i] = mix((low = (low + GOLDEN_GAMMA) >>> 0));
      this.#state[i + 1] = mix((high = (high + GOLDEN_GAMMA) >>> 0));
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1; // the one state that never changes
  }

  /** Uniform in [0, 1) with 53 random bits. */
  next(): number {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  #word(): number {
    const s = this.#state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return result;
  }
}

/** The step of SplitMix: 2^32 divided by the golden ratio, odd. */
const GOLDEN_GAMMA = 0x9e3779b9;

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** The output function of SplitMix32 (the 32-bit finalizer of MurmurHash3 with other constants). */
function mix(word: number): number {
  let z = word;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
