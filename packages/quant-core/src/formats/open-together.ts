import type { Checkpoint } from "./checkpoint.js";
import type { ModelSource } from "./folder.js";
import { openCheckpoint, type OpenOptions } from "./open.js";

export type OpenCheckpoint = (from: ModelSource) => Promise<Checkpoint>;

/** What was put together from several checkpoints. */
export interface OpenedTogether<T> {
  readonly parts: T;
  /** @throws ResourceError if a file changed since it was opened */
  verifyUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** Puts a model together from checkpoints, which are closed together, also where that fails. @throws as `assemble` */
export async function openTogether<T>(
  options: OpenOptions,
  assemble: (open: OpenCheckpoint) => Promise<T>,
): Promise<OpenedTogether<T>> {
  const opened: Checkpoint[] = [];
  const close = async () => {
    for (const checkpoint of opened) await checkpoint.close();
  };
  try {
    const parts = await assemble(async (from) => {
      const checkpoint = await openCheckpoint(from, options);
      opened.push(checkpoint);
      return checkpoint;
    });
    return {
      parts,
      verifyUnchanged: async () => {
        for (const checkpoint of opened) await checkpoint.verifyUnchanged();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
