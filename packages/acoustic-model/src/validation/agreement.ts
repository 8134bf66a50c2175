/** Equal codes by codebook. */
export interface CodeAgreement {
  /** Share of equal codes in each codebook, 0 to 1; NaN without frames. */
  readonly byCodebook: readonly number[];
  readonly all: number;
  /** Frames compared. */
  readonly frames: number;
}

/** Counts equal codes over several speeches. */
export class AgreementCount {
  readonly #equal: number[];
  #frames = 0;

  /** @param groups codes per frame */
  constructor(groups: number) {
    this.#equal = new Array<number>(groups).fill(0);
  }

  /** Adds two speeches, time-major; frames that only one of them has count as different. */
  add(reference: Int32Array, candidate: Int32Array): this {
    const groups = this.#equal.length;
    const shorter = Math.min(reference.length, candidate.length);
    for (let i = 0; i < shorter; i++) if (reference[i] === candidate[i]) this.#equal[i % groups]!++;
    this.#frames += Math.max(reference.length, candidate.length) / groups;
    return this;
  }

  result(): CodeAgreement {
    const frames = this.#frames;
    const equal = this.#equal.reduce((sum, count) => sum + count, 0);
    return {
      byCodebook: this.#equal.map((count) => count / frames),
      all: equal / (frames * this.#equal.length),
      frames,
    };
  }
}
