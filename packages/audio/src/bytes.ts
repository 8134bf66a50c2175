import { isNode, nodeBuiltin, ResourceError } from "@voxquant/quant-core";

/** Bytes read or handed on at once. */
const CHUNK = 262_144;

export type ByteInput = string | URL | Uint8Array | Blob | AsyncIterable<Uint8Array>;

/**
 * A file's bytes in chunks: of a path (Node), an http(s), data: or file: URL, bytes in memory, a Blob, or a stream.
 * @throws ResourceError if the file or address cannot be read
 */
export function byteChunks(source: ByteInput, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  if (source instanceof Uint8Array) return slices(source);
  if (typeof Blob !== "undefined" && source instanceof Blob) return streamChunks(source.stream());
  if (source instanceof URL)
    return source.protocol === "file:" ? fileChunks(source) : urlChunks(source.href, signal);
  if (typeof source !== "string") return source as AsyncIterable<Uint8Array>;
  if (!isNode || /^(https?|data|blob):/i.test(source)) return urlChunks(source, signal);
  return fileChunks(source.startsWith("file:") ? new URL(source) : source);
}

/** Size of a file, Blob or bytes in memory; null where it shows only at the end (streams, URLs). */
export async function byteLengthOf(source: ByteInput): Promise<number | null> {
  if (source instanceof Uint8Array) return source.length;
  if (typeof Blob !== "undefined" && source instanceof Blob) return source.size;
  const isPath = typeof source === "string" && isNode && !/^(https?|data|blob|file):/i.test(source);
  if (!isPath) return null;
  try {
    const { size } = await nodeBuiltin("node:fs/promises").stat(source);
    return size > 0 ? size : null; // devices and pipes have no size
  } catch {
    return null; // reading it will say why
  }
}

/** Consecutive parts as one. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}

async function* fileChunks(path: string | URL): AsyncGenerator<Uint8Array> {
  const name = String(path);
  let file;
  try {
    file = await nodeBuiltin("node:fs/promises").open(path, "r");
  } catch (cause) {
    throw new ResourceError(`${name}: ${fileProblem(cause)}`, { cause });
  }
  try {
    for (;;) {
      const { bytesRead, buffer } = await file
        .read(new Uint8Array(CHUNK), 0, CHUNK)
        .catch((cause: unknown) => {
          throw new ResourceError(`${name}: ${fileProblem(cause)}`, { cause });
        });
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function fileProblem(cause: unknown): string {
  switch ((cause as { code?: string }).code) {
    case "ENOENT":
      return "there is no such file";
    case "EISDIR":
      return "this is a folder, an audio file is needed";
    case "EACCES":
      return "no permission to read it";
    default:
      return `cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
  }
}

async function* urlChunks(url: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const name = url.startsWith("data:") ? "data: URL" : url;
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ResourceError(
      `${name}: cannot be fetched (${cause instanceof Error ? cause.message : String(cause)})`,
      { cause },
    );
  }
  if (!response.ok) throw new ResourceError(`${name}: HTTP status ${response.status}`);
  if (response.body !== null) yield* streamChunks(response.body);
}

async function* streamChunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* slices(value);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
