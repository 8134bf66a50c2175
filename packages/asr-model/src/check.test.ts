import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { goldenVariants } from "@voxquant/goldens";
import { openModelFiles, quantizeCheckpoint, ResourceError } from "@voxquant/quant-core";
import { checkModel } from "./check.js";
import { qwen3AsrQuantizeProfile } from "./qwen3-asr/quantize-profile.js";

const MINI = fileURLToPath(new URL("../../../models/qwen3-asr-mini", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "voxquant-check-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function copyWithout(name: string): string {
  const path = mkdtempSync(join(root, "model-"));
  cpSync(MINI, path, { recursive: true });
  rmSync(join(path, name), { force: true });
  return path;
}

test("a complete folder", async () => {
  const check = await checkModel(MINI);
  expect(check).toMatchObject({ family: "Qwen3-ASR", problems: [], transcribe: true, quantize: true });
  expect(check.safetensors.files).toEqual(["model.safetensors"]);
  expect(check.gguf).toEqual({ files: [], chosen: null });
  for (const name of ["config.json", "vocab.json", "merges.txt"]) {
    expect(check.parts).toContainEqual({ name, present: true, optional: false });
  }
  expect(check.parts).toContainEqual({ name: "tokenizer.json", present: false, optional: true });
});

test.each(["config.json", "vocab.json", "merges.txt", "model.safetensors"])("without %s", async (name) => {
  const check = await checkModel(copyWithout(name));
  expect(check).toMatchObject({ transcribe: false, quantize: false });
  expect(check.problems).toHaveLength(1);
  if (name !== "model.safetensors") {
    expect(check.problems[0]).toContain(name);
    expect(check.parts.find((part) => part.name === name)!.present).toBe(false);
  }
});

test("another family is named", async () => {
  const path = mkdtempSync(join(root, "tts-"));
  writeFileSync(join(path, "config.json"), JSON.stringify({ model_type: "qwen3_tts" }));
  expect(await checkModel(path)).toMatchObject({ family: "Qwen3-TTS", transcribe: false, quantize: false });
});

test("a whole model in one GGUF, and one that is a decoder alone", async () => {
  const profile = await qwen3AsrQuantizeProfile(await openModelFiles(MINI));
  const whole = join(root, "whole.gguf");
  const decoder = join(root, "decoder.gguf");
  await quantizeCheckpoint({ input: MINI, output: whole, qtype: "q8_0", scope: "all" }, profile);
  await quantizeCheckpoint({ input: MINI, output: decoder, qtype: "q8_0" }, profile);
  expect(await checkModel(whole)).toMatchObject({ family: "Qwen3-ASR", problems: [], transcribe: true });
  const check = await checkModel(decoder);
  expect(check.transcribe).toBe(false);
  expect(check.problems[0]).toMatch(/no audio encoder/);
});

test("of a split GGUF the first part is the one that is taken", async () => {
  const path = copyWithout("none");
  const parts = ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"];
  for (const name of parts) writeFileSync(join(path, name), "");
  rmSync(join(path, "model.safetensors"));
  expect((await checkModel(path)).gguf).toEqual({ files: parts, chosen: parts[0] });
});

test("nothing at the path", async () => {
  await expect(checkModel(join(root, "nowhere"))).rejects.toThrow(ResourceError);
});

test("the reference checkpoints are complete", async () => {
  for (const { folder } of goldenVariants("qwen3-asr")) {
    expect(await checkModel(folder)).toMatchObject({ problems: [], transcribe: true });
  }
});
