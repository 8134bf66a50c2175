/**
 * Where the threads of a pool meet: a list of calls of one kernel, in memory that all of them share. Whoever is free
 * takes the next call, the publishing thread included. All words that decide anything are accessed with Atomics; the
 * call itself is read only by the thread that has claimed it, and is not changed before all claimed calls are done.
 */
const { add, compareExchange, load, notify, store, sub, wait } = Atomics;

/** Words of the queue. Those that are written often lie 64 bytes apart, each in a cache line of its own. */
const REMAINING = 0;
const DONE = 16;
const SLEEPERS = 32;
const STARTED = 33;
const FAILED = 34;
const KERNEL = 48;
const SCRATCH_ARGUMENT = 49;
const SCRATCH_BYTES = 50;
const HEAD_BYTES = 256;

/** Parameters that a kernel may have. */
const MAX_PARAMETERS = 16;
/** Calls in one region. */
const MAX_CALLS = 256;

export const CALL_QUEUE_BYTES = HEAD_BYTES + MAX_CALLS * MAX_PARAMETERS * 8;

/** Looks at an empty queue before a thread goes to sleep: some 50 µs, more than there is between two ops of a model. */
const SPINS = 20_000;

type Kernel = (...parameters: number[]) => void;

/** Scratch memory of a kernel: the parameter that names it, and how many bytes each thread has there. */
export interface ScratchParameter {
  readonly index: number;
  readonly bytes: number;
}

/** One thread's view of the queue. All threads have the same kernels in the same order. */
export class CallQueue {
  readonly #words: Int32Array;
  readonly #parameters: Float64Array;
  readonly #kernels: readonly Kernel[];
  /** Parameter lists, one per kernel, made once. */
  readonly #lists: readonly number[][];
  readonly #numbers: ReadonlyMap<string, number>;

  /** @param pointer `CALL_QUEUE_BYTES` bytes of `memory`, all zero before the first thread starts */
  constructor(memory: WebAssembly.Memory, pointer: number, exports: WebAssembly.Exports) {
    // A view of shared memory stays valid when the memory grows.
    this.#words = new Int32Array(memory.buffer, pointer, HEAD_BYTES / 4);
    this.#parameters = new Float64Array(memory.buffer, pointer + HEAD_BYTES, MAX_CALLS * MAX_PARAMETERS);
    const entries = Object.entries(exports).filter(([, value]) => typeof value === "function");
    this.#kernels = entries.map(([, value]) => value as Kernel);
    this.#lists = this.#kernels.map((kernel) => new Array<number>(kernel.length).fill(0));
    this.#numbers = new Map(entries.map(([name], i) => [name, i]));
  }

  /**
   * Calls a kernel `calls` times (at most 256) on all threads that are free, this one among them; returns when all calls are done.
   * @param fill writes the parameters of a call to `parameters` from `at`
   * @returns whether all calls came to their end
   */
  run(
    kernel: string,
    calls: number,
    scratch: ScratchParameter | null,
    fill: (call: number, parameters: Float64Array, at: number) => void,
  ): boolean {
    const words = this.#words;
    words[KERNEL] = this.#numbers.get(kernel)!;
    words[SCRATCH_ARGUMENT] = scratch === null ? -1 : scratch.index;
    words[SCRATCH_BYTES] = scratch === null ? 0 : scratch.bytes;
    for (let call = 0; call < calls; call++) fill(call, this.#parameters, call * MAX_PARAMETERS);
    store(words, FAILED, 0);
    store(words, DONE, 0);
    store(words, REMAINING, calls);
    if (load(words, SLEEPERS) > 0) notify(words, REMAINING);
    this.take(0);
    // The rest is at work on other threads. A browser's main thread may not sleep, and a call is short.
    while (load(words, DONE) < calls);
    return load(words, FAILED) === 0;
  }

  /** Makes calls until none is left. */
  take(thread: number): void {
    const words = this.#words;
    for (;;) {
      const remaining = load(words, REMAINING);
      if (remaining === 0) return;
      if (compareExchange(words, REMAINING, remaining, remaining - 1) !== remaining) continue;
      try {
        this.#call(remaining - 1, thread);
      } catch {
        store(words, FAILED, 1);
      }
      add(words, DONE, 1);
    }
  }

  /** The life of every thread but the publishing one; ends with its worker. */
  serve(thread: number): never {
    const words = this.#words;
    add(words, STARTED, 1);
    for (;;) {
      let spins = 0;
      while (spins < SPINS && load(words, REMAINING) === 0) spins++;
      if (spins === SPINS) {
        add(words, SLEEPERS, 1);
        wait(words, REMAINING, 0);
        sub(words, SLEEPERS, 1);
      }
      this.take(thread);
    }
  }

  /** Threads that have begun to serve. */
  get started(): number {
    return load(this.#words, STARTED);
  }

  #call(call: number, thread: number): void {
    const words = this.#words;
    const kernel = this.#kernels[words[KERNEL]!]!;
    const at = call * MAX_PARAMETERS;
    const parameters = this.#lists[words[KERNEL]!]!;
    for (let i = 0; i < parameters.length; i++) parameters[i] = this.#parameters[at + i]!;
    const scratch = words[SCRATCH_ARGUMENT]!;
    if (scratch >= 0) parameters[scratch]! += thread * words[SCRATCH_BYTES]!;
    kernel(...parameters);
  }
}
