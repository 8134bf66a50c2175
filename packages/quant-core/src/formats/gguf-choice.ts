import { ConfigError, ResourceError } from "../errors.js";

export type DecoderWeights = "auto" | "safetensors" | "gguf";

export interface GgufChoice {
  /** Base name or path of the GGUF to use, null for safetensors alone. */
  readonly name: string | null;
  /** One line for the log where the caller did not choose himself, null where there was no choice. */
  readonly reason: string | null;
}

/** What a model folder has to choose from. */
export interface FolderWeights {
  readonly location: string;
  /** Base names of its `.gguf` files (of a split one the first part). */
  readonly ggufs: readonly string[];
  readonly hasSafetensors: boolean;
  /** Names that the model's family looks for, best first. */
  readonly preference: readonly string[];
  /** The part of the model that a GGUF beside the safetensors holds, such as "decoder". */
  readonly part: string;
}

/**
 * Which GGUF of a model folder is used, in the family's order. One that the caller names wins; without
 * safetensors the only GGUF is taken whatever its name.
 * @throws ConfigError for contradictory options, or several files of which none is on the list; ResourceError if there is
 *   nothing to choose from
 */
export function chooseGguf(
  folder: FolderWeights,
  weights: DecoderWeights = "auto",
  named: string | undefined = undefined,
): GgufChoice {
  const { location, ggufs, hasSafetensors, preference, part } = folder;
  if (weights === "safetensors") {
    if (named !== undefined) {
      throw new ConfigError(
        `${part} weights "safetensors" and the ${part} GGUF ${named} exclude each other: give one`,
      );
    }
    if (hasSafetensors) return { name: null, reason: null };
    throw new ResourceError(
      `${location}: has no safetensors weights (model.safetensors or shards), which were asked for`,
    );
  }
  if (named !== undefined) return { name: named, reason: null };
  const preferred = preference.find((name) => ggufs.includes(name));
  if (preferred !== undefined) {
    const others = [
      ...ggufs.filter((name) => name !== preferred),
      ...(hasSafetensors ? ["safetensors"] : []),
    ];
    const reason =
      others.length === 0
        ? null
        : `${location}: uses ${preferred}, first of the known names; also there: ${others.join(", ")}`;
    return { name: preferred, reason };
  }
  const [only, second] = ggufs;
  if (second !== undefined) {
    throw new ConfigError(
      `${location}: has several .gguf files (${ggufs.join(", ")}) and none of the known names ` +
        `(${preference.join(", ")}): choose one by its path or as ${part} GGUF`,
    );
  }
  if (only !== undefined && (weights === "gguf" || !hasSafetensors)) return { name: only, reason: null };
  if (weights === "gguf")
    throw new ResourceError(`${location}: has no .gguf file, which was asked for; quantize makes one`);
  if (!hasSafetensors) {
    throw new ResourceError(
      `${location}: has no weights: neither model.safetensors (or shards) nor a .gguf file`,
    );
  }
  const reason =
    only === undefined ? null : `${location}: uses the safetensors; ${only} is not one of the known names`;
  return { name: null, reason };
}
