import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a test makes the server do to the transfers of one file; each is used up once. */
export interface Fault {
  readonly path: string;
  readonly kind: "cut" | "stall" | "corrupt" | "busy" | "ignore-range";
  /** Bytes sent before a cut or stall. */
  readonly after?: number;
}

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly range: string | null;
  readonly authorization: string | null;
  /** `hub` or `storage`: the two hosts, as the Hub redirects large files to another one. */
  readonly host: string;
}

/** A server with the Hub's paths for one repository: large files (over `lfsFrom` bytes) are redirected to a second host. */
export class FakeHub {
  readonly commit = createHash("sha1").update("commit").digest("hex");
  readonly requests: Seen[] = [];
  readonly faults: Fault[] = [];
  /** Token that is required, if any. */
  token: string | null = null;
  /** What the server says a file's size is, instead of the truth. */
  readonly claimedSizes = new Map<string, number>();
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #repository: string;
  readonly #lfsFrom: number;
  #hub: Server | null = null;
  #storage: Server | null = null;

  constructor(repository: string, files: Readonly<Record<string, Buffer>>, lfsFrom = 1000) {
    this.#repository = repository;
    this.#files = new Map(Object.entries(files));
    this.#lfsFrom = lfsFrom;
  }

  get endpoint(): string {
    return address(this.#hub!);
  }

  async start(): Promise<this> {
    this.#hub = await listen((request, response) => this.#answerHub(request, response));
    this.#storage = await listen((request, response) => this.#answerStorage(request, response));
    return this;
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server?.closeAllConnections();
      await new Promise((done) => (server === null ? done(null) : server.close(done)));
    }
  }

  etag(path: string): string {
    const content = this.#files.get(path)!;
    return content.length >= this.#lfsFrom
      ? createHash("sha256").update(content).digest("hex")
      : createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
  }

  #answerHub(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request, "hub");
    const url = new URL(request.url!, "http://hub");
    if (this.token !== null && request.headers.authorization !== `Bearer ${this.token}`) {
      response
        .writeHead(401, {
          "x-error-code": "GatedRepo",
          "x-error-message": "Access to this model is restricted",
        })
        .end();
      return;
    }
    if (url.pathname.startsWith(`/api/models/${this.#repository}/revision/`)) {
      const siblings = [...this.#files].map(([rfilename]) => ({ rfilename }));
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ sha: this.commit, siblings }));
      return;
    }
    const path = decodeURIComponent(url.pathname).replace(`/${this.#repository}/resolve/${this.commit}/`, "");
    const content = this.#files.get(path);
    if (content === undefined) {
      response.writeHead(404, { "x-error-code": "RepoNotFound" }).end();
      return;
    }
    const size = this.claimedSizes.get(path) ?? content.length;
    const headers = { "x-repo-commit": this.commit, etag: `"${this.etag(path)}"` };
    if (content.length >= this.#lfsFrom) {
      const location = `${address(this.#storage!)}/${encodeURIComponent(path)}`;
      const linked = { "x-linked-etag": `"${this.etag(path)}"`, "x-linked-size": String(size) };
      response.writeHead(302, { ...headers, ...linked, location }).end();
    } else if (request.method === "HEAD") {
      response.writeHead(200, { ...headers, "content-length": size }).end();
    } else {
      this.#send(request, response, path, content);
    }
  }

  #answerStorage(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request, "storage");
    const path = decodeURIComponent(request.url!.slice(1));
    this.#send(request, response, path, this.#files.get(path)!);
  }

  #send(request: IncomingMessage, response: ServerResponse, path: string, content: Buffer): void {
    const at = this.faults.findIndex((fault) => fault.path === path);
    const fault = at < 0 ? null : this.faults.splice(at, 1)[0]!;
    if (fault?.kind === "busy") {
      response.writeHead(503).end();
      return;
    }
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    const start = range === null || fault?.kind === "ignore-range" ? 0 : Number(range[1]);
    const body = Buffer.from(content.subarray(start));
    if (fault?.kind === "corrupt") body[0]! ^= 0xff;
    const status = start > 0 ? 206 : 200;
    const partial =
      start > 0 ? { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` } : {};
    response.writeHead(status, { "content-length": body.length, ...partial });
    if (fault?.kind === "cut")
      response.write(body.subarray(0, fault.after), () => setTimeout(() => response.destroy(), 30));
    else if (fault?.kind === "stall") response.write(body.subarray(0, fault.after));
    else response.end(body);
  }

  #note(request: IncomingMessage, host: string): void {
    const { range, authorization } = request.headers;
    this.requests.push({
      method: request.method!,
      url: request.url!,
      range: range ?? null,
      authorization: authorization ?? null,
      host,
    });
  }
}

function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer);
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
