import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { goldensFolder } from "@voxquant/goldens";
import { detectModelFamily, familyOfArchitecture, familyOfTensors } from "./model-family.js";

describe("detectModelFamily", () => {
  test.each([
    ["qwen3-asr", { model_type: "qwen3_asr", thinker_config: { model_type: "qwen3_asr_thinker" } }],
    [
      "qwen3-forced-aligner",
      { model_type: "qwen3_asr", thinker_config: { model_type: "qwen3_forced_aligner" } },
    ],
    ["qwen3-tts", { model_type: "qwen3_tts", architectures: ["Qwen3TTSForConditionalGeneration"] }],
    [
      "qwen3-tts-codec",
      { model_type: "qwen3_tts_tokenizer_12hz", architectures: ["Qwen3TTSTokenizerV2Model"] },
    ],
    ["whisper", { model_type: "whisper" }],
    ["whisper", { architectures: ["WhisperForConditionalGeneration"] }],
    ["parakeet", { model_type: "parakeet_tdt", architectures: ["ParakeetForTDT"] }],
    ["gigaam", { model_type: "gigaam", architectures: ["GigaAMModel"] }],
    ["pocket-tts", { model_type: "pocket_tts" }],
  ])("%s", (family, config) => {
    expect(detectModelFamily(config)?.family).toBe(family);
  });

  test.each([[null], ["text"], [[]], [{}], [{ model_type: 3 }], [{ model_type: "llama" }]])(
    "unknown: %j",
    (config) => {
      expect(detectModelFamily(config)).toBeNull();
    },
  );

  test.each([
    ["qwen3-asr", ["qwen3-asr", "qwen3-forced-aligner"]],
    ["qwen3-tts", ["qwen3-tts"]],
    ["whisper", ["whisper"]],
  ])("the configs of the goldens of %s", (name, families) => {
    const root = goldensFolder(name);
    if (root === null) return;
    for (const variant of readdirSync(root)) {
      const path = join(root, variant, "config.json");
      if (!existsSync(path)) continue;
      expect(families).toContain(detectModelFamily(JSON.parse(readFileSync(path, "utf8")))?.family);
    }
  });
});

test("a GGUF's architecture and tensor names tell the family too", () => {
  expect(familyOfArchitecture("qwen3-asr")?.family).toBe("qwen3-asr");
  expect(familyOfArchitecture("qwen3-forced-aligner")?.family).toBe("qwen3-forced-aligner");
  expect(familyOfArchitecture("llama")).toBeNull();
  expect(familyOfArchitecture(undefined)).toBeNull();
  expect(familyOfTensors(["thinker.model.norm.weight"])?.family).toBe("qwen3-asr");
  expect(familyOfTensors(["speaker_encoder.x", "talker.model.norm.weight"])?.cli).toBe("tts-cli");
  expect(familyOfTensors(["blk.0.attn_q.weight"])).toBeNull();
});
