import type { BigIntStats } from "node:fs";
import { ResourceError, VoxquantError } from "../errors.js";
import { nodeBuiltin } from "../platform.js";
import type { ByteSource } from "./byte-source.js";

/** The part of the native addon that maps files into memory. */
export interface FileMapper {
  /** Maps a file read-only. `handle` stands for the mapping. */
  mapFile(path: string): { readonly buffer: ArrayBuffer; readonly handle: unknown };
  /** Unmaps now; the buffer and its views become empty. */
  unmapFile(handle: unknown): void;
  /** True after a page of the mapping was missing, because the file was cut: such pages read as zeros. */
  mappingFault(handle: unknown): boolean;
}

/** One read of the operating system: some return at most 2 GiB. */
const MAX_READ_BYTES = 2 ** 30;

/** A local file: mapped where `mapper` is given and can, else read at positions as asked. Node only. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly location: string;
  readonly byteLength: number;
  readonly #opened: BigIntStats;
  readonly #mapper: FileMapper | null;
  #mapping: { readonly buffer: ArrayBuffer; readonly handle: unknown } | null = null;
  #descriptor: number | null;

  /** @throws ResourceError if the file cannot be opened or is not a regular file */
  static async open(path: string, mapper: FileMapper | null): Promise<FileSource> {
    try {
      // Opening a named pipe would wait for a writer.
      if (!nodeBuiltin("node:fs").statSync(path).isFile())
        throw new ResourceError(`${path}: not a regular file`);
      return new FileSource(path, mapper);
    } catch (error) {
      throw fileError(path, error);
    }
  }

  private constructor(path: string, mapper: FileMapper | null) {
    const fs = nodeBuiltin("node:fs");
    this.name = nodeBuiltin("node:path").basename(path);
    this.location = path;
    this.#descriptor = fs.openSync(path, "r");
    this.#opened = fs.fstatSync(this.#descriptor, { bigint: true });
    this.byteLength = Number(this.#opened.size);
    this.#mapper = mapper;
    // A mapping is one ArrayBuffer, and the engine ends the process when asked for one beyond its limit.
    const mappable =
      this.byteLength > 0 && this.byteLength <= nodeBuiltin("node:buffer").constants.MAX_LENGTH;
    if (mapper === null || !mappable) return;
    try {
      this.#mapping = mapper.mapFile(path);
    } catch {
      return; // not every file system can map files: positional reads serve as well
    }
    if (this.#mapping.buffer.byteLength === this.byteLength) {
      this.#closeDescriptor();
    } else {
      this.#unmap();
    }
  }

  view(start: number, end: number): Uint8Array | null {
    return this.#mapping === null ? null : new Uint8Array(this.#mapping.buffer, start, end - start);
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    const view = this.view(start, end);
    if (view !== null) {
      this.#checkNotCut();
      return view;
    }
    if (this.#descriptor === null) throw new ResourceError(`${this.location}: the file was closed`);
    const bytes = allocateBytes(end - start, this.location);
    for (let done = 0; done < bytes.length;) {
      const count = await this.#readAt(bytes, done, start + done);
      if (count === 0)
        throw new ResourceError(`${this.location}: the file was cut while in use, at byte ${start + done}`);
      done += count;
    }
    return bytes;
  }

  async verifyUnchanged(): Promise<void> {
    const now = this.#statNow();
    if (now === null) throw new ResourceError(`${this.location}: the file was removed while in use`);
    const { dev, ino, size, mtimeNs } = this.#opened;
    const problem =
      now.dev !== dev || now.ino !== ino
        ? "was replaced"
        : now.size !== size
          ? `changed its size from ${size} to ${now.size} bytes`
          : now.mtimeNs !== mtimeNs
            ? "was written to"
            : this.#mapping !== null && this.#mapper!.mappingFault(this.#mapping.handle)
              ? "was cut"
              : null;
    if (problem !== null) {
      throw new ResourceError(`${this.location}: the file ${problem} while in use; load it again`);
    }
  }

  async close(): Promise<void> {
    this.#unmap();
    this.#closeDescriptor();
  }

  /** Pages past the new end of a mapped file cannot be read: say so before somebody tries. */
  #checkNotCut(): void {
    const now = this.#statNow();
    const isSame = now !== null && now.ino === this.#opened.ino && now.dev === this.#opened.dev;
    if ((isSame && now.size < this.#opened.size) || this.#mapper!.mappingFault(this.#mapping!.handle)) {
      throw new ResourceError(`${this.location}: the file was cut while in use; load it again`);
    }
  }

  #statNow(): BigIntStats | null {
    const now = nodeBuiltin("node:fs").statSync(this.location, { bigint: true, throwIfNoEntry: false });
    return now ?? null;
  }

  #readAt(bytes: Uint8Array, at: number, position: number): Promise<number> {
    const length = Math.min(bytes.length - at, MAX_READ_BYTES);
    return new Promise((resolve, reject) => {
      nodeBuiltin("node:fs").read(this.#descriptor!, bytes, at, length, position, (error, count) => {
        if (error === null) resolve(count);
        else reject(fileError(this.location, error));
      });
    });
  }

  #unmap(): void {
    if (this.#mapping !== null) this.#mapper!.unmapFile(this.#mapping.handle);
    this.#mapping = null;
  }

  #closeDescriptor(): void {
    if (this.#descriptor !== null) nodeBuiltin("node:fs").closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

/** Bytes for the content of a file whose size is known. @throws ResourceError if there is no memory for them */
export function allocateBytes(byteLength: number, location: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(byteLength);
  } catch (cause) {
    throw new ResourceError(`${location}: there is no memory for ${byteLength} bytes of it`, { cause });
  }
}

const FILE_PROBLEMS: Record<string, string> = {
  ENOENT: "there is no such file",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "is a folder, a file was expected",
  EACCES: "no permission",
  EPERM: "not permitted",
  ELOOP: "too many symbolic links",
  EMFILE: "too many files are open in this process",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  EIO: "the disk or network drive failed",
};

/** A file system error as one with a message for users. */
export function fileError(path: string, error: unknown): VoxquantError {
  if (error instanceof VoxquantError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const problem = (code === undefined ? undefined : FILE_PROBLEMS[code]) ?? message;
  return new ResourceError(`${path}: ${problem}`, { cause: error });
}
