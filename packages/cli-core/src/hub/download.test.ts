import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FormatError, ResourceError } from "@voxquant/quant-core";
import { FakeHub } from "../testing/fake-hub.js";
import { HubClient, HubError, TransientError } from "./client.js";
import { CachedRepository } from "./cache.js";
import { downloadRepository, type DownloadOptions, type DownloadResult } from "./download.js";

const REPOSITORY = "Someone/some-model";
const files = {
  "config.json": Buffer.from('{"model_type": "qwen3_asr"}'),
  "model-00001-of-00002.safetensors": randomBytes(300_000),
  "model-00002-of-00002.safetensors": randomBytes(200_000),
  "sub folder/vocab#1.json": Buffer.from("{}"),
  "picture.png": randomBytes(50),
  ".gitattributes": Buffer.from("x"),
};
const [SHARD, SHARD_2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
const WANTED = ["config.json", SHARD, SHARD_2, "sub folder/vocab#1.json"] as const;
const WANTED_BYTES = WANTED.reduce((sum, path) => sum + files[path].length, 0);

let folder: string;
let hub: FakeHub;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-hub-"));
  hub = await new FakeHub(REPOSITORY, files).start();
});

afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

function download(
  more: Partial<DownloadOptions> & { token?: string; stallMs?: number } = {},
): Promise<DownloadResult> {
  const client = new HubClient({
    endpoint: hub.endpoint,
    token: more.token ?? null,
    stallMs: more.stallMs ?? 5000,
  });
  return downloadRepository({
    client,
    repository: REPOSITORY,
    revision: "main",
    cache: folder,
    signal: new AbortController().signal,
    retryDelayMs: 1,
    ...more,
  });
}

function transfersOf(path: string): readonly { range: string | null }[] {
  return hub.requests.filter(({ host, url }) => host === "storage" && url === `/${encodeURIComponent(path)}`);
}

test("fills the Hub's cache: blobs by checksum, links in the snapshot, the branch's commit", async () => {
  const seen: number[] = [];
  const result = await download({
    onProgress: ({ bytesDone, bytesTotal }) => seen.push(bytesDone / bytesTotal),
  });
  const repository = join(folder, "models--Someone--some-model");
  expect(result.folder).toBe(join(repository, "snapshots", hub.commit));
  for (const path of WANTED) expect(readFileSync(join(result.folder, path))).toEqual(files[path]);
  expect(existsSync(join(result.folder, "picture.png"))).toBe(false);
  expect(readlinkSync(join(result.folder, "config.json"))).toBe(
    join("..", "..", "blobs", hub.etag("config.json")),
  );
  expect(readFileSync(join(repository, "refs", "main"), "utf8")).toBe(hub.commit);
  expect(readdirSync(join(repository, "blobs")).sort()).toEqual(WANTED.map((path) => hub.etag(path)).sort());
  expect(seen.at(-1)).toBe(1);
  expect(result.bytesFetched).toBe(WANTED_BYTES);
});

test("what is there is not fetched again, offline it is found by its branch", async () => {
  await download();
  hub.requests.length = 0;
  expect((await download()).bytesFetched).toBe(0);
  expect(hub.requests.some(({ method, url }) => method === "GET" && !url.startsWith("/api/"))).toBe(false);
  const cached = new CachedRepository(folder, REPOSITORY);
  expect(cached.find("main")).toBe(cached.snapshot(hub.commit));
  expect(cached.find("other")).toBeNull();
  expect(cached.find("../../etc")).toBeNull();
});

test("an interrupted file is continued where it ended, in the same run and in the next one", async () => {
  hub.faults.push({ path: SHARD, kind: "cut", after: 100_000 });
  const result = await download();
  expect(transfersOf(SHARD)).toHaveLength(2);
  expect(transfersOf(SHARD)[1]!.range).toMatch(/^bytes=[1-9]\d*-$/);
  expect(result.bytesFetched).toBe(WANTED_BYTES);

  const cached = new CachedRepository(folder, REPOSITORY);
  const blob = cached.blob(hub.etag(SHARD));
  rmSync(blob);
  writeFileSync(`${blob}.incomplete`, files[SHARD].subarray(0, 250_000));
  expect(await cached.hasPartialFiles()).toBe(true);
  expect((await download()).bytesFetched).toBe(50_000);
  expect(transfersOf(SHARD).at(-1)!.range).toBe("bytes=250000-");
  expect(readFileSync(blob)).toEqual(files[SHARD]);
  expect(await cached.hasPartialFiles()).toBe(false);
});

test("Ctrl-C ends it with an AbortError and keeps the part for the next run", async () => {
  hub.faults.push({ path: SHARD, kind: "stall", after: 100_000 });
  const controller = new AbortController();
  const running = download({
    signal: controller.signal,
    onProgress: ({ bytesDone }) => {
      if (bytesDone >= 100_000) setTimeout(() => controller.abort(), 50);
    },
  });
  await expect(running).rejects.toMatchObject({ name: "AbortError" });
  await download();
  expect(transfersOf(SHARD).at(-1)!.range).toMatch(/^bytes=[1-9]\d*-$/);
});

