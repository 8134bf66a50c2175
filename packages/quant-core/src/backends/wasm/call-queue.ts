/**
 * Where the threads of a pool meet: a list of calls of one kernel, in memory that all of them share. Whoever is free
 * takes the next call, the publishing thread included. All words that decide anything are accessed with Atomics; the
 * call itself is read only by the thread that has claimed it, and is not changed before all claimed calls are done.
 *
 * A thread can be ended from outside while it has a call. Its claim stays, so that the publishing thread knows which
 * call to make again, and for whom it need not wait any more.
 */
const { add, compareExchange, load, notify, store, sub, wait } = Atomics;
const { min } = Math;

/** Words of the queue. Those that are written often lie 64 bytes apart, each in a cache line of its own. */
const STATE = 0;
const SLEEPERS = 16;
const STARTED = 17;
const FAILED = 18;
const THREADS = 19;
const CALLER_SLEEPS = 20;
const KERNEL = 32;
const SCRATCH_ARGUMENT = 33;
const SCRATCH_BYTES = 34;
/** Per thread the call that it is at, counted from 1, or one of the two below. */
const CLAIMS = 48;
const CLAIM_STRIDE = 16;
const NO_CALL = 0;
const GIVEN_UP = -1;

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

const HEAD_BYTES = (CLAIMS + MAX_THREADS * CLAIM_STRIDE) * 4;
export const CALL_QUEUE_BYTES = HEAD_BYTES + MAX_CALLS * MAX_PARAMETERS * 8;

/** Looks at an empty queue before a thread goes to sleep: some 50 µs, more than there is between two ops of a model. */
const SPINS = 20_000;
/**
 * A thread is given up if it does not end its call within this time and ten times what the publishing thread needed
 * for its own share, in milliseconds. Time counts in steps of at most `STEP`: a computer that slept has not waited.
 */
const LEAST_PATIENCE = 2000;
const STEP = 100;
const now = () => performance.now();

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
  readonly #onGivenUp: (thread: number) => void;

  /**
   * @param pointer `CALL_QUEUE_BYTES` bytes of `memory`, all zero before the first thread starts
   * @param onGivenUp for the publishing thread: ends a thread that does not end its call, before that is made again
   */
  constructor(
    memory: WebAssembly.Memory,
    pointer: number,
    exports: WebAssembly.Exports,
    onGivenUp: (thread: number) => void = () => undefined,
  ) {
    // A view of shared memory stays valid when the memory grows.
    this.#words = new Int32Array(memory.buffer, pointer, HEAD_BYTES / 4);
    this.#parameters = new Float64Array(memory.buffer, pointer + HEAD_BYTES, MAX_CALLS * MAX_PARAMETERS);
    const entries = Object.entries(exports).filter(([, value]) => typeof value === "function");
    this.#kernels = entries.map(([, value]) => value as Kernel);
    this.#lists = this.#kernels.map((kernel) => new Array<number>(kernel.length).fill(0));
    this.#numbers = new Map(entries.map(([name], i) => [name, i]));
    this.#maySleep = maySleep(this.#words);
    this.#onGivenUp = onGivenUp;
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
   * all calls are done. The call of a thread that was given up is made again.
   * @param repeatable false if a call overwrites what it reads, so that one half made cannot be made again
   * @param fill writes the parameters of a call to `parameters` from `at`
   * @returns whether all calls came to their end
   */
  run(
    kernel: string,
    calls: number,
    scratch: ScratchParameter | null,
    repeatable: boolean,
    fill: (call: number, parameters: Float64Array, at: number) => void,
  ): boolean {
    const words = this.#words;
    const started = now();
    words[KERNEL] = this.#numbers.get(kernel)!;
    words[SCRATCH_ARGUMENT] = scratch === null ? -1 : scratch.index;
    words[SCRATCH_BYTES] = scratch === null ? 0 : scratch.bytes;
    for (let call = 0; call < calls; call++) fill(call, this.#parameters, call * MAX_PARAMETERS);
    store(words, FAILED, 0);
    store(words, STATE, (this.threads << THREAD_SHIFT) | calls);
    if (load(words, SLEEPERS) > 0) notify(words, STATE);
    while (this.#take(load(words, STATE), 0));
    this.#waitForOthers(started, repeatable);
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

  /** Makes the next call; false if in this state there is none for the thread, or it has been given up. */
  #take(state: number, thread: number): boolean {
    const words = this.#words;
    const call = state & CALLS_MASK;
    if (call === 0 || thread >= state >> THREAD_SHIFT) return false;
    // The claim comes first: a call that is taken is always known to be at work.
    const claim = CLAIMS + thread * CLAIM_STRIDE;
    if (compareExchange(words, claim, NO_CALL, call) !== NO_CALL) return false;
    let failed = false;
    if (compareExchange(words, STATE, state, state - 1) === state) {
      try {
        this.#call(call - 1, thread);
      } catch {
        failed = true;
      }
    } // else another was quicker: look again
    if (failed) store(words, FAILED, 1);
    compareExchange(words, claim, call, NO_CALL); // unless given up meanwhile
    if (load(words, CALLER_SLEEPS) === 1) notify(words, claim);
    return true;
  }

  /** The last calls are at work on other threads. On a busy machine these may need this thread's core. */
  #waitForOthers(started: number, repeatable: boolean): void {
    const words = this.#words;
    let spins = 0;
    let last = 0;
    let patience = Infinity;
    for (let thread = 1; thread < this.threads; thread++) {
      const at = CLAIMS + thread * CLAIM_STRIDE;
      for (let claim = load(words, at); claim > 0; claim = load(words, at)) {
        if (++spins < SPINS) continue;
        const time = now();
        if (patience === Infinity) patience = LEAST_PATIENCE + 10 * (time - started);
        else patience -= min(time - last, STEP);
        last = time;
        if (patience <= 0) {
          this.#giveUp(thread, claim, repeatable);
        } else if (this.#maySleep) {
          store(words, CALLER_SLEEPS, 1);
          wait(words, at, claim, STEP);
          store(words, CALLER_SLEEPS, 0);
        } else {
          spins = 0;
        }
      }
    }
  }

  #giveUp(thread: number, claim: number, repeatable: boolean): void {
    const words = this.#words;
    if (compareExchange(words, CLAIMS + thread * CLAIM_STRIDE, claim, GIVEN_UP) !== claim) return;
    this.#onGivenUp(thread);
    try {
      if (repeatable) this.#call(claim - 1, 0);
      else store(words, FAILED, 1);
    } catch {
      store(words, FAILED, 1);
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
