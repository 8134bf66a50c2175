import { existsSync, readFileSync } from "node:fs";
import { copyFile, lstat, mkdir, readdir, symlink, unlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The Hub's clients all keep their files here, so what one of them fetched need not be fetched again. */
export function hubCacheFolder(env: Environment): string {
  return setting(env, "HF_HUB_CACHE") ?? setting(env, "HUGGINGFACE_HUB_CACHE") ?? join(hubHome(env), "hub");
}

function hubHome(env: Environment): string {
  const caches = setting(env, "XDG_CACHE_HOME") ?? join(homedir(), ".cache");
  return setting(env, "HF_HOME") ?? join(caches, "huggingface");
}

/** A variable's value; an empty one is as good as none. */
export function setting(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim() ?? "";
  return value === "" ? undefined : value;
}

/** The user's token, if there is one: `HF_TOKEN`, else the file that the Hub's login command writes. */
export function hubToken(env: Environment): string | null {
  const given = setting(env, "HF_TOKEN") ?? setting(env, "HUGGING_FACE_HUB_TOKEN");
  if (given !== undefined) return given;
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return null;
  const path = setting(env, "HF_TOKEN_PATH") ?? join(hubHome(env), "token");
  const stored = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  return stored === "" ? null : stored;
}

export function isOffline(env: Environment): boolean {
  return isTrue(env["HF_HUB_OFFLINE"]);
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}

/**
 * One repository in the cache: `blobs/ETAG` holds contents, `snapshots/COMMIT/PATH` are links to them, and `refs/NAME` says
 * which commit a branch or tag was when it was last looked up.
 */
export class CachedRepository {
  readonly folder: string;

  constructor(cache: string, repository: string) {
    this.folder = join(cache, `models--${repository.replace("/", "--")}`);
  }

  blob(etag: string): string {
    return join(this.folder, "blobs", etag);
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The snapshot that a revision named when it was last online, or null. */
  find(revision: string): string | null {
    const reference = join(this.folder, "refs", revision);
    const commit = existsSync(reference) ? readFileSync(reference, "utf8").trim() : revision;
    const folder = this.snapshot(commit);
    return COMMIT.test(commit) && existsSync(folder) ? folder : null;
  }

  async writeReference(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.folder, "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  /** Makes `snapshots/COMMIT/PATH` show the blob: a relative link, or a copy where links are not allowed (Windows). */
  async link(commit: string, path: string, etag: string): Promise<void> {
    const pointer = join(this.snapshot(commit), ...path.split("/"));
    await mkdir(dirname(pointer), { recursive: true });
    if ((await lstat(pointer).catch(() => null)) !== null) await unlink(pointer);
    try {
      await symlink(relative(dirname(pointer), this.blob(etag)), pointer);
    } catch {
      await copyFile(this.blob(etag), pointer);
    }
  }

  /** True if a download into this repository was interrupted. */
  async hasPartialFiles(): Promise<boolean> {
    const names = await readdir(join(this.folder, "blobs")).catch(() => [] as string[]);
    return names.some((name) => name.endsWith(PARTIAL));
  }
}

/** A full commit id: what a snapshot folder is named after. */
export const COMMIT = /^[0-9a-f]{40}$/;

export const PARTIAL = ".incomplete";
