/** The part of a stream of samples that is still needed, addressed by sample number in the whole stream. */
export class SampleWindow {
  #data = new Float32Array(65_536);
  #start = 0;
  #end = 0;

  /** Number of the sample after the last. */
  get end(): number {
    return this.#end;
  }

  append(samples: Float32Array): void {
    const held = this.#end - this.#start;
    if (held + samples.length > this.#data.length) {
      const larger = new Float32Array(2 * (held + samples.length));
      larger.set(this.#data.subarray(0, held));
      this.#data = larger;
    }
    this.#data.set(samples, held);
    this.#end += samples.length;
  }

  /** A view of samples start … end − 1, valid until the next `append` or `dropBefore`. */
  view(start: number, end: number): Float32Array {
    return this.#data.subarray(start - this.#start, end - this.#start);
  }

  /** Forgets the samples before `start`; memory moves only when half of it would be free. */
  dropBefore(start: number): void {
    const dropped = start - this.#start;
    if (dropped < this.#data.length / 2) return;
    this.#data.copyWithin(0, dropped, this.#end - this.#start);
    this.#start = start;
  }
}