test("a stalled connection is noticed and the file continued", async () => {
  hub.faults.push({ path: SHARD, kind: "stall", after: 50_000 });
  const warnings: string[] = [];
  const result = await download({ stallMs: 300, onWarning: (message) => warnings.push(message) });
  expect(warnings.join()).toContain("no data for 0.3 s");
  expect(readFileSync(join(result.folder, SHARD))).toEqual(files[SHARD]);
});

test("a damaged part on the disk is noticed by its checksum and fetched anew", async () => {
  const blob = new CachedRepository(folder, REPOSITORY).blob(hub.etag(SHARD));
  mkdirSync(join(blob, ".."), { recursive: true });
  writeFileSync(`${blob}.incomplete`, randomBytes(1000));
  const result = await download();
  expect(readFileSync(join(result.folder, SHARD))).toEqual(files[SHARD]);
});

test("a file whose checksum stays wrong is not kept", async () => {
  hub.faults.push({ path: SHARD, kind: "corrupt" }, { path: SHARD, kind: "corrupt" });
  const error: unknown = await download().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FormatError);
  expect((error as Error).message).toContain(`${SHARD}: checksum is `);
  expect(
    readdirSync(join(folder, "models--Someone--some-model", "blobs")).filter((name) =>
      name.startsWith(hub.etag(SHARD)),
    ),
  ).toEqual([]);
  expect(existsSync(join(folder, "models--Someone--some-model", "refs"))).toBe(false);
});

test("a small file's git checksum is checked too", async () => {
  hub.faults.push({ path: "config.json", kind: "corrupt" }, { path: "config.json", kind: "corrupt" });
  await expect(download()).rejects.toThrow(/config\.json: checksum/);
});

test("a busy server is asked again, a broken one given up on", async () => {
  hub.faults.push({ path: SHARD, kind: "busy" });
  await download();
  for (let i = 0; i < 6; i++) hub.faults.push({ path: SHARD, kind: "busy" });
  rmSync(folder, { recursive: true, force: true });
  await expect(download()).rejects.toBeInstanceOf(TransientError);
});

test("a server without ranges makes it start the file again", async () => {
  hub.faults.push({ path: SHARD, kind: "cut", after: 100_000 }, { path: SHARD, kind: "ignore-range" });
  const result = await download();
  expect(readFileSync(join(result.folder, SHARD))).toEqual(files[SHARD]);
});

test("the token goes to the Hub's own host only", async () => {
  hub.token = "hf_secret";
  await download({ token: "hf_secret" });
  expect(
    hub.requests
      .filter(({ host }) => host === "hub")
      .every(({ authorization }) => authorization === "Bearer hf_secret"),
  ).toBe(true);
  const storage = hub.requests.filter(({ host }) => host === "storage");
  expect(storage.length).toBeGreaterThan(0);
  expect(storage.every(({ authorization }) => authorization === null)).toBe(true);
});

test("no access and an unknown file are told with what the server says", async () => {
  hub.token = "hf_secret";
  const error: unknown = await download().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(HubError);
  expect((error as Error).message).toMatch(
    /no access \(HTTP 401, Access to this model is restricted\).*HF_TOKEN/,
  );
  hub.token = null;
  await expect(download({ repository: "Someone/other" })).rejects.toThrow(/Someone\/other.*not found/);
});

test("too little space is said before anything is fetched", async () => {
  hub.claimedSizes.set(SHARD, 4e15);
  const error: unknown = await download().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ResourceError);
  expect((error as Error).message).toMatch(/4000 TB are still to be downloaded, but only .* free/);
  expect(transfersOf(SHARD)).toHaveLength(0);
});

test("a server that sends more or less than it announced is not believed", async () => {
  hub.claimedSizes.set(SHARD, files[SHARD].length - 10);
  await expect(download()).rejects.toThrow(/sends more than the/);
});

test("a plain folder gets real files, from the cache where they are there", async () => {
  await download();
  hub.requests.length = 0;
  const output = join(folder, "plain");
  const result = await download({ output });
  expect(result.folder).toBe(output);
  expect(result.bytesFetched).toBe(0);
  expect(readFileSync(join(output, SHARD))).toEqual(files[SHARD]);
  writeFileSync(join(output, SHARD), randomBytes(files[SHARD].length));
  rmSync(join(folder, "models--Someone--some-model"), { recursive: true });
  expect((await download({ output })).bytesFetched).toBe(files[SHARD].length);
  expect(
    createHash("sha256")
      .update(readFileSync(join(output, SHARD)))
      .digest("hex"),
  ).toBe(hub.etag(SHARD));
});

test("--include takes what matches only", async () => {
  const result = await download({ include: ["*.json"] });
  expect(result.files.map(({ path }) => path)).toEqual(["config.json"]);
  await expect(download({ include: ["*.gguf"] })).rejects.toThrow(/no file that matches \*\.gguf/);
});

test.each(["../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\b.json", "C:evil.json", "a//b.json"])(
  "a listing with the path %s is refused",
  async (path) => {
    await hub.stop();
    hub = await new FakeHub(REPOSITORY, { [path]: Buffer.from("x") }).start();
    await expect(download()).rejects.toThrow(/lists a file named/);
  },
);
