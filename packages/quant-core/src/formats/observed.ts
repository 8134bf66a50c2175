import type { Checkpoint } from "./checkpoint.js";

export interface ReadObserver {
  /** Ends reading: seen before each tensor. */
  readonly signal?: AbortSignal;
  /** A tensor was read. */
  onRead?(name: string, byteLength: number): void;
}

/** The same checkpoint, with an abort seen before each tensor that is read and every read reported. */
export function observeReads(checkpoint: Checkpoint, { signal, onRead }: ReadObserver): Checkpoint {
  return withReads(checkpoint, async (name) => {
    signal?.throwIfAborted();
    const weight = await checkpoint.read(name);
    onRead?.(name, weight.bytes.byteLength);
    return weight;
  });
}

/** The same checkpoint, whose tensors are read in another way. */
export function withReads(checkpoint: Checkpoint, read: Checkpoint["read"]): Checkpoint {
  return {
    format: checkpoint.format,
    location: checkpoint.location,
    files: checkpoint.files,
    metadata: checkpoint.metadata,
    tensors: checkpoint.tensors,
    ...(checkpoint.gguf === undefined ? {} : { gguf: checkpoint.gguf }),
    read,
    readRange: (name, start, end) => checkpoint.readRange(name, start, end),
    verifyUnchanged: () => checkpoint.verifyUnchanged(),
    close: () => checkpoint.close(),
  };
}
