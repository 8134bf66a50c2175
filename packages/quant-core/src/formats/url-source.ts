import { ResourceError, UnsupportedError } from "../errors.js";
import type { ByteSource } from "./byte-source.js";
import { allocateBytes } from "./file-source.js";

/** The first request also tells the file's size; most headers are in it whole. */
const FIRST_REQUEST_BYTES = 64 * 1024;

/** A server without range requests sends everything: taken up to this size, which small models do not exceed. */
const MAX_WHOLE_FILE_BYTES = 64 * 2 ** 20;

export interface UrlOptions {
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal;
}

/** A file on a web server, read by range requests. */
export class UrlSource implements ByteSource {
  readonly name: string;
  readonly location: string;
  readonly byteLength: number;
  readonly #url: URL;
  readonly #options: UrlOptions;
  /** Names the version of the file on the server. */
  readonly #version: string | null;
  /** The beginning of the file, or all of it from a server without ranges. */
  readonly #prefix: Uint8Array;

  /**
   * @returns null if the server has no such file
   * @throws ResourceError for other answers than the file, UnsupportedError if a large file cannot be read in ranges
   */
  static async open(url: URL, options: UrlOptions): Promise<UrlSource | null> {
    const location = displayUrl(url);
    const response = await request(url, 0, FIRST_REQUEST_BYTES, options, location);
    if (response.status === 404 || response.status === 410) {
      await response.body?.cancel();
      return null;
    }
    if (response.status === 416) {
      await response.body?.cancel();
      return new UrlSource(url, options, 0, null, new Uint8Array(0)); // no byte 0: an empty file
    }
    if (response.status === 200) {
      const prefix = await readWhole(response, location, options.signal);
      return new UrlSource(url, options, prefix.length, null, prefix);
    }
    const byteLength = await totalLength(response, location);
    const prefix = await readExactly(
      response,
      Math.min(FIRST_REQUEST_BYTES, byteLength),
      location,
      options.signal,
    );
    return new UrlSource(url, options, byteLength, versionOf(response), prefix);
  }

  private constructor(
    url: URL,
    options: UrlOptions,
    byteLength: number,
    version: string | null,
    prefix: Uint8Array,
  ) {
    this.name = fileNameOf(url);
    this.location = displayUrl(url);
    this.byteLength = byteLength;
    this.#url = url;
    this.#options = options;
    this.#version = version;
    this.#prefix = prefix;
  }

  view(start: number, end: number): Uint8Array | null {
    return this.#prefix.length === this.byteLength ? this.#prefix.subarray(start, end) : null;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    if (end <= this.#prefix.length || start === end) return this.#prefix.subarray(start, end);
    const response = await request(this.#url, start, end, this.#options, this.location);
    await this.#checkVersion(response);
    return readExactly(response, end - start, this.location, this.#options.signal);
  }

  async verifyUnchanged(): Promise<void> {
    if (this.view(0, 0) !== null) return; // all of it is here
    const response = await request(this.#url, 0, 1, this.#options, this.location);
    await this.#checkVersion(response);
    await response.body?.cancel();
  }

  async close(): Promise<void> {
    // Requests end by themselves.
  }

  async #checkVersion(response: Response): Promise<void> {
    const isRange = response.status === 206;
    if (isRange && versionOf(response) === this.#version) {
      if ((await totalLength(response, this.location)) === this.byteLength) return;
    }
    await response.body?.cancel();
    if (isRange || response.ok) {
      throw new ResourceError(
        `${this.location}: the file changed on the server while it was read; load it again`,
      );
    }
    throw new ResourceError(
      `${this.location}: the server answered ${response.status} ${response.statusText}`.trim(),
    );
  }
}

/** The URL without what may be secret: credentials and query. */
export function displayUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

export function fileNameOf(url: URL): string {
  const last = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

const STATUS_ADVICE: Record<number, string> = {
  401: "the file needs an access token",
  403: "access is denied, the file may need an access token or an accepted licence",
  429: "too many requests, try again later",
};

async function request(
  url: URL,
  start: number,
  end: number,
  { fetch: fetchUrl = fetch, signal }: UrlOptions,
  location: string,
): Promise<Response> {
  const init: RequestInit = {
    // A compressed answer would have other positions.
    headers: { Range: `bytes=${start}-${end - 1}`, "Accept-Encoding": "identity" },
    ...(signal === undefined ? {} : { signal }),
  };
  let response: Response;
  try {
    // Once more after a failure: a kept connection may have been closed by the server in the meantime.
    response = await fetchUrl(url, init).catch(() => fetchUrl(url, init));
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ResourceError(
      `${location}: cannot be fetched (${causeOf(cause)}); is the address right and the network up?`,
      { cause },
    );
  }
  if (response.ok || [404, 410, 416].includes(response.status)) return response;
  await response.body?.cancel();
  const advice = STATUS_ADVICE[response.status];
  throw new ResourceError(
    `${location}: the server answered ${response.status} ${response.statusText}`.trim() +
      (advice === undefined ? "" : `: ${advice}`),
  );
}

/** Node's fetch says "fetch failed", and the reason in its cause. */
function causeOf(error: unknown): string {
  const { message, cause } = error as Error;
  return (cause as Error | undefined)?.message || message;
}

async function totalLength(response: Response, location: string): Promise<number> {
  const range = response.headers.get("content-range");
  const match = range === null ? null : /^bytes \d+-\d+\/(\d+)$/.exec(range);
  const total = Number(match?.[1] ?? NaN);
  if (Number.isSafeInteger(total)) return total;
  await response.body?.cancel();
  throw new UnsupportedError(
    range === null
      ? `${location}: the server hides Content-Range; it must list it in Access-Control-Expose-Headers`
      : `${location}: the server does not tell the file's size (Content-Range: ${range}); download the file first`,
  );
}

function versionOf(response: Response): string | null {
  return response.headers.get("etag") ?? response.headers.get("last-modified");
}

async function readWhole(
  response: Response,
  location: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const tooLarge = Number(response.headers.get("content-length") ?? 0) > MAX_WHOLE_FILE_BYTES;
  if (!tooLarge) {
    for await (const chunk of chunksOf(response, location, signal)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_WHOLE_FILE_BYTES) break;
    }
  }
  if (tooLarge || length > MAX_WHOLE_FILE_BYTES) {
    await response.body?.cancel().catch(() => undefined);
    throw new UnsupportedError(
      `${location}: the server does not answer range requests and the file is larger than ${MAX_WHOLE_FILE_BYTES} bytes; ` +
        "download it first",
    );
  }
  const bytes = new Uint8Array(length);
  let position = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, position);
    position += chunk.length;
  }
  return bytes;
}

async function readExactly(
  response: Response,
  length: number,
  location: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const bytes = allocateBytes(length, location);
  let position = 0;
  for await (const chunk of chunksOf(response, location, signal)) {
    if (position + chunk.length > length) {
      throw new ResourceError(
        `${location}: the server sent more than the ${length} bytes that were asked for`,
      );
    }
    bytes.set(chunk, position);
    position += chunk.length;
  }
  if (position < length) {
    throw new ResourceError(
      `${location}: the connection ended after ${position} of ${length} bytes; try again`,
    );
  }
  return bytes;
}

/** The chunks of a body; leaving the loop early ends the request. */
async function* chunksOf(
  response: Response,
  location: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ResourceError(`${location}: the connection broke (${causeOf(cause)}); try again`, { cause });
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
