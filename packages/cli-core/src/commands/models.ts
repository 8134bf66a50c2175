import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { ResourceError, type ModelFileCheck } from "@voxquant/quant-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { CommandFailure } from "../exit.js";
import { formatBytes } from "../format.js";
import { CachedRepository, hubCacheFolder, hubToken, isOffline, setting } from "../hub/cache.js";
import { HubClient } from "../hub/client.js";
import { downloadRepository } from "../hub/download.js";
import { repositoryOf, type Repositories } from "../hub/repositories.js";
import { familyOfOtherProgram } from "../model-family.js";
import type { ModelCatalogue } from "../model-path.js";
import { flag, numberOf, repeatable, text } from "../options.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";

/** What can be told about a model folder or file without reading its weights. */
export interface ModelCheck extends ModelFileCheck {
  /** There is a checkpoint to quantize. */
  readonly quantize: boolean;
}

/** What `models` needs to know about the models of a program. */
export interface ModelsSupport<Check extends ModelCheck> {
  readonly catalogue: ModelCatalogue;
  /** What a model is for: `transcribe`. */
  readonly purpose: string;
  /** The part of a model folder that a GGUF file can take the place of: `decoder`. */
  readonly ggufPart: string;
  check(path: string): Promise<Check>;
  isReady(check: Check): boolean;
}

const listOptions = {
  root: text("folder whose sub-folders are models", { default: "models" }),
  json: flag("print JSON"),
  quiet: flag("no notes"),
} as const;

const checkOptions = {
  model: text("model folder or .gguf file", { demandOption: true }),
  json: flag("print JSON"),
  quiet: flag("no notes"),
} as const;

const downloadOptions = {
  revision: text("branch, tag or commit", { default: "main" }),
  output: text("a plain folder to fill instead of the Hub's cache"),
  cache: text(
    "the Hub's cache folder (default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub)",
  ),
  include: repeatable("only files that match this pattern, e.g. '*.json'; may be given several times"),
  parallel: text("files at a time", { default: "4" }),
  json: flag("print JSON"),
  quiet: flag("no progress or notes"),
} as const;

export function modelsCommand<Check extends ModelCheck>(
  session: Session,
  support: ModelsSupport<Check>,
): CommandModule {
  return {
    command: "models",
    describe: "List, check and download models",
    builder: (yargs: Argv) =>
      yargs
        .command(
          "list",
          "Show the models in a folder",
          (list: Argv) => list.options(listOptions),
          (given) => list(given, session, support),
        )
        .command(
          "check",
          "Show what a model folder has and lacks",
          (check: Argv) => check.options(checkOptions),
          (given) => check(given, session, support),
        )
        .command(
          "download <name>",
          "Fetch a model from the Hub; prints its folder",
          (download: Argv) =>
            download
              .positional("name", {
                type: "string",
                demandOption: true,
                describe: `${Object.keys(support.catalogue.repositories).join(", ")}, or a repository as owner/name`,
              })
              .options(downloadOptions),
          (given) => download(given, session, support.catalogue.repositories),
        )
        .demandCommand(1, "models what? Choose one of: list, check, download"),
    handler: () => undefined,
  };
}

