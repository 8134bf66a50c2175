import { EXIT_INTERRUPTED } from "./exit.js";

/**
 * A signal that Ctrl-C (or a request to terminate) aborts, so that a command can take its partial files away; a second
 * one ends the process at once. `dispose` puts the process back as it was.
 */
export function onInterrupt(): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  let firstAt = 0;
  const listener = (): void => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort();
    } else if (performance.now() - firstAt > SAME_KEY_PRESS_MS) {
      process.exit(EXIT_INTERRUPTED);
    }
  };
  for (const name of SIGNALS) process.on(name, listener);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of SIGNALS) process.off(name, listener);
    },
  };
}

/** One Ctrl-C can arrive twice: from the terminal and from a package manager that passes it on. */
const SAME_KEY_PRESS_MS = 500;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
