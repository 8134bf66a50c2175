/**
 * An AbortController that is aborted with any of its parents too, until it is released. Unlike AbortSignal.any it leaves
 * nothing behind in a parent that lives for thousands of calls.
 */
export class LinkedAbort {
  readonly #controller = new AbortController();
  readonly #links: { readonly parent: AbortSignal; readonly follow: () => void }[] = [];

  constructor(...parents: readonly (AbortSignal | undefined)[]) {
    for (const parent of parents) {
      if (parent === undefined) continue;
      const follow = () => this.#controller.abort(parent.reason);
      if (parent.aborted) follow();
      else parent.addEventListener("abort", follow, { once: true });
      this.#links.push({ parent, follow });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @param reason default: an AbortError */
  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  release(): void {
    for (const { parent, follow } of this.#links) parent.removeEventListener("abort", follow);
  }
}