async function list<Check extends ModelCheck>(
  given: InferredOptionTypes<typeof listOptions>,
  { terminal }: Session,
  support: ModelsSupport<Check>,
): Promise<void> {
  if (!existsSync(given.root)) throw new ResourceError(`--root ${given.root}: no such folder`);
  const entries = await readdir(given.root, { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => entry.name);
  const checks: { name: string; check: Check }[] = [];
  for (const name of folders.sort())
    checks.push({ name, check: await support.check(join(given.root, name)) });
  if (given.json) {
    terminal.result(
      `${JSON.stringify(
        checks.map(({ name, check }) => ({ name, ...check })),
        null,
        2,
      )}\n`,
    );
    return;
  }
  if (checks.length === 0) terminal.info(`${given.root} has no model folders`);
  for (const { name, check } of checks) {
    const other = await familyOfOtherProgram(join(given.root, name), support.catalogue.program);
    const state = support.isReady(check) ? "OK" : "PARTIAL";
    terminal.result(
      other === null
        ? `${name}: ${state} (${weightsOf(check)})\n`
        : `${name}: ${other.title}, for ${other.cli}\n`,
    );
  }
}

function weightsOf(check: ModelCheck): string {
  const { safetensors, gguf } = check;
  const chosen = gguf.chosen ?? (gguf.files.length > 0 ? "none chosen" : "-");
  return `safetensors: ${safetensors.files.length > 0 ? `${safetensors.files.length} file(s)` : "-"}, gguf: ${chosen} (${gguf.files.length})`;
}

async function check<Check extends ModelCheck>(
  given: InferredOptionTypes<typeof checkOptions>,
  { terminal }: Session,
  support: ModelsSupport<Check>,
): Promise<void> {
  if (!existsSync(given.model)) throw new ResourceError(`--model ${given.model}: no such file or folder`);
  const check = await support.check(given.model);
  const ready = support.isReady(check);
  if (given.json) {
    terminal.result(`${JSON.stringify(check, null, 2)}\n`);
  } else {
    const lines = [
      `model: ${check.family ?? "unknown"}`,
      ...check.parts.map(
        ({ name, present, optional }) =>
          `${name}: ${present ? "OK" : optional ? "MISSING (optional)" : "MISSING"}`,
      ),
      `safetensors: ${check.safetensors.files.length} file(s), ${formatBytes(check.safetensors.byteLength)}`,
      `${support.ggufPart} gguf: ${check.gguf.chosen ?? "-"}`,
      `gguf: ${check.gguf.files.length === 0 ? "-" : check.gguf.files.join(", ")}`,
      ...check.problems.map((problem) => `problem: ${problem}`),
      `${support.purpose}=${ready ? "OK" : "NO"} | quantize=${check.quantize ? "OK" : "NO"}`,
    ];
    terminal.result(`${lines.join("\n")}\n`);
  }
  if (!ready) throw new CommandFailure(`${given.model} is not ready to ${support.purpose}`);
}

async function download(
  given: InferredOptionTypes<typeof downloadOptions> & { name: string },
  { terminal, signal, env }: Session,
  repositories: Repositories,
): Promise<void> {
  const repository = repositoryOf(given.name, repositories);
  const parallel = numberOf(given.parallel, "parallel", { min: 1, max: 32, integer: true })!;
  const cache = given.cache ?? hubCacheFolder(env);
  if (isOffline(env)) {
    const folder = await cachedSnapshot(cache, repository, given.revision);
    terminal.info("HF_HUB_OFFLINE is set: the copy in the cache is used as it is");
    terminal.result(
      given.json ? `${JSON.stringify({ folder, repository, offline: true })}\n` : `${folder}\n`,
    );
    return;
  }
  const client = new HubClient({
    endpoint: setting(env, "HF_ENDPOINT") ?? "https://huggingface.co",
    token: hubToken(env),
    stallMs:
      1000 *
      (numberOf(setting(env, "HF_HUB_DOWNLOAD_TIMEOUT"), "HF_HUB_DOWNLOAD_TIMEOUT", {
        min: 0.1,
        max: 3600,
      }) ?? 20),
  });
  terminal.info(`${repository} at ${given.revision} from ${client.endpoint}`);
  const progress = startProgress(terminal, basename(repository), "bytes");
  try {
    const result = await downloadRepository({
      client,
      repository,
      revision: given.revision,
      cache,
      signal,
      parallel,
      ...(given.output === undefined ? {} : { output: given.output }),
      ...(given.include === undefined ? {} : { include: given.include }),
      onProgress: ({ bytesDone, bytesTotal, file }) => progress.update(bytesDone, bytesTotal, file),
      onWarning: (message) => terminal.warn(message),
    });
    progress.stop();
    const bytes = result.files.reduce((sum, file) => sum + file.size, 0);
    terminal.info(
      `${result.files.length} files, ${formatBytes(bytes)}, of them ${formatBytes(result.bytesFetched)} fetched now`,
    );
    terminal.result(
      given.json ? `${JSON.stringify({ repository, ...result }, null, 2)}\n` : `${result.folder}\n`,
    );
  } finally {
    progress.stop();
  }
}

async function cachedSnapshot(cache: string, repository: string, revision: string): Promise<string> {
  const cached = new CachedRepository(cache, repository);
  const folder = cached.find(revision);
  if (folder === null) {
    throw new ResourceError(
      `HF_HUB_OFFLINE is set, and ${repository} at ${revision} is not in ${cache}: unset it to download`,
    );
  }
  if (await cached.hasPartialFiles()) {
    throw new ResourceError(
      `HF_HUB_OFFLINE is set, and the download of ${repository} in ${cache} is not complete: unset it to go on`,
    );
  }
  return folder;
}
