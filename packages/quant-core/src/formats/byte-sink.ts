import { ResourceError } from "../errors.js";
import { nodeBuiltin } from "../platform.js";
import { fileError } from "./file-source.js";

/** Where a writer's bytes go, in order. The bytes may be changed by the caller after the promise is done. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Collects the bytes in memory. */
export class MemorySink implements ByteSink {
  readonly #chunks: Uint8Array[] = [];

  async write(bytes: Uint8Array): Promise<void> {
    this.#chunks.push(bytes.slice());
  }

  /** All bytes so far. */
  concat(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#chunks.reduce((length, chunk) => length + chunk.length, 0));
    let position = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, position);
      position += chunk.length;
    }
    return all;
  }
}

/**
 * A new file that appears under its name when it is complete: written under a temporary name in the same folder,
 * flushed to the disk, then renamed. End it with `commit` or `abort`. Node only.
 */
export class FileSink implements ByteSink {
  readonly path: string;
  readonly temporaryPath: string;
  #descriptor: number | null;

  /**
   * @param force replace an existing file
   * @throws ResourceError if the file exists already and `force` is not set, or the folder cannot be written
   */
  constructor(path: string, { force = false }: { readonly force?: boolean } = {}) {
    const fs = nodeBuiltin("node:fs");
    if (!force && fs.existsSync(path)) {
      throw new ResourceError(`${path}: the file exists already; remove it, or ask for it to be replaced`);
    }
    this.path = path;
    // A name of its own per process and time, opened exclusively: a leftover or a second writer is never overwritten.
    this.temporaryPath = `${path}.${process.pid}-${Date.now().toString(36)}.partial`;
    try {
      this.#descriptor = fs.openSync(this.temporaryPath, "wx");
    } catch (error) {
      throw fileError(path, error);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += await this.#writeSome(bytes, done);
  }

  #writeSome(bytes: Uint8Array, from: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const length = Math.min(bytes.length - from, 2 ** 30); // the system's limit is 2 GiB
      nodeBuiltin("node:fs").write(this.#open(), bytes, from, length, null, (error, count) => {
        if (error === null) resolve(count);
        else reject(fileError(this.path, error));
      });
    });
  }

  /** Makes the file appear. @throws ResourceError, after which `abort` removes what was written */
  async commit(): Promise<void> {
    const fs = nodeBuiltin("node:fs");
    const descriptor = this.#open();
    try {
      await new Promise<void>((resolve, reject) => {
        fs.fsync(descriptor, (error) => (error === null ? resolve() : reject(error)));
      });
      this.#descriptor = null;
      fs.closeSync(descriptor);
      fs.renameSync(this.temporaryPath, this.path);
    } catch (error) {
      throw fileError(this.path, error);
    }
  }

  /** Removes what was written. Safe after a failed `commit`; does nothing after a good one. */
  abort(): void {
    const fs = nodeBuiltin("node:fs");
    if (this.#descriptor !== null) fs.closeSync(this.#descriptor);
    this.#descriptor = null;
    fs.rmSync(this.temporaryPath, { force: true });
  }

  #open(): number {
    if (this.#descriptor === null) throw new Error(`${this.path}: written to after its end`);
    return this.#descriptor;
  }
}
