import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";
import { CALL_QUEUE_BYTES, CallQueue, type ScratchParameter } from "./call-queue.js";
import type { WasmMemory } from "./memory.js";
import type { InstantiatedKernels, KernelModule } from "./module.js";
import { canShareMemory } from "./shared-memory.js";
import type { ThreadStart } from "./thread.js";

/** Without a wish: decoding is bound by memory, which more threads than this do not make faster. */
const MOST_BY_DEFAULT = 8;

interface EndableWorker {
  terminate(): unknown;
}

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
 * threads that are there, and this thread is always one of them.
 */
export class ThreadPool {
  readonly #kernels: InstantiatedKernels;
  readonly #memory: WebAssembly.Memory;
  readonly #queueAt: number;
  readonly #queue: CallQueue;
  readonly #workers: EndableWorker[] = [];
  readonly #failed = new Set<EndableWorker>();

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
    return this.#workers.length + 1;
  }

  /** As `threads`, without workers that could not start. */
  get working(): number {
    return this.threads - this.#failed.size;
  }

  /** Workers that have begun to serve since the pool was made. */
  get started(): number {
    return this.#queue.started;
  }

  /** Between calls of `run`, when no worker holds a call. */
  resize(threads: number): void {
    while (this.threads > threads) {
      const worker = this.#workers.pop()!;
      this.#failed.delete(worker);
      void worker.terminate();
    }
    while (this.threads < threads) {
      const { module } = this.#kernels;
      const start = { module, memory: this.#memory, queue: this.#queueAt, thread: this.threads };
      const worker = startWorker(start, () => this.#failed.add(worker));
      this.#workers.push(worker);
    }
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
 * The path leads to the compiled script from the sources and from dist alike. `new Worker(new URL(…, import.meta.url))`,
 * written out, is what bundlers recognise as a worker.
 */
function startWorker(start: ThreadStart, onFailure: () => void): EndableWorker {
  if (isNode) {
    const { Worker } = nodeBuiltin("node:worker_threads");
    const script = new URL("../../../dist/backends/wasm/thread.js", import.meta.url);
    const worker = new Worker(script, { workerData: start });
    // A worker that does not start takes no calls; it must not end the process, nor keep it alive.
    worker.on("error", onFailure);
    worker.unref();
    return worker;
  }
  const worker = new Worker(new URL("../../../dist/backends/wasm/thread.js", import.meta.url), {
    type: "module",
  });
  worker.addEventListener("error", onFailure);
  worker.postMessage(start);
  return worker;
}
