import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { FormatError, ResourceError, UnsupportedError } from "../errors.js";
import { MemorySink } from "./byte-sink.js";
import { openCheckpoint } from "./open.js";
import { openModelFiles } from "./model-files.js";
import { writeSafetensors } from "./safetensors-writer.js";

const content = Uint8Array.from({ length: 3 * 2 ** 20 }, (_, i) => i % 251);

/** A server of a folder in memory; the tests change how it answers. */
const server = {
  files: new Map<string, Uint8Array>(),
  ranges: true,
  etag: '"1"',
  status: null as number | null,
  /** Send half of what was asked for, then close the connection. */
  breakOff: false,
  /** Bytes sent since the last reset. */
  sent: 0,
  base: "",
};

function answer(request: IncomingMessage, response: ServerResponse): void {
  const name = decodeURIComponent(new URL(request.url!, "http://localhost").pathname.slice("/repo/".length));
  const file = server.files.get(name);
  if (server.status !== null || file === undefined) {
    response.writeHead(server.status ?? 404).end("no");
    return;
  }
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (!server.ranges || match === null) {
    server.sent += file.length;
    response.writeHead(200, { "content-length": file.length }).end(file);
    return;
  }
  const start = Number(match[1]);
  const end = Math.min(Number(match[2]) + 1, file.length);
  const headers = {
    etag: server.etag,
    "content-range": `bytes ${start}-${end - 1}/${file.length}`,
    "content-length": end - start,
  };
  server.sent += end - start;
  response.writeHead(206, headers);
  if (!server.breakOff) response.end(file.subarray(start, end));
  else response.write(file.subarray(start, start + Math.floor((end - start) / 2)), () => response.destroy());
}

const http = createServer(answer);

beforeAll(async () => {
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  server.base = `http://127.0.0.1:${(http.address() as AddressInfo).port}/repo`;
  const sink = new MemorySink();
  await writeSafetensors(sink, [
    { name: "large", dtype: "F32", shape: [content.length / 4], bytes: content },
    { name: "small", dtype: "U8", shape: [3], bytes: Uint8Array.of(7, 8, 9) },
  ]);
  server.files.set("model.safetensors", sink.concat());
  server.files.set("config.json", new TextEncoder().encode("{}"));
});
beforeEach(() =>
  Object.assign(server, { ranges: true, etag: '"1"', status: null, breakOff: false, sent: 0 }),
);
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
});

it("reads the header without the tensors, and tensors by range", async () => {
  for (const url of [
    `${server.base}/model.safetensors`,
    new URL(`${server.base}/model.safetensors?token=secret`),
    server.base,
  ]) {
    server.sent = 0;
    const checkpoint = await openCheckpoint(url);
    expect(server.sent).toBeLessThan(100_000);
    expect(checkpoint.location).toBe(`${server.base}/model.safetensors`);
    const { bytes } = await checkpoint.read("large");
    expect(Buffer.compare(bytes, content)).toBe(0);
    expect(await checkpoint.readRange("small", 1, 3)).toEqual(Uint8Array.of(8, 9));
    await checkpoint.verifyUnchanged();
  }
});

it("follows an index and reads the files of a model", async () => {
  const index = JSON.stringify({ weight_map: { small: "model.safetensors" } });
  server.files.set("model.safetensors.index.json", new TextEncoder().encode(index));
  const checkpoint = await openCheckpoint(`${server.base}/model.safetensors.index.json`);
  expect([...checkpoint.tensors.keys()]).toEqual(["small"]);
  server.files.delete("model.safetensors.index.json");
  for (const url of [server.base, `${server.base}/model.safetensors`]) {
    const files = await openModelFiles(url);
    expect(await files.readText("config.json")).toBe("{}");
    expect(await files.readText("vocab.json")).toBeNull();
  }
});

it("takes a small file from a server without ranges whole, and refuses a large one", async () => {
  server.ranges = false;
  const checkpoint = await openCheckpoint(`${server.base}/model.safetensors`);
  expect(await checkpoint.readRange("small", 0, 3)).toEqual(Uint8Array.of(7, 8, 9));
  server.files.set("huge.gguf", new Uint8Array(64 * 2 ** 20 + 1));
  await expect(openCheckpoint(`${server.base}/huge.gguf`)).rejects.toThrow(UnsupportedError);
  server.files.delete("huge.gguf");
});

it.each([
  [404, "there is no such file"],
  [401, "the file needs an access token"],
  [403, "access is denied"],
  [500, "the server answered 500"],
])("status %i: %s", async (status, message) => {
  server.status = status;
  await expect(openCheckpoint(`${server.base}/model.safetensors`)).rejects.toThrow(ResourceError);
  await expect(openCheckpoint(`${server.base}/model.safetensors`)).rejects.toThrow(message);
});

it("notices a file that changes between two requests", async () => {
  const checkpoint = await openCheckpoint(`${server.base}/model.safetensors`);
  server.etag = '"2"';
  await expect(checkpoint.read("large")).rejects.toThrow("changed on the server");
  await expect(checkpoint.verifyUnchanged()).rejects.toThrow(ResourceError);
});

it("refuses a broken connection, an error page and a server that is not there", async () => {
  const checkpoint = await openCheckpoint(`${server.base}/model.safetensors`);
  server.breakOff = true;
  await expect(checkpoint.read("large")).rejects.toThrow("the connection broke");
  server.breakOff = false;
  server.files.set("page.gguf", new TextEncoder().encode("<!DOCTYPE html>"));
  await expect(openCheckpoint(`${server.base}/page.gguf`)).rejects.toThrow(FormatError);
  await expect(openCheckpoint("http://127.0.0.1:1/model.gguf")).rejects.toThrow("cannot be fetched");
});

it("can be aborted", async () => {
  const controller = new AbortController();
  const checkpoint = await openCheckpoint(`${server.base}/model.safetensors`, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await expect(checkpoint.read("large")).rejects.toThrow("enough");
});
