import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ResourceError } from "@voxquant/quant-core";
import { UsageError } from "./exit.js";
import { CachedRepository, hubCacheFolder, type Environment } from "./hub/cache.js";
import type { Repositories } from "./hub/repositories.js";

/** The models that a program can be given by name. */
export interface ModelCatalogue {
  /** The program's name, for messages. */
  readonly program: string;
  readonly repositories: Repositories;
  /** Which .gguf files of the folder that `npm run demo` fills are for this program. */
  readonly defaultModel: RegExp;
}

/**
 * What `--model` (or another flag for a model) names: a path, a URL, or the short name of a model that was downloaded.
 * Without the flag it is the default model that `npm run demo` made, where there is one.
 * @throws UsageError without flag and default; ResourceError if the path or download is missing
 */
export function resolveModel(
  model: string | undefined,
  catalogue: ModelCatalogue,
  env: Environment,
  flagName = "--model",
): string {
  if (model === undefined) return defaultModel(catalogue);
  if (existsSync(model) || /^https?:\/\//.test(model)) return model;
  const { program, repositories } = catalogue;
  const repository = repositories[model.toLowerCase()];
  if (repository !== undefined) {
    const snapshot = new CachedRepository(hubCacheFolder(env), repository).find("main");
    if (snapshot !== null) return snapshot;
    throw new ResourceError(
      `${model} is not downloaded yet: run "${program} models download ${model.toLowerCase()}" first`,
    );
  }
  throw new ResourceError(
    `${flagName} ${model}: no such file or folder. Give a model folder, a .gguf file, a URL, or a downloaded model's name ` +
      `(${Object.keys(repositories).join(", ")}).`,
  );
}

function defaultModel({ program, repositories, defaultModel: wanted }: ModelCatalogue): string {
  const folder = fileURLToPath(new URL("../../../default-model", import.meta.url));
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const file = names.find((name) => name.endsWith(".gguf") && wanted.test(name));
  if (file === undefined) {
    const [first = "NAME"] = Object.keys(repositories);
    throw new UsageError(
      "--model is missing: give a model folder or .gguf file. " +
        `"${program} models download ${first}" fetches one; "npm run demo" makes a small default one.`,
    );
  }
  const path = join(folder, file);
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}
