/** Longest stretch of work before the event loop gets a turn: below what a person or a socket notices. */
const BUDGET_MS = 12;

/**
 * Lets the event loop run between steps of long work: timers fire, sockets are read, an abort arrives. Passing by costs
 * nothing while the last turn was a moment ago.
 */
export class EventLoopBreak {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** @throws the signal's reason once it is aborted */
  async pass(): Promise<void> {
    if (performance.now() - this.#last > BUDGET_MS) {
      await nextTurn();
      this.#last = performance.now();
    }
    this.#signal?.throwIfAborted();
  }
}

/** Resolves after pending input and timers had their turn (a resolved promise alone would not let them). */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    // Browsers delay nested timeouts by 4 ms; a message does not.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
