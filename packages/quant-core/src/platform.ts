import type * as buffer from "node:buffer";
import type * as childProcess from "node:child_process";
import type * as crypto from "node:crypto";
import type * as fs from "node:fs";
import type * as fsPromises from "node:fs/promises";
import type * as module from "node:module";
import type * as os from "node:os";
import type * as path from "node:path";
import type * as url from "node:url";
import type * as workerThreads from "node:worker_threads";
import { BackendError } from "./errors.js";

interface NodeBuiltins {
  "node:buffer": typeof buffer;
  "node:child_process": typeof childProcess;
  "node:crypto": typeof crypto;
  "node:fs": typeof fs;
  "node:fs/promises": typeof fsPromises;
  "node:module": typeof module;
  "node:os": typeof os;
  "node:path": typeof path;
  "node:url": typeof url;
  "node:worker_threads": typeof workerThreads;
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
  return process.getBuiltinModule(id) as unknown as NodeBuiltins[Id];
}
