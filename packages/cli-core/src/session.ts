import type { Terminal } from "./terminal.js";
import type { Environment } from "./hub/cache.js";

/** What every command gets: where to write, when to stop, and the environment's settings. */
export interface Session {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly env: Environment;
}
