import { FormatError, ResourceError } from "@voxquant/quant-core";

export interface HubClientOptions {
  /** The Hub or a mirror of it, e.g. `https://huggingface.co`. */
  readonly endpoint: string;
  readonly token: string | null;
  /** Milliseconds without an answer, or within an answer without a byte, after which a connection counts as stalled. */
  readonly stallMs: number;
}

/** A file of a repository as the listing has it. */
export interface ListedFile {
  readonly path: string;
  readonly size: number | null;
  /** sha256 (64 digits) for large files, git's blob sha1 (40 digits) for small ones. */
  readonly etag: string | null;
}

export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
}

export interface Listing {
  readonly commit: string;
  readonly files: readonly ListedFile[];
}

/** An answer that will not get better by asking again: no access, no such file, a broken server. */
export class HubError extends ResourceError {}

/** An answer or connection that may be better next time. */
export class TransientError extends ResourceError {
  constructor(
    message: string,
    /** What the server asks to wait, in milliseconds. */
    readonly retryAfterMs: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A listing is a few hundred kB for the largest repositories; more is not a listing. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;
const MAX_FILES = 100_000;
const MAX_REDIRECTS = 10;
const COMMIT = /^[0-9a-f]{40}$/;
const ETAG = /^[A-Za-z0-9._-]{1,128}$/;

/** The Hub's HTTP interface, as far as a download needs it. */
export class HubClient {
  readonly #options: HubClientOptions;
  readonly #origin: string;

  constructor(options: HubClientOptions) {
    let url: URL;
    try {
      url = new URL(options.endpoint);
    } catch {
      throw new ResourceError(
        `HF_ENDPOINT is "${options.endpoint}", which is no URL; write for example https://huggingface.co`,
      );
    }
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      throw new ResourceError(`HF_ENDPOINT is "${options.endpoint}": only http and https are possible`);
    }
    this.#origin = url.origin;
    this.#options = { ...options, endpoint: options.endpoint.replace(/\/+$/, "") };
  }

  get endpoint(): string {
    return this.#options.endpoint;
  }

  /** Commit and files of a revision (`GET /api/models/ID/revision/REVISION`). */
  async list(repository: string, revision: string, signal: AbortSignal): Promise<Listing> {
    const url = `${this.#options.endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const guard = new StallGuard(this.#options.stallMs, signal);
    try {
      const response = await this.#request(url, { method: "GET" }, guard);
      await checkStatus(response, `${repository} at revision ${revision}`);
      return parseListing(await readJson(response, guard), repository);
    } catch (error) {
      throw guard.explain(error, this.#options.endpoint);
    } finally {
      guard.dispose();
    }
  }

  /** Size and etag of one file (`HEAD /ID/resolve/COMMIT/PATH`), asked of the Hub itself and not of where it redirects to. */
  async describe(
    repository: string,
    commit: string,
    file: ListedFile,
    signal: AbortSignal,
  ): Promise<RemoteFile> {
    const guard = new StallGuard(this.#options.stallMs, signal);
    const name = `${repository}/${file.path}`;
    try {
      const response = await this.#request(
        this.#fileUrl(repository, commit, file.path),
        { method: "HEAD" },
        guard,
        true,
      );
      await checkStatus(response, name);
      const headers = response.headers;
      const etag = (headers.get("x-linked-etag") ?? headers.get("etag") ?? file.etag ?? "")
        .replace(/^W\//, "")
        .replaceAll('"', "");
      const length =
        headers.get("x-linked-size") ?? (isRedirect(response.status) ? null : headers.get("content-length"));
      const size = length === null ? file.size : Number(length);
      if (!ETAG.test(etag) || etag.includes(".."))
        throw new HubError(`${name}: the server gives no usable etag ("${etag}")`);
      if (size === null || !Number.isSafeInteger(size) || size < 0)
        throw new HubError(`${name}: the server gives no size`);
      return { path: file.path, size, etag };
    } catch (error) {
      throw guard.explain(error, this.#options.endpoint);
    } finally {
      guard.dispose();
    }
  }

  /**
   * The bytes `[start, size)` of a file. `restart` is called when the server sends the whole file instead.
   * @throws TransientError when the connection breaks, stalls or ends early; HubError when the server refuses
   */
  async *read(
    repository: string,
    commit: string,
    file: RemoteFile,
    start: number,
    restart: () => Promise<void>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const guard = new StallGuard(this.#options.stallMs, signal);
    const name = `${repository}/${file.path}`;
    let at = start;
    try {
      const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
      const url = this.#fileUrl(repository, commit, file.path);
      const response = await this.#request(url, { method: "GET", headers }, guard);
      if (response.status === 416) {
        await restart();
        throw new TransientError(`${name}: the server has no bytes from ${start} on`);
      }
      await checkStatus(response, name);
      if (response.status === 206) {
        const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
        if (
          range === null ||
          Number(range[1]) !== start ||
          (range[2] !== "*" && Number(range[2]) !== file.size)
        ) {
          throw new HubError(
            `${name}: asked for bytes from ${start} of ${file.size}, the server sends "${response.headers.get("content-range")}"`,
          );
        }
      } else if (start > 0) {
        await restart();
        at = 0;
      }
      for await (const chunk of bodyOf(response, guard.signal)) {
        guard.alive();
        at += chunk.byteLength;
        if (at > file.size)
          throw new HubError(`${name}: the server sends more than the ${file.size} bytes that it announced`);
        yield chunk;
      }
      if (at < file.size)
        throw new TransientError(`${name}: the connection ended at byte ${at} of ${file.size}`);
    } catch (error) {
      throw guard.explain(error, this.#options.endpoint);
    } finally {
      guard.dispose();
    }
  }

  #fileUrl(repository: string, commit: string, path: string): string {
    return `${this.#options.endpoint}/${repository}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /**
   * Follows redirects by hand, so that the token goes to the Hub's own host and to no other.
   * `describe`: a redirect that describes the file (as the Hub's to its storage does), or leaves the host, is the answer.
   */
  async #request(
    url: string,
    init: { method: string; headers?: Record<string, string> },
    guard: StallGuard,
    describe = false,
  ): Promise<Response> {
    let target = new URL(url);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const headers: Record<string, string> = {
        ...init.headers,
        "accept-encoding": "identity",
        "user-agent": "voxquant",
      };
      if (this.#options.token !== null && target.origin === this.#origin) {
        headers["authorization"] = `Bearer ${this.#options.token}`;
      }
      const response = await fetch(target, {
        method: init.method,
        headers,
        redirect: "manual",
        signal: guard.signal,
      });
      guard.alive();
      const location = response.headers.get("location");
      if (!isRedirect(response.status) || location === null) return response;
      const next = new URL(location, target);
      if (describe && (next.origin !== target.origin || response.headers.has("x-linked-etag")))
        return response;
      await response.body?.cancel();
      if (next.protocol !== "https:" && !(next.protocol === "http:" && target.protocol === "http:")) {
        throw new HubError(
          `${target.host} redirects to ${next.protocol}//${next.host}, which is not protected; not followed`,
        );
      }
      target = next;
    }
    throw new HubError(`${url}: more than ${MAX_REDIRECTS} redirects`);
  }
}

/** Aborts a request that gives no sign of life, and tells that from the user's own abort. */
class StallGuard {
  readonly #controller = new AbortController();
  readonly #user: AbortSignal;
  readonly #stallMs: number;
  #timer: NodeJS.Timeout;
  #stalled = false;

  constructor(stallMs: number, user: AbortSignal) {
    this.#stallMs = stallMs;
    this.#user = user;
    // Not AbortSignal.any: in Node 20 what it returns can be collected while a request waits on it, which then hangs.
    user.addEventListener("abort", this.#abort, { once: true });
    if (user.aborted) this.#abort();
    this.#timer = this.#start();
  }

  readonly #abort = (): void => this.#controller.abort();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  alive(): void {
    this.#timer.refresh();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#user.removeEventListener("abort", this.#abort);
    this.#controller.abort(); // closes a body that nobody reads on
  }

  explain(error: unknown, endpoint: string): unknown {
    if (this.#user.aborted) return this.#user.reason;
    if (this.#stalled) return new TransientError(`no data for ${this.#stallMs / 1000} s from ${endpoint}`);
    if (error instanceof ResourceError || error instanceof FormatError) return error;
    const reason = error instanceof Error ? causes(error) : String(error);
    return new TransientError(`no connection to ${endpoint}: ${reason}`, null, { cause: error });
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort();
    }, this.#stallMs);
  }
}

function causes(error: Error): string {
  const inner = error.cause instanceof Error ? error.cause : error;
  return inner.message !== "" ? inner.message : ((inner as NodeJS.ErrnoException).code ?? error.message);
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** A response's bytes; ends with an error when the signal fires, even where the body itself would wait on. */
async function* bodyOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const { promise: aborted, reject } = rejecter();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await Promise.race([reader.read(), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: cancelling a body whose server still sends may take until the connection is closed.
    reader.cancel().catch(() => undefined);
  }
}

/** A promise that only ever rejects, and whose rejection may go unheard. */
function rejecter(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject!: (reason: unknown) => void;
  const promise = new Promise<never>((_, rejected) => (reject = rejected));
  promise.catch(() => undefined);
  return { promise, reject };
}

async function checkStatus(response: Response, what: string): Promise<void> {
  const { status } = response;
  if ((status >= 200 && status < 300) || isRedirect(status)) return;
  await response.body?.cancel();
  const said = response.headers.get("x-error-message") ?? response.headers.get("x-error-code");
  const detail = said === null ? `HTTP ${status}` : `HTTP ${status}, ${said.slice(0, 300)}`;
  if (status === 429 || status >= 500 || status === 408) {
    const seconds = Number(response.headers.get("retry-after"));
    const wait =
      Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1000 : null;
    throw new TransientError(`${what}: the server is busy or broken (${detail})`, wait);
  }
  if (status === 401 || status === 403) {
    throw new HubError(
      `${what}: no access (${detail}). The name may be wrong, or the repository is private or gated: ` +
        "accept its terms on its page, and set HF_TOKEN to a token that may read it.",
    );
  }
  if (status === 404) throw new HubError(`${what}: not found (${detail}). Check the name and --revision.`);
  throw new HubError(`${what}: the server refuses (${detail})`);
}

const MAX_RETRY_AFTER_SECONDS = 300;

async function readJson(response: Response, guard: StallGuard): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bodyOf(response, guard.signal)) {
    guard.alive();
    length += chunk.byteLength;
    if (length > MAX_LISTING_BYTES)
      throw new HubError(`the server's list of files is longer than ${MAX_LISTING_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
  } catch {
    throw new HubError("the server's list of files is not JSON; is HF_ENDPOINT a mirror of the Hub?");
  }
}

function parseListing(json: unknown, repository: string): Listing {
  const { sha, siblings } = (json ?? {}) as { sha?: unknown; siblings?: unknown };
  if (
    typeof sha !== "string" ||
    !COMMIT.test(sha) ||
    !Array.isArray(siblings) ||
    siblings.length > MAX_FILES
  ) {
    throw new HubError(
      `${repository}: the server's answer has no commit id and list of files; is HF_ENDPOINT a mirror of the Hub?`,
    );
  }
  const files = (siblings as unknown[]).map((entry): ListedFile => {
    const { rfilename, size, blobId, lfs } = (entry ?? {}) as Record<string, unknown>;
    if (typeof rfilename !== "string" || !isPlainRelativePath(rfilename)) {
      throw new HubError(
        `${repository}: the server lists a file named "${String(rfilename)}", which is not allowed`,
      );
    }
    const sha256 = (lfs as { sha256?: unknown } | null | undefined)?.sha256;
    const etag = typeof sha256 === "string" ? sha256 : typeof blobId === "string" ? blobId : null;
    return { path: rfilename, size: typeof size === "number" ? size : null, etag };
  });
  return { commit: sha, files };
}

/** A path that stays inside its folder on every system. */
function isPlainRelativePath(path: string): boolean {
  if (path === "" || path.length > 1024 || /[\u0000-\u001f\\:]/.test(path)) return false;
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}
