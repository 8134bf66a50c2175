/** The script of a pool's worker: the same kernels on the same memory, serving the pool's queue until it is ended. */
import { isNode, nodeBuiltin } from "../../platform.js";
import { CallQueue } from "./call-queue.js";

/** What a worker is started with. */
export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Address of the call queue. */
  readonly queue: number;
  /** 1… */
  readonly thread: number;
}

function start({ module, memory, queue, thread }: ThreadStart): void {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  new CallQueue(memory, queue, exports).serve(thread);
}

if (isNode) start(nodeBuiltin("node:worker_threads").workerData as ThreadStart);
else addEventListener("message", ({ data }) => start(data as ThreadStart));
