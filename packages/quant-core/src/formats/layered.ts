import { ResourceError } from "../errors.js";
import { quoted } from "./byte-source.js";
import type { Checkpoint, TensorInfo } from "./checkpoint.js";

/** Further tensors of a model, and the folder below the model's own that their files lie in ("" for the same). */
export interface CheckpointLayer {
  readonly checkpoint: Checkpoint;
  readonly folder: string;
}

/**
 * Several checkpoints as one: a tensor comes from the first that has it. Format, location and metadata are the first's.
 * Closing it closes all.
 */
export function layerCheckpoints(first: Checkpoint, ...others: readonly CheckpointLayer[]): Checkpoint {
  const layers = [{ checkpoint: first, folder: "" }, ...others];
  const tensors = new Map<string, TensorInfo>();
  const owners = new Map<string, Checkpoint>();
  for (const { checkpoint } of layers) {
    for (const [name, info] of checkpoint.tensors) {
      if (owners.has(name)) continue;
      tensors.set(name, info);
      owners.set(name, checkpoint);
    }
  }
  const ownerOf = (name: string): Checkpoint => {
    const owner = owners.get(name);
    if (owner !== undefined) return owner;
    throw new ResourceError(
      `${first.location}: there is no tensor ${quoted(name)} among its ${tensors.size}`,
    );
  };
  return {
    format: first.format,
    location: first.location,
    files: layers.flatMap(({ checkpoint, folder }) =>
      checkpoint.files.map(({ name, byteLength }) => ({
        name: folder === "" ? name : `${folder}/${name}`,
        byteLength,
      })),
    ),
    metadata: first.metadata,
    tensors,
    ...(first.gguf === undefined ? {} : { gguf: first.gguf }),
    read: async (name) => ownerOf(name).read(name),
    readRange: async (name, start, end) => ownerOf(name).readRange(name, start, end),
    verifyUnchanged: async () => {
      for (const { checkpoint } of layers) await checkpoint.verifyUnchanged();
    },
    close: async () => {
      for (const { checkpoint } of layers) await checkpoint.close();
    },
  };
}
