/** Longest period that is looked for, frames. */
const LONGEST_PERIOD = 32;
/** A period must go on for so many frames to be a loop: 5 s, longer than any pause inside a sentence. */
const LOOP_FRAMES = 64;
/** So many repeated frames are usual: a held vowel, a pause. */
const USUAL_FRAMES = 16;
/** Or so many frames use fewer different codes than speech ever does. */
const WINDOW = 96;
const MOST_LOOPED_CODES = 4;

/** Watches codebook 0 of a generation for loops, which the model does not leave by itself. */
export class CodeLoopGuard {
  readonly #codes: number[] = [];
  /** How often each code is in the window. */
  readonly #counts = new Map<number, number>();
  /** By period: for how many frames up to now each code has equalled the one a period before. */
  readonly #equalRun = new Int32Array(LONGEST_PERIOD + 1);
  #longestRun = 0;

  /**
   * Adds a frame's code.
   * @returns the frames that come before the repetition, once the generation loops; else null
   */
  push(code: number): number | null {
    const codes = this.#codes;
    const at = codes.push(code) - 1;
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    if (at >= WINDOW) {
      const left = codes[at - WINDOW]!;
      const count = this.#counts.get(left)! - 1;
      if (count === 0) this.#counts.delete(left);
      else this.#counts.set(left, count);
    }
    let useful: number | null = null;
    this.#longestRun = 0;
    for (let period = 1; period <= LONGEST_PERIOD; period++) {
      const run = codes[at - period] === code ? this.#equalRun[period]! + 1 : 0;
      this.#equalRun[period] = run;
      this.#longestRun = Math.max(this.#longestRun, run);
      if (run >= LOOP_FRAMES) useful ??= codes.length - run;
    }
    if (useful === null && at >= WINDOW && this.#counts.size <= MOST_LOOPED_CODES) {
      return codes.length - WINDOW;
    }
    return useful;
  }

  /** The latest frames that go on with a repetition for longer than is usual: if it turns out to be a loop, they are lost. */
  get suspectFrames(): number {
    return Math.max(0, this.#longestRun - USUAL_FRAMES);
  }
}
