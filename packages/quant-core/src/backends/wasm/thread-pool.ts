import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";
import { CALL_QUEUE_BYTES, CallQueue, type ScratchParameter } from "./call-queue.js";
import type { WasmMemory } from "./memory.js";
import type { InstantiatedKernels, KernelModule } from "./module.js";
import { canShareMemory } from "./shared-memory.js";
import type { ThreadStart } from "./thread.js";

/** Without a wish: decoding is bound by memory, which more threads than this do not make faster. */
const MOST_BY_DEFAULT = 8;

const pools = new Set<ThreadPool>();
let wished: number | null = null;

/** Threads of all pools, the caller's included. */
export function setWasmThreads(count: number): void {
  wished = count;
  for (const pool of pools) pool.resize(count);
}

/** Threads that the kernels work with, the caller's included; before the first device, those that they will have. */
export function wasmThreads(): number {
  let most = 0;
  for (const pool of pools) most = Math.max(most, pool.working);
  return most === 0 ? wantedThreads() : most;
}

/** What was asked for, else one per core up to 8; 1 where memory cannot be shared. */
export function wantedThreads(): number {
  if (!canShareMemory()) return 1;
  if (wished !== null) return wished;
  const cores = isNode ? nodeBuiltin("node:os").availableParallelism() : navigator.hardwareConcurrency;
  return Math.max(1, Math.min(cores, MOST_BY_DEFAULT));
}

/**
 * Workers that share this thread's memory and kernels. Nothing waits for a worker to start: calls are taken by the
 * threads that are there, and this thread is always one of them. Workers live as long as the page or process.
 */
export class ThreadPool {
  readonly #kernels: InstantiatedKernels;
  readonly #memory: WebAssembly.Memory;
  readonly #queueAt: number;
  readonly #queue: CallQueue;
  /** Per worker whether it could not start or has failed since. */
  readonly #failed: boolean[] = [];

  /** @throws BackendError when memory is out */
  constructor(kernels: InstantiatedKernels, memory: WasmMemory, threads: number) {
    this.#kernels = kernels;
    this.#memory = memory.memory;
    this.#queueAt = memory.allocate(CALL_QUEUE_BYTES, "queue of the WASM threads");
    memory.bytes(this.#queueAt, CALL_QUEUE_BYTES).fill(0);
    this.#queue = new CallQueue(this.#memory, this.#queueAt, kernels.instance.exports);
    this.resize(threads);
    pools.add(this);
  }

  /** This thread included. */
  get threads(): number {
    return this.#queue.threads;
  }

  /** As `threads`, without workers that failed. */
  get working(): number {
    const failed = this.#failed.slice(0, this.threads - 1).filter(Boolean);
    return this.threads - failed.length;
  }

  /** Workers that have begun to serve. */
  get started(): number {
    return this.#queue.started;
  }

  /** More workers are started; those that are too many sleep, as ending one could lose a call that it has taken. */
  resize(threads: number): void {
    for (let worker = this.#failed.length; worker < threads - 1; worker++) {
      this.#failed.push(false);
      const { module } = this.#kernels;
      const start = { module, memory: this.#memory, queue: this.#queueAt, thread: worker + 1 };
      startWorker(start, () => (this.#failed[worker] = true));
    }
    this.#queue.threads = threads;
  }

  /** See `CallQueue.run`. @throws BackendError if a call did not come to its end */
  run(
    kernel: keyof KernelModule,
    calls: number,
    scratch: ScratchParameter | null,
    fill: (call: number, parameters: Float64Array, at: number) => void,
  ): void {
    if (this.#queue.run(kernel, calls, scratch, fill)) return;
    throw new BackendError(
      `the WASM kernel ${kernel} failed on one of ${this.threads} threads; load the model again`,
    );
  }
}

/**
 * A worker that does not start takes no calls, and is no more than that: others do the work. The path leads to the
 * compiled script from the sources and from dist alike; `new Worker(new URL(…, import.meta.url))`, written out, is what
 * bundlers recognise as a worker.
 */
function startWorker(start: ThreadStart, onFailure: () => void): void {
  if (isNode) {
    const { Worker } = nodeBuiltin("node:worker_threads");
    const script = new URL("../../../dist/backends/wasm/thread.js", import.meta.url);
    const worker = new Worker(script, { workerData: start });
    worker.on("error", onFailure);
    worker.unref(); // it does not keep the process alive
    return;
  }
  try {
    const worker = new Worker(new URL("../../../dist/backends/wasm/thread.js", import.meta.url), {
      type: "module",
    });
    worker.addEventListener("error", onFailure);
    worker.postMessage(start);
  } catch {
    onFailure(); // a page's security policy may forbid the script
  }
}
