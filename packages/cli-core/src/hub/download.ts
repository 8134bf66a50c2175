import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { copyFile, mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FormatError, ResourceError } from "@voxquant/quant-core";
import { formatBytes } from "../format.js";
import { matchesGlob } from "../glob.js";
import { CachedRepository, PARTIAL } from "./cache.js";
import { TransientError, type HubClient, type RemoteFile } from "./client.js";

export interface DownloadOptions {
  readonly client: HubClient;
  /** `owner/name`. */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** The Hub's cache folder. */
  readonly cache: string;
  /** A plain folder to fill instead of the cache; what the cache already has is copied from there. */
  readonly output?: string;
  /** Only files that match one of these patterns; default: everything that a model here can use. */
  readonly include?: readonly string[];
  readonly signal: AbortSignal;
  /** Files at a time. */
  readonly parallel?: number;
  /** First wait before another attempt, doubled each time. */
  readonly retryDelayMs?: number;
  readonly onProgress?: (progress: { bytesDone: number; bytesTotal: number; file: string }) => void;
  readonly onWarning?: (message: string) => void;
}

export interface DownloadResult {
  /** The folder to give to `--model`. */
  readonly folder: string;
  readonly commit: string;
  readonly files: readonly RemoteFile[];
  /** Bytes that came over the network this time. */
  readonly bytesFetched: number;
}

/** What models of this project consist of; pictures, other frameworks' weights and the like stay on the server. */
const WANTED =
  /(^|\/)[^./][^/]*\.(json|jsonl|txt|md|safetensors|gguf|model|tiktoken|jinja)$|(^|\/)(LICEN[SC]E|NOTICE)[^/]*$/i;

const ATTEMPTS = 6;
const MAX_RETRY_DELAY_MS = 30_000;
/** Kept free on the disk. */
const SPACE_MARGIN = 64 * 1024 * 1024;

/**
 * Fetches a repository's files into the Hub's cache (or a plain folder). Interrupted files are continued, every file is
 * checked against the Hub's checksum before it gets its name, and files that are there already are not fetched.
 * @throws ResourceError without access, space or connection; FormatError when a checksum stays wrong; AbortError
 */
export async function downloadRepository(given: DownloadOptions): Promise<DownloadResult> {
  // The first error ends the other transfers too, not only the start of new ones.
  const failed = new AbortController();
  const signal = AbortSignal.any([given.signal, failed.signal]);
  const options: DownloadOptions = { ...given, signal };
  const { client, repository, revision } = options;
  const listing = await withRetries(options, () => client.list(repository, revision, signal));
  const listed = listing.files.filter(({ path }) => isWanted(path, options.include));
  if (listed.length === 0) {
    throw new ResourceError(
      `${repository} at ${revision} has no file that ${options.include === undefined ? "a model here can use" : `matches ${options.include.join(", ")}`}`,
    );
  }
  const described: RemoteFile[] = new Array<RemoteFile>(listed.length);
  await inParallel(listed.length, options.parallel ?? 4, failed, async (index) => {
    described[index] = await withRetries(options, () =>
      client.describe(repository, listing.commit, listed[index]!, signal),
    );
  });

  const cached = new CachedRepository(options.cache, repository);
  const targets = described.map((file) => targetOf(file, options.output, cached));
  const missing: Target[] = [];
  for (const target of targets) {
    if (!(await isThere(target, options.output !== undefined, signal))) missing.push(target);
  }
  await checkSpace(missing, options.output ?? options.cache);

  const bytesTotal = missing.reduce((sum, { file }) => sum + file.size, 0);
  const progress = new Map<string, number>();
  let bytesFetched = 0;
  // Largest first: the end of the download is then not one large file alone.
  missing.sort((a, b) => b.file.size - a.file.size);
  await inParallel(missing.length, options.parallel ?? 4, failed, async (index) => {
    const target = missing[index]!;
    const fetched = await fetchFile(options, listing.commit, target, (bytes) => {
      progress.set(target.path, bytes);
      let bytesDone = 0;
      for (const value of progress.values()) bytesDone += value;
      options.onProgress?.({ bytesDone, bytesTotal, file: target.file.path });
    });
    bytesFetched += fetched;
  });

  if (options.output === undefined) {
    for (const { file } of targets) await cached.link(listing.commit, file.path, file.etag);
    await cached.writeReference(revision, listing.commit);
  }
  const folder = options.output ?? cached.snapshot(listing.commit);
  return { folder, commit: listing.commit, files: described, bytesFetched };
}

function isWanted(path: string, include: readonly string[] | undefined): boolean {
  return include === undefined ? WANTED.test(path) : include.some((pattern) => matchesGlob(path, pattern));
}

interface Target {
  readonly file: RemoteFile;
  /** Where the whole, checked file ends up. */
  readonly path: string;
  readonly partial: string;
  /** The same content in the Hub's cache, for a download into a plain folder. */
  readonly cachedBlob: string | null;
}

function targetOf(file: RemoteFile, output: string | undefined, cached: CachedRepository): Target {
  const blob = cached.blob(file.etag);
  if (output === undefined) return { file, path: blob, partial: `${blob}${PARTIAL}`, cachedBlob: null };
  const path = join(output, ...file.path.split("/"));
  // The etag in the name: a partial file of another version must not be continued.
  return { file, path, partial: `${path}.${file.etag.slice(0, 16)}${PARTIAL}`, cachedBlob: blob };
}

