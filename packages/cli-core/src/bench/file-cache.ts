import { spawnSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { ResourceError } from "@voxquant/quant-core";

/** Reads files so that the system has them in its file cache. */
export async function warmFiles(paths: readonly string[], signal: AbortSignal): Promise<void> {
  for (const path of paths) {
    const stream = createReadStream(path, { highWaterMark: 4 * 2 ** 20, signal });
    for await (const chunk of stream) void chunk;
  }
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
