import { AsyncQueue } from "./async-queue.js";
import { LinkedAbort } from "./linked-abort.js";

async function collect<T>(queue: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of queue) values.push(value);
  return values;
}

test("values in order, those pushed before and those pushed while the reader waits", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.push(2);
  const all = collect(queue);
  await Promise.resolve();
  queue.push(3);
  await new Promise((resolve) => setTimeout(resolve, 1));
  queue.push(4);
  queue.close();
  expect(await all).toEqual([1, 2, 3, 4]);
});

test("a stale value that nobody took is replaced", async () => {
  const queue = new AsyncQueue<string>();
  queue.push("final");
  queue.pushLatest("a", (last) => last.length === 1);
  queue.pushLatest("b", (last) => last.length === 1);
  queue.close();
  expect(await collect(queue)).toEqual(["final", "b"]);
});

test("an error comes after the values before it", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.fail(new Error("broken"));
  const values: number[] = [];
  await expect(
    (async () => {
      for await (const value of queue) values.push(value);
    })(),
  ).rejects.toThrow("broken");
  expect(values).toEqual([1]);
});

test("a producer waits until enough was taken, or until the end", async () => {
  const queue = new AsyncQueue<string>((value) => value.length);
  const reader = queue[Symbol.asyncIterator]();
  let hasRoom = false;
  const wait = (weight: number) => {
    hasRoom = false;
    return queue.roomFor(weight).then(() => (hasRoom = true));
  };
  queue.push("four");
  await wait(4);
  queue.push("seven..");
  queue.push("x");
  const waiting = wait(7);
  await reader.next();
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(hasRoom).toBe(false);
  await reader.next();
  await waiting;
  queue.push("nine chars");
  const ended = wait(0);
  queue.close();
  await ended;
  expect((await reader.next()).value).toBe("x");
});

test("cancelled, it drops what nobody took, and later ends do not count", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.push(2);
  const reader = queue[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe(1);
  const reason = new Error("stop");
  queue.cancel(reason);
  queue.close();
  await expect(reader.next()).rejects.toBe(reason);
  expect(await reader.next()).toEqual({ done: true, value: undefined });
});

test("a linked abort follows its parent until it is released", () => {
  const parent = new AbortController();
  const [followed, released, own] = [1, 2, 3].map(() => new LinkedAbort(parent.signal)) as [
    LinkedAbort,
    LinkedAbort,
    LinkedAbort,
  ];
  released.release();
  own.abort();
  expect(own.signal.aborted).toBe(true);
  expect(followed.signal.aborted).toBe(false);
  const reason = new Error("stop");
  parent.abort(reason);
  expect(followed.signal.reason).toBe(reason);
  expect(released.signal.aborted).toBe(false);
  expect(new LinkedAbort(parent.signal).signal.reason).toBe(reason);
  expect(new LinkedAbort(undefined).signal.aborted).toBe(false);
  const second = new AbortController();
  const either = new LinkedAbort(undefined, new AbortController().signal, second.signal);
  expect(either.signal.aborted).toBe(false);
  second.abort(reason);
  expect(either.signal.reason).toBe(reason);
});
