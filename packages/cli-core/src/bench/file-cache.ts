import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { ResourceError } from "@voxquant/quant-core";

/** Reads files, which then are in the system's file cache. @returns the hexadecimal SHA-256 of each */
export async function readDigests(
  paths: Iterable<string>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  for (const path of paths) {
    const hash = createHash("sha256");
    const stream = createReadStream(path, { highWaterMark: 4 * 2 ** 20, signal });
    for await (const chunk of stream) hash.update(chunk as Buffer);
    digests.set(path, hash.digest("hex"));
  }
  return digests;
}

/**
 * One digest for the files of some weights: of a single file its own, of several the SHA-256 of what `sha256sum` prints
 * for them in the order of their names (without folders); null without files.
 */
export function digestOf(paths: readonly string[], digests: ReadonlyMap<string, string>): string | null {
  if (paths.length <= 1) return digests.get(paths[0] ?? "") ?? null;
  const lines = paths
    .map((path) => ({ name: basename(path), digest: digests.get(path)! }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.digest < b.digest ? -1 : 1))
    .map(({ name, digest }) => `${digest}  ${name}\n`);
  return createHash("sha256").update(lines.join("")).digest("hex");
}

/**
 * Drops files from the system's file cache, without special rights (posix_fadvise, through GNU dd).
 * @throws ResourceError where dd cannot do that
 */
export function dropFromCache(paths: readonly string[]): void {
  for (const path of paths) {
    const { status, stderr, error } = spawnSync(
      "dd",
      [`if=${path}`, "iflag=nocache", "count=0", "status=none"],
      {
        encoding: "utf8",
      },
    );
    if (error === undefined && status === 0) continue;
    throw new ResourceError(
      `${path}: could not be dropped from the file cache (${(error?.message ?? stderr).trim()}); this needs GNU dd, leave out --cold`,
    );
  }
}
