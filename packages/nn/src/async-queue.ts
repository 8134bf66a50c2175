/**
 * Hands values from callbacks to one `for await` loop, in order. Values may be weighed, so that their producer can wait
 * until the loop has taken enough of them.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  readonly #weigh: (value: T) => number;
  /** Weight of the values that nobody took yet. */
  #weight = 0;
  #end: { readonly error?: unknown } | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeProducer: (() => void) | null = null;

  /** @param weigh default: each value weighs 1 */
  constructor(weigh: (value: T) => number = () => 1) {
    this.#weigh = weigh;
  }

  push(value: T): void {
    this.#values.push(value);
    this.#weight += this.#weigh(value);
    this.#wakeReader?.();
  }

  /** Replaces the last value if `isStale` says so and nobody took it yet, so that a slow reader is not left behind. */
  pushLatest(value: T, isStale: (last: T) => boolean): void {
    const last = this.#values.at(-1);
    if (last !== undefined && isStale(last)) {
      this.#values.pop();
      this.#weight -= this.#weigh(last);
    }
    this.push(value);
  }

  /** Resolves once what waits to be taken weighs at most so much, or the queue has ended. For one producer. */
  async roomFor(weight: number): Promise<void> {
    while (this.#weight > weight && this.#end === null) {
      await new Promise<void>((resolve) => (this.#wakeProducer = resolve));
      this.#wakeProducer = null;
    }
  }

  close(): void {
    this.#finish({});
  }

  /** The loop throws the error after the values before it. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  /** The loop throws the error now: values that nobody took are dropped. */
  cancel(error: unknown): void {
    this.#values.length = 0;
    this.#weight = 0;
    this.#finish({ error });
  }

  /** The first end counts. */
  #finish(end: { readonly error?: unknown }): void {
    this.#end ??= end;
    this.#wakeReader?.();
    this.#wakeProducer?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      while (this.#values.length > 0) {
        const value = this.#values.shift()!;
        this.#weight -= this.#weigh(value);
        this.#wakeProducer?.();
        yield value;
      }
      if (this.#end !== null) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      }
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      this.#wakeReader = null;
    }
  }
}
