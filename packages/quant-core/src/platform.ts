import { BackendError } from "./errors.js";

interface NodeBuiltins {
  "node:fs": typeof import("node:fs");
  "node:fs/promises": typeof import("node:fs/promises");
  "node:module": typeof import("node:module");
  "node:os": typeof import("node:os");
  "node:path": typeof import("node:path");
  "node:url": typeof import("node:url");
  "node:crypto": typeof import("node:crypto");
  "node:child_process": typeof import("node:child_process");
}

/** True in Node (and Electron's Node side), false in a browser. */
export const isNode: boolean =
  typeof process === "object" &&
  typeof process.versions?.node === "string" &&
  typeof process.getBuiltinModule === "function";

/**
 * A Node built-in module, without an import statement that a browser bundler would have to resolve.
 * @throws BackendError outside Node
 */
export function nodeBuiltin<Id extends keyof NodeBuiltins>(id: Id): NodeBuiltins[Id] {
  if (!isNode) throw new BackendError(`${id} is needed for this, which exists in Node only`);
  return process.getBuiltinModule(id) as NodeBuiltins[Id];
}
