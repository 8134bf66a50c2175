import { FormatError } from "../errors.js";

/** Random access to the bytes of one file: local, remote or in memory. */
export interface ByteSource {
  /** Base name, for messages and for `TensorInfo.file`. */
  readonly name: string;
  /** Path, URL or description, for messages. */
  readonly location: string;
  readonly byteLength: number;
  /** Bytes `[start, end)` without a copy, where the file is mapped or in memory; null elsewhere. */
  view(start: number, end: number): Uint8Array | null;
  /**
   * Bytes `[start, end)`: a view or the bytes read now.
   * @throws ResourceError if the file was cut or cannot be read
   */
  read(start: number, end: number): Promise<Uint8Array>;
  /** @throws ResourceError if the file is not what it was when it was opened */
  verifyUnchanged(): Promise<void>;
  /** Ends access. Views of a mapped file become empty. */
  close(): Promise<void>;
}

export class MemorySource implements ByteSource {
  readonly name: string;
  readonly location: string;
  readonly byteLength: number;
  readonly #bytes: Uint8Array;

  constructor(data: ArrayBuffer | Uint8Array, name = "buffer") {
    // A plain view also of Node's Buffer, whose slice() does not copy.
    this.#bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    this.name = name;
    this.location = name;
    this.byteLength = this.#bytes.byteLength;
  }

  view(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    return this.view(start, end);
  }

  async verifyUnchanged(): Promise<void> {
    // The caller owns the memory and its content.
  }

  async close(): Promise<void> {
    // Nothing is held but the caller's memory.
  }
}

export class BlobSource implements ByteSource {
  readonly name: string;
  readonly location: string;
  readonly byteLength: number;
  readonly #blob: Blob;

  constructor(blob: Blob) {
    const name = (blob as Partial<File>).name;
    this.#blob = blob;
    this.name = typeof name === "string" && name !== "" ? name : "blob";
    this.location = this.name;
    this.byteLength = blob.size;
  }

  view(): null {
    return null;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#blob.slice(start, end).arrayBuffer());
  }

  async verifyUnchanged(): Promise<void> {
    // A Blob is immutable; the browser fails the read of a File that changed on disk.
  }

  async close(): Promise<void> {
    // The Blob belongs to the caller.
  }
}

/** Thrown by a header parser that needs the file up to `end` to go on. */
export class MoreBytesNeeded extends Error {
  readonly end: number;

  constructor(end: number) {
    super(`header continues to byte ${end}`);
    this.end = end;
  }
}

/** First read of a header: most safetensors headers and GGUF headers without a tokenizer fit. */
const FIRST_READ_BYTES = 64 * 1024;

/** Each further read makes the prefix this much longer, so that parsing it anew costs a third more at most. */
const PREFIX_GROWTH = 4;

/**
 * Runs `parse` on the beginning of a file, with more of it each time that it throws MoreBytesNeeded, so that a remote
 * header is read without the tensors. The parser itself refuses what goes beyond the file's end; a header of more than
 * `limit` bytes is refused here.
 * @throws FormatError
 */
export async function parsePrefix<T>(
  source: ByteSource,
  limit: number,
  parse: (prefix: Uint8Array) => T,
): Promise<T> {
  const longest = Math.min(limit, source.byteLength);
  let length = Math.min(FIRST_READ_BYTES, longest);
  let prefix = source.view(0, longest) ?? (await source.read(0, length));
  for (;;) {
    try {
      return parse(prefix);
    } catch (error) {
      if (!(error instanceof MoreBytesNeeded)) throw error;
      if (prefix.length >= longest || error.end > longest) {
        throw new FormatError(
          `${source.location}: the header continues to byte ${error.end}, headers of more than ${limit} bytes are refused`,
        );
      }
      length = Math.min(longest, Math.max(length * PREFIX_GROWTH, error.end));
      const longer = new Uint8Array(length);
      longer.set(prefix);
      longer.set(await source.read(prefix.length, length), prefix.length);
      prefix = longer;
    }
  }
}

/** A name from a file as it can stand in a message: quoted, control characters escaped, not too long. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 97)}...` : name);
}
