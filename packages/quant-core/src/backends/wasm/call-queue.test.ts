import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { CALL_QUEUE_BYTES, CallQueue } from "./call-queue.js";

/** Words of the shared memory, behind the queue: whether the worker has a call, and how often each call ended. */
const WORKER_AT_WORK = 0;
const ENDED = 1;
const CALLS = 6;

/** A thread that says it has a call, and then ends itself (or does not go on) in the middle of it. */
const WORKER = `
  import { workerData } from "node:worker_threads";
  const { memory, script, dies, words } = workerData;
  const { CallQueue } = await import(script);
  const atWork = new Int32Array(memory.buffer, words, 1);
  const kernel = (call) => {
    Atomics.store(atWork, 0, 1);
    Atomics.notify(atWork, 0);
    if (dies) process.exit();
    for (;;);
  };
  new CallQueue(memory, 0, { kernel }).serve(1);
`;

/** Runs calls until the worker has one, in which it stays; what came of that run. */
async function loseWorker(dies: boolean, repeatable: boolean) {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const words = new Int32Array(memory.buffer, CALL_QUEUE_BYTES, ENDED + CALLS);
  const workerData = {
    ...{ memory, dies, words: CALL_QUEUE_BYTES },
    script: new URL("../../../dist/backends/wasm/call-queue.js", import.meta.url).href,
  };
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(WORKER)}`), { workerData });
  const exit = once(worker, "exit");
  const givenUp: number[] = [];
  const kernel = (call: number): void => {
    Atomics.wait(words, WORKER_AT_WORK, 0);
    Atomics.add(words, ENDED + call, 1);
  };
  const queue = new CallQueue(memory, 0, { kernel }, (thread) => {
    givenUp.push(thread);
    void worker.terminate();
  });
  queue.threads = 2;
  while (queue.started === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const run = (): { done: boolean; counts: number[] } => {
    words.fill(0, ENDED);
    const done = queue.run("kernel", CALLS, null, repeatable, (call, into, at) => (into[at] = call));
    return { done, counts: [...words.subarray(ENDED)] };
  };
  const first = run();
  await exit;
  return { first, second: run(), givenUp };
}

test.each([
  ["dies", true],
  ["does not come back", false],
])("the call of a worker that %s is made by the caller, which goes on without it", async (_, dies) => {
  const all = { done: true, counts: new Array<number>(CALLS).fill(1) };
  expect(await loseWorker(dies, true)).toEqual({ first: all, second: all, givenUp: [1] });
});

test("a call half made on its own input is not made again, but an error", async () => {
  const { first, second, givenUp } = await loseWorker(true, false);
  expect(first.done).toBe(false);
  expect(first.counts.filter((count) => count === 1)).toHaveLength(CALLS - 1);
  expect(second.done).toBe(true);
  expect(givenUp).toEqual([1]);
});
