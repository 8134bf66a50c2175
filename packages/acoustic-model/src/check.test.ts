import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { goldenVariants } from "@voxquant/goldens";
import { openModelFiles, quantizeCheckpoint, ResourceError } from "@voxquant/quant-core";
import { checkTtsModel } from "./check.js";
import { qwen3TtsQuantizeProfile } from "./qwen3-tts/quantize-profile.js";

const MODELS = fileURLToPath(new URL("../../../models/", import.meta.url));
const MINI = join(MODELS, "qwen3-tts-mini");
const root = mkdtempSync(join(tmpdir(), "voxquant-tts-check-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("a complete folder and a complete file", async () => {
  const check = await checkTtsModel(MINI);
  expect(check).toMatchObject({ family: "Qwen3-TTS", problems: [], synthesize: true, quantize: true });
  expect(check.safetensors.files).toEqual(["model.safetensors"]);
  expect(check.parts).toContainEqual({
    name: "speech_tokenizer/config.json",
    present: true,
    optional: false,
  });
  const output = join(root, "whole.gguf");
  const profile = await qwen3TtsQuantizeProfile(await openModelFiles(MINI));
  await quantizeCheckpoint({ input: MINI, output, qtype: "q8_0" }, profile);
  expect(await checkTtsModel(output)).toMatchObject({ family: "Qwen3-TTS", problems: [], synthesize: true });
});

test.each([
  "config.json",
  "vocab.json",
  "tokenizer_config.json",
  "model.safetensors",
  "speech_tokenizer/config.json",
  "speech_tokenizer/model.safetensors",
])("without %s", async (name) => {
  const path = mkdtempSync(join(root, "model-"));
  cpSync(MINI, path, { recursive: true });
  rmSync(join(path, name));
  const check = await checkTtsModel(path);
  expect(check).toMatchObject({ synthesize: false, quantize: false });
  expect(check.problems).toHaveLength(1);
  if (!name.endsWith("model.safetensors")) {
    expect(check.problems[0]).toContain(name);
    expect(check.parts.find((part) => part.name === name)!.present).toBe(false);
  }
});

test("a tokenizer.json takes the place of the three files, as it does when the model is loaded", async () => {
  const path = mkdtempSync(join(root, "model-"));
  cpSync(MINI, path, { recursive: true });
  const added = JSON.parse(readFileSync(join(path, "tokenizer_config.json"), "utf8")) as {
    added_tokens_decoder: Record<string, { content: string }>;
  };
  const merges = readFileSync(join(path, "merges.txt"), "utf8").split("\n");
  const tokenizer = {
    model: {
      type: "BPE",
      vocab: JSON.parse(readFileSync(join(path, "vocab.json"), "utf8")) as object,
      merges: merges.filter((line) => line !== "" && !line.startsWith("#version")),
    },
    added_tokens: Object.entries(added.added_tokens_decoder).map(([id, token]) => ({
      id: Number(id),
      ...token,
    })),
  };
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify(tokenizer));
  for (const name of ["vocab.json", "merges.txt", "tokenizer_config.json"]) rmSync(join(path, name));
  const check = await checkTtsModel(path);
  expect(check).toMatchObject({ problems: [], synthesize: true });
  expect(check.parts).toContainEqual({ name: "merges.txt", present: false, optional: true });
});

test("another family is named; nothing at the path", async () => {
  const asr = join(MODELS, "qwen3-asr-mini");
  if (existsSync(asr)) {
    const check = await checkTtsModel(asr);
    expect(check).toMatchObject({ family: "Qwen3-ASR", synthesize: false, quantize: false });
  }
  await expect(checkTtsModel(join(root, "nowhere"))).rejects.toThrow(ResourceError);
});

test("the reference checkpoints are complete, where they have a codec", async () => {
  for (const { folder } of goldenVariants("qwen3-tts")) {
    const hasCodec = existsSync(join(folder, "speech_tokenizer"));
    expect((await checkTtsModel(folder)).problems.length).toBe(hasCodec ? 0 : 1);
  }
});
