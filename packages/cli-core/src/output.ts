import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, open, rename, rm, writeFile, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ResourceError } from "@voxquant/quant-core";

/**
 * Says before the work what would go wrong after it: the file exists already, or its folder cannot be written to.
 * @throws ResourceError
 */
export async function checkWritable(path: string, force: boolean): Promise<void> {
  if (existsSync(path)) {
    if (statSync(path).isDirectory()) throw new ResourceError(`${path} is a folder; name a file in it`);
    if (!isSpecial(path) && !force)
      throw new ResourceError(
        `${path} exists already: choose another --output, or overwrite it with --force`,
      );
    if (isSpecial(path)) return;
  }
  let folder = dirname(resolve(path));
  while (!existsSync(folder)) folder = dirname(folder);
  const probe = temporaryName(join(folder, "probe"));
  try {
    await (await open(probe, "wx")).close();
  } catch (error) {
    throw new ResourceError(`${path} cannot be written: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(probe, { force: true }).catch(() => undefined);
  }
}

/**
 * Writes a whole file or nothing: into a temporary file beside it, to the disk, then renamed. Devices and pipes are written
 * directly.
 * @throws ResourceError for a full disk or anything else that the system refuses
 */
export async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  try {
    if (isSpecial(path)) {
      await writeFile(path, content);
      return;
    }
    await mkdir(dirname(resolve(path)), { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new ResourceError(
      `${path} could not be written, nothing was left there: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/**
 * A file that is written piece by piece and appears whole or not at all: until `commit` its bytes are in a hidden file
 * beside it. Devices and pipes are written directly, and their bytes cannot be changed any more.
 */
export class OutputFile {
  readonly path: string;
  /** False for a device or pipe. */
  readonly canPatch: boolean;
  readonly #temporary: string;
  readonly #file: FileHandle;

  private constructor(path: string, temporary: string, file: FileHandle, canPatch: boolean) {
    this.path = path;
    this.canPatch = canPatch;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** Makes the folders that lack. @throws ResourceError if it cannot be written there */
  static async create(path: string): Promise<OutputFile> {
    try {
      if (isSpecial(path)) return new OutputFile(path, path, await open(path, "w"), false);
      await mkdir(dirname(resolve(path)), { recursive: true });
      const temporary = temporaryName(path);
      return new OutputFile(path, temporary, await open(temporary, "wx"), true);
    } catch (cause) {
      throw new ResourceError(`${path} cannot be written: ${(cause as Error).message}`, { cause });
    }
  }

  /** Appends bytes. @throws ResourceError, e.g. for a full disk; the file is then to be discarded */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#attempt(() => this.#file.writeFile(bytes));
  }

  /** Overwrites bytes that were written before. @throws ResourceError */
  async patch(position: number, bytes: Uint8Array): Promise<void> {
    await this.#attempt(() => this.#file.write(bytes, 0, bytes.length, position));
  }

  /** Gives the file its name. @throws ResourceError; then nothing is left */
  async commit(): Promise<void> {
    try {
      await this.#attempt(async () => {
        if (this.canPatch) await this.#file.sync();
        await this.#file.close();
        if (this.canPatch) await rename(this.#temporary, this.path);
      });
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  /** Leaves nothing of it; may be called after anything. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    if (this.canPatch) await rm(this.#temporary, { force: true }).catch(() => undefined);
  }

  async #attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (cause) {
      throw new ResourceError(
        `${this.path} could not be written, nothing was left there: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/** A device or pipe such as /dev/stdout: it exists always, and must not be replaced by a file. */
function isSpecial(path: string): boolean {
  if (!existsSync(path)) return false;
  const status = statSync(path);
  return !status.isFile() && !status.isDirectory();
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.partial`);
}
