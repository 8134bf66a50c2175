import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ResourceError } from "@voxquant/quant-core";
import { UsageError } from "./exit.js";
import { CachedRepository, hubCacheFolder, type Environment } from "./hub/cache.js";
import { REPOSITORIES } from "./hub/repositories.js";

/**
 * What `--model` (or another flag for a model) names: a path, a URL, or the short name of a model that was downloaded.
 * Without the flag it is the default model that `npm run demo` made, where there is one.
 * @throws UsageError without flag and default; ResourceError if the path or download is missing
 */
export function resolveModel(model: string | undefined, env: Environment, flagName = "--model"): string {
  if (model === undefined) return defaultModel();
  if (existsSync(model) || /^https?:\/\//.test(model)) return model;
  const repository = REPOSITORIES[model.toLowerCase()];
  if (repository !== undefined) {
    const snapshot = new CachedRepository(hubCacheFolder(env), repository).find("main");
    if (snapshot !== null) return snapshot;
    throw new ResourceError(
      `${model} is not downloaded yet: run "asr-cli models download ${model.toLowerCase()}" first`,
    );
  }
  throw new ResourceError(
    `${flagName} ${model}: no such file or folder. Give a model folder, a .gguf file, a URL, or a downloaded model's name ` +
      `(${Object.keys(REPOSITORIES).join(", ")}).`,
  );
}

function defaultModel(): string {
  const folder = fileURLToPath(new URL("../../../default-model", import.meta.url));
  const file = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith(".gguf")) : undefined;
  if (file === undefined) {
    throw new UsageError(
      "--model is missing: give a model folder or .gguf file. " +
        '"asr-cli models download qwen3-asr-0.6b" fetches one; "npm run demo" makes a small default one.',
    );
  }
  const path = join(folder, file);
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}
