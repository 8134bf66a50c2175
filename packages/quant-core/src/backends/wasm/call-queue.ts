/**
 * Where the threads of a pool meet: a list of calls of one kernel, in memory that all of them share. Whoever is free
 * takes the next call, the publishing thread included. All words that decide anything are accessed with Atomics; the
 * call itself is read only by the thread that has claimed it, and is not changed before all claimed calls are done.
 */
const { add, compareExchange, load, notify, store, sub, wait } = Atomics;

/** Words of the queue. Those that are written often lie 64 bytes apart, each in a cache line of its own. */
const STATE = 0;
const DONE = 16;
const SLEEPERS = 32;
const STARTED = 33;
const FAILED = 34;
const THREADS = 35;
const CALLER_SLEEPS = 36;
const KERNEL = 48;
const SCRATCH_ARGUMENT = 49;
const SCRATCH_BYTES = 50;
const HEAD_BYTES = 256;

/**
 * The state is the number of calls left, and above it the number of threads that may take them: one word, so that a
 * thread which has fallen behind cannot take a call that is not for it.
 */
const THREAD_SHIFT = 16;
const CALLS_MASK = 0xffff;

/** Parameters that a kernel may have. */
const MAX_PARAMETERS = 16;
export const MAX_THREADS = 256;
export const MAX_CALLS = 4 * MAX_THREADS;

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
  readonly #maySleep: boolean;

  /** @param pointer `CALL_QUEUE_BYTES` bytes of `memory`, all zero before the first thread starts */
  constructor(memory: WebAssembly.Memory, pointer: number, exports: WebAssembly.Exports) {
    // A view of shared memory stays valid when the memory grows.
    this.#words = new Int32Array(memory.buffer, pointer, HEAD_BYTES / 4);
    this.#parameters = new Float64Array(memory.buffer, pointer + HEAD_BYTES, MAX_CALLS * MAX_PARAMETERS);
    const entries = Object.entries(exports).filter(([, value]) => typeof value === "function");
    this.#kernels = entries.map(([, value]) => value as Kernel);
    this.#lists = this.#kernels.map((kernel) => new Array<number>(kernel.length).fill(0));
    this.#numbers = new Map(entries.map(([name], i) => [name, i]));
    this.#maySleep = maySleep(this.#words);
  }

  /** How many threads may take calls from now on, numbers 0 (the publishing one) up. */
  set threads(count: number) {
    store(this.#words, THREADS, count);
    notify(this.#words, THREADS);
  }

  get threads(): number {
    return load(this.#words, THREADS);
  }

  /** Threads that have begun to serve. */
  get started(): number {
    return load(this.#words, STARTED);
  }

  /**
   * Calls a kernel `calls` times (at most `MAX_CALLS`) on all threads that are free, this one among them; returns when
   * all calls are done.
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
    store(words, STATE, (this.threads << THREAD_SHIFT) | calls);
    if (load(words, SLEEPERS) > 0) notify(words, STATE);
    while (this.#take(load(words, STATE), 0));
    this.#waitFor(calls);
    return load(words, FAILED) === 0;
  }

  /** The life of every thread but the publishing one; ends with its worker. */
  serve(thread: number): never {
    const words = this.#words;
    add(words, STARTED, 1);
    let spins = 0;
    for (;;) {
      const state = load(words, STATE);
      if (this.#take(state, thread)) spins = 0;
      else if (++spins >= SPINS) {
        spins = 0;
        const threads = load(words, THREADS);
        if (thread >= threads) {
          wait(words, THREADS, threads);
        } else {
          add(words, SLEEPERS, 1);
          wait(words, STATE, state);
          sub(words, SLEEPERS, 1);
        }
      }
    }
  }

  /** Makes the next call; false if in this state there is none for the thread. */
  #take(state: number, thread: number): boolean {
    const words = this.#words;
    if ((state & CALLS_MASK) === 0 || thread >= state >> THREAD_SHIFT) return false;
    if (compareExchange(words, STATE, state, state - 1) !== state) return true; // another was quicker: look again
    try {
      this.#call((state & CALLS_MASK) - 1, thread);
    } catch {
      store(words, FAILED, 1);
    }
    add(words, DONE, 1);
    if (load(words, CALLER_SLEEPS) === 1) notify(words, DONE);
    return true;
  }

  /** The last calls are at work on other threads. On a busy machine these may need this thread's core. */
  #waitFor(calls: number): void {
    const words = this.#words;
    for (let spins = 0; load(words, DONE) < calls; spins++) {
      if (!this.#maySleep || spins < SPINS) continue;
      store(words, CALLER_SLEEPS, 1);
      const done = load(words, DONE);
      if (done < calls) wait(words, DONE, done);
      store(words, CALLER_SLEEPS, 0);
    }
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

/** Not on a browser's main thread, where Atomics.wait throws even if there is nothing to wait for. */
function maySleep(words: Int32Array): boolean {
  try {
    wait(words, CALLER_SLEEPS, -1);
    return true;
  } catch {
    return false;
  }
}
