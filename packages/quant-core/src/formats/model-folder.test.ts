import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { FormatError, ResourceError } from "../errors.js";
import { openModelFiles } from "./model-files.js";
import { hasSafetensors, listGgufs, locateModel, parseJsonObject, resolveInFolder } from "./model-folder.js";

const root = mkdtempSync(join(tmpdir(), "voxquant-folder-"));
afterAll(() => rmSync(root, { recursive: true }));

test("a folder, a file in it, their URLs, and content without a place", async () => {
  const file = join(root, "a.gguf");
  writeFileSync(file, "");
  expect(await locateModel(root)).toEqual({ kind: "folder", folder: root });
  expect(await locateModel(file)).toEqual({ kind: "file", source: file, folder: root });
  expect(await locateModel(pathToFileURL(file))).toEqual({ kind: "file", source: file, folder: root });
  const url = "https://example.org/m/model.gguf?token=x";
  expect(await locateModel(url)).toEqual({ kind: "file", source: url, folder: "https://example.org/m/" });
  expect(await locateModel("https://example.org/m")).toEqual({
    kind: "folder",
    folder: "https://example.org/m/",
  });
  const content = new Uint8Array(4);
  expect(await locateModel(content)).toEqual({ kind: "file", source: content, folder: null });
  await expect(locateModel(join(root, "nowhere"))).rejects.toThrow(ResourceError);
});

test("names count from the folder unless they have a place of their own", () => {
  expect(resolveInFolder(root, "part/")).toBe(join(root, "part/"));
  expect(resolveInFolder(root, "/else/a.gguf")).toBe("/else/a.gguf");
  expect(resolveInFolder("https://example.org/m", "part/")).toBe("https://example.org/m/part/");
  expect(resolveInFolder(root, "https://example.org/a.gguf")).toBe("https://example.org/a.gguf");
});

test("weights in a folder: whole files and first parts", async () => {
  const folder = join(root, "weights");
  mkdirSync(folder);
  expect(await hasSafetensors(folder)).toBe(false);
  for (const name of ["b.gguf", "a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "x.safetensors"]) {
    writeFileSync(join(folder, name), "");
  }
  expect(await listGgufs(folder)).toEqual(["a-00001-of-00002.gguf", "b.gguf"]);
  expect(await hasSafetensors(folder)).toBe(false);
  writeFileSync(join(folder, "model-00001-of-00001.safetensors"), "");
  expect(await hasSafetensors(folder)).toBe(true);
});

test("JSON objects and nothing else", () => {
  expect(parseJsonObject('{"a":1}')).toEqual({ a: 1 });
  for (const text of [null, "", "[]", "3", "null", "{"]) expect(parseJsonObject(text)).toBeNull();
});

test("files of a sub-folder, on disk and embedded; no way out of the model", async () => {
  mkdirSync(join(root, "part"));
  writeFileSync(join(root, "part", "config.json"), "{}");
  const files = await openModelFiles(root);
  expect(await files.readText("part/config.json")).toBe("{}");
  expect(await files.readText("part/other.json")).toBeNull();
  const metadata = new Map([["voxquant.file.part/config.json", "embedded"]]);
  expect(await (await openModelFiles(root, { metadata })).readText("part/config.json")).toBe("embedded");
  for (const name of ["../x", "part/../../x", "/etc/passwd", "part//x", "part\\x"]) {
    await expect(files.readText(name)).rejects.toThrow(FormatError);
  }
});
