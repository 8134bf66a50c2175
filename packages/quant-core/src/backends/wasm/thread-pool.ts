import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";
import { CALL_QUEUE_BYTES, CallQueue } from "./call-queue.js";
import type { WasmMemory } from "./memory.js";
import type { InstantiatedKernels } from "./module.js";
import { canShareMemory, isShared } from "./shared-memory.js";
import type { ThreadStart } from "./thread.js";

/** Without a wish: decoding is bound by memory, which more threads than this do not make faster. */
const MOST_BY_DEFAULT = 8;

const pools = new Set<ThreadPool>();
/** Whether there are kernels that have no pool. */
let alone = false;
let wished: number | null = null;

/** Threads of all pools, the caller's included. */
export function setWasmThreads(count: number): void {
  wished = count;
  for (const pool of pools) pool.resize(count);
}

/** Threads that the kernels work with, the caller's included; before the first device, those that they will have. */
export function wasmThreads(): number {
  if (pools.size === 0) return alone ? 1 : wantedThreads();
  let most = 1;
  for (const pool of pools) most = Math.max(most, pool.working);
  return most;
}

/**
 * The threads of kernels, null where they have the caller's alone: their memory cannot be shared, also because an
 * application may have started the TensorFlow.js backend before, in its own way.
 * @throws BackendError when memory is out
 */
export function startThreads(kernels: InstantiatedKernels, memory: WasmMemory): ThreadPool | null {
  if (isShared(memory.memory)) return new ThreadPool(kernels, memory, wantedThreads());
  alone = true;
  return null;
}

/** What was asked for, else one per core up to 8; 1 where memory cannot be shared. */
export function wantedThreads(): number {
  if (!canShareMemory()) return 1;
  if (wished !== null) return wished;
  const cores = isNode ? nodeBuiltin("node:os").availableParallelism() : navigator.hardwareConcurrency;
  return Math.max(1, Math.min(cores, MOST_BY_DEFAULT));
}

/** A worker of a pool. */
interface PoolWorker {
  /** Whether it could not start, or has ended since. */
  failed: boolean;
  /** At once, in the middle of whatever it does. */
  end(): void;
}

/**
 * Workers that share this thread's memory and kernels. Nothing waits for a worker to start: calls are taken by the
 * threads that are there, and this thread is always one of them. Workers live as long as the page or process; one that
 * ends before, or does not end its call, is gone on without.
 */
export class ThreadPool {
  readonly #kernels: InstantiatedKernels;
  readonly #memory: WebAssembly.Memory;
  readonly #queueAt: number;
  readonly #queue: CallQueue;
  readonly #workers: PoolWorker[] = [];

  /** @throws BackendError when memory is out */
  constructor(kernels: InstantiatedKernels, memory: WasmMemory, threads: number) {
    this.#kernels = kernels;
    this.#memory = memory.memory;
    this.#queueAt = memory.allocate(CALL_QUEUE_BYTES, "queue of the WASM threads");
    memory.bytes(this.#queueAt, CALL_QUEUE_BYTES).fill(0);
    this.#queue = new CallQueue(this.#memory, this.#queueAt, kernels.instance.exports, (thread) => {
      const worker = this.#workers[thread - 1]!;
      worker.failed = true;
      worker.end();
    });
    this.resize(threads);
    pools.add(this);
  }

  /** This thread included. */
  get threads(): number {
    return this.#queue.threads;
  }

  /** As `threads`, without workers that failed. */
  get working(): number {
    const failed = this.#workers.slice(0, this.threads - 1).filter((worker) => worker.failed);
    return this.threads - failed.length;
  }

  /** Workers that have begun to serve. */
  get started(): number {
    return this.#queue.started;
  }

  /** More workers are started; those that are too many sleep, as ending one could lose a call that it has taken. */
  resize(threads: number): void {
    for (let thread = this.#workers.length + 1; thread < threads; thread++) {
      const { module } = this.#kernels;
      this.#workers.push(startWorker({ module, memory: this.#memory, queue: this.#queueAt, thread }));
    }
    this.#queue.threads = threads;
  }

  /** See `CallQueue.run`. @throws BackendError if a call did not come to its end */
  run(...call: Parameters<CallQueue["run"]>): void {
    if (this.#queue.run(...call)) return;
    throw new BackendError(
      `the WASM kernel ${call[0]} failed on one of ${this.threads} threads; load the model again`,
    );
  }
}

/**
 * A worker that does not start takes no calls, and is no more than that: others do the work. The path leads to the
 * compiled script from the sources and from dist alike; `new Worker(new URL(…, import.meta.url))`, written out, is what
 * bundlers recognise as a worker.
 */
function startWorker(start: ThreadStart): PoolWorker {
  const started: PoolWorker = { failed: false, end: () => undefined };
  const onEnd = (): void => void (started.failed = true);
  try {
    if (isNode) {
      const { Worker } = nodeBuiltin("node:worker_threads");
      const script = new URL("../../../dist/backends/wasm/thread.js", import.meta.url);
      const worker = new Worker(script, { workerData: start });
      worker.on("error", onEnd);
      worker.on("exit", onEnd);
      worker.unref(); // it does not keep the process alive
      started.end = () => void worker.terminate();
    } else {
      const worker = new Worker(new URL("../../../dist/backends/wasm/thread.js", import.meta.url), {
        type: "module",
      });
      worker.addEventListener("error", onEnd);
      worker.postMessage(start);
      started.end = () => worker.terminate();
    }
  } catch {
    onEnd(); // a page's security policy or Node's permissions may forbid workers
  }
  return started;
}