/** True if the whole file is there: by size in the cache, whose names are checksums; by checksum in a plain folder. */
async function isThere(target: Target, verify: boolean, signal: AbortSignal): Promise<boolean> {
  if ((await sizeOf(target.path)) === target.file.size) {
    if (!verify) return true;
    const hash = startHash(target.file);
    if (hash === null) return true;
    await hashFile(hash, target.path, signal);
    if (hash.digest("hex") === target.file.etag) return true;
  }
  if (target.cachedBlob === null || (await sizeOf(target.cachedBlob)) !== target.file.size) return false;
  await mkdir(dirname(target.path), { recursive: true });
  await copyFile(target.cachedBlob, target.partial, constants.COPYFILE_FICLONE);
  await rename(target.partial, target.path);
  return true;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? -1;
}

async function checkSpace(missing: readonly Target[], folder: string): Promise<void> {
  let needed = 0;
  for (const target of missing) needed += target.file.size - Math.max(await sizeOf(target.partial), 0);
  if (needed <= 0) return;
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < needed + SPACE_MARGIN) {
    throw new ResourceError(
      `${folder}: ${formatBytes(needed)} are still to be downloaded, but only ${formatBytes(free)} are free. ` +
        "Make room, or choose another disk with --output or HF_HUB_CACHE.",
    );
  }
}

/** Fetches or continues one file, checks it, gives it its name. Returns the bytes that came over the network. */
async function fetchFile(
  options: DownloadOptions,
  commit: string,
  target: Target,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const { file } = target;
  await mkdir(dirname(target.path), { recursive: true });
  let fetched = 0;
  for (let round = 0; ; round++) {
    let progressed = true;
    const hash = await withRetries(
      options,
      async () => {
        progressed = false;
        return appendRest(options, commit, target, (bytes, ofNetwork) => {
          fetched += ofNetwork;
          progressed ||= ofNetwork > 0;
          onBytes(bytes);
        });
      },
      () => progressed,
    );
    const digest = hash?.digest("hex") ?? file.etag;
    if (digest === file.etag) break;
    // What lay on the disk may have been damaged: once more from the beginning, then it is the server's fault.
    await rm(target.partial, { force: true });
    if (round > 0) {
      throw new FormatError(
        `${options.repository}/${file.path}: checksum is ${digest}, the Hub says ${file.etag}; the file was not kept. Try again or use another mirror.`,
      );
    }
    options.onWarning?.(`${file.path}: wrong checksum, fetched once more from the beginning`);
  }
  await rename(target.partial, target.path);
  return fetched;
}

/** Appends what is missing to the partial file; returns the hash of the whole, or null where the etag is no checksum. */
async function appendRest(
  options: DownloadOptions,
  commit: string,
  target: Target,
  onBytes: (bytesInFile: number, bytesOfNetwork: number) => void,
): Promise<Hash | null> {
  const { file } = target;
  const handle = await open(target.partial, "a");
  try {
    let hash = startHash(file);
    let length = (await handle.stat()).size;
    if (length > file.size) {
      await handle.truncate(0);
      length = 0;
    }
    if (length > 0 && hash !== null) await hashFile(hash, target.partial, options.signal);
    onBytes(length, 0);
    if (length < file.size) {
      const restart = async (): Promise<void> => {
        await handle.truncate(0);
        hash = startHash(file);
        length = 0;
      };
      const chunks = options.client.read(options.repository, commit, file, length, restart, options.signal);
      for await (const chunk of chunks) {
        await handle.appendFile(chunk);
        hash?.update(chunk);
        length += chunk.byteLength;
        onBytes(length, chunk.byteLength);
      }
    }
    await handle.sync();
    return hash;
  } finally {
    await handle.close();
  }
}

/** sha256 of the content for large files, git's sha1 of `blob SIZE\0content` for small ones; null for anything else. */
function startHash(file: RemoteFile): Hash | null {
  if (/^[0-9a-f]{64}$/.test(file.etag)) return createHash("sha256");
  if (/^[0-9a-f]{40}$/.test(file.etag)) return createHash("sha1").update(`blob ${file.size}\0`);
  return null;
}

/** @throws the signal's reason when aborted: a large file takes long */
async function hashFile(hash: Hash, path: string, signal: AbortSignal): Promise<void> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    signal.throwIfAborted();
    hash.update(chunk as Buffer);
  }
}

/** Repeats what failed for a passing reason; an attempt that brought data does not count. */
async function withRetries<T>(
  options: DownloadOptions,
  attempt: () => Promise<T>,
  madeProgress: () => boolean = () => false,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if (madeProgress()) failures = 1;
      if (failures >= ATTEMPTS) throw error;
      const backoff = Math.min((options.retryDelayMs ?? 1000) * 2 ** (failures - 1), MAX_RETRY_DELAY_MS);
      options.onWarning?.(`${error.message}; trying again`);
      await delay(error.retryAfterMs ?? backoff, undefined, { signal: options.signal });
    }
  }
}

/** Runs `task(0 … count - 1)`, a few at a time. The first error aborts the others and is thrown when all have ended. */
async function inParallel(
  count: number,
  width: number,
  failed: AbortController,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const errors: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (next < count && errors.length === 0) {
      try {
        await task(next++);
      } catch (error) {
        errors.push(error);
        failed.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
  if (errors.length > 0) throw errors[0];
}
