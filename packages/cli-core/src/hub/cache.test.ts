import { homedir } from "node:os";
import { join } from "node:path";
import { hubCacheFolder, hubToken } from "./cache.js";

test("the cache's folder: by the most specific variable", () => {
  const byDefault = join(homedir(), ".cache", "huggingface", "hub");
  expect(hubCacheFolder({})).toBe(byDefault);
  expect(hubCacheFolder({ XDG_CACHE_HOME: "/x" })).toBe(join("/x", "huggingface", "hub"));
  expect(hubCacheFolder({ XDG_CACHE_HOME: "/x", HF_HOME: "/h" })).toBe(join("/h", "hub"));
  expect(hubCacheFolder({ HF_HOME: "/h", HF_HUB_CACHE: "/c" })).toBe("/c");
});

test("an empty variable, as containers and CI set them, is as good as none", () => {
  const empty = { HF_HUB_CACHE: "", HUGGINGFACE_HUB_CACHE: " ", HF_HOME: "", XDG_CACHE_HOME: "" };
  expect(hubCacheFolder(empty)).toBe(hubCacheFolder({}));
  expect(hubToken({ HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "t", HF_TOKEN_PATH: "" })).toBe("t");
});
