import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { goldenVariants } from "@voxquant/goldens";
import { openCheckpoint, openModelFiles, planTensors, type ModelFiles } from "@voxquant/quant-core";
import { parseQwen3AsrConfig } from "./config.js";
import { qwen3AsrQuantizeProfile } from "./quantize-profile.js";
import { expectedTensors } from "./tensor-names.js";

const MINI = fileURLToPath(new URL("../../../../models/qwen3-asr-mini", import.meta.url));

test("the mini model: decoder by default, tied head, embedded files", async () => {
  const profile = await qwen3AsrQuantizeProfile(await openModelFiles(MINI));
  const { tensors } = await openCheckpoint(MINI);
  const byDefault = planTensors(tensors, { qtype: "q8_0" }, profile);
  expect(byDefault.tensors.every(({ name }) => name.startsWith("thinker.model."))).toBe(true);
  expect(byDefault.tensors.find(({ name }) => name.endsWith("embed_tokens.weight"))!.dtype).toBe("F16");
  const all = planTensors(tensors, { qtype: "q8_0", scope: "all" }, profile);
  expect(all.droppedHead?.name).toBe("thinker.lm_head.weight");
  expect(all.tensors).toHaveLength(tensors.size - 1);
  expect(profile).toMatchObject({ architecture: "qwen3-asr", defaultScope: "thinker.model." });
  expect(profile.files).toContain("merges.txt");
});

test("the decoder as a language model for llama.cpp", async () => {
  const { llamaCpp } = await qwen3AsrQuantizeProfile(await openModelFiles(MINI));
  const { nameOf, metadata, architecture } = llamaCpp!;
  expect(architecture).toBe("qwen3");
  expect(nameOf("thinker.model.layers.2.self_attn.q_norm.weight")).toBe("blk.2.attn_q_norm.weight");
  expect(nameOf("thinker.model.embed_tokens.weight")).toBe("token_embd.weight");
  expect(nameOf("thinker.audio_tower.conv_out.weight")).toBeNull();
  const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
  const types = metadata.get("tokenizer.ggml.token_type") as Int32Array;
  expect(tokens).toHaveLength(640);
  expect([tokens[576], tokens[637], tokens[639]]).toEqual(["<|endoftext|>", "<asr_text>", "[PAD639]"]);
  expect([types[0], types[576], types[637], types[639]]).toEqual([1, 3, 4, 5]);
  expect(metadata.get("tokenizer.ggml.eos_token_id")).toEqual({ type: "u32", value: 578 });
  const merges = metadata.get("tokenizer.ggml.merges") as string[];
  expect(merges[0]).not.toMatch(/^#/);
  expect(merges.every((merge) => merge.split(" ").length === 2)).toBe(true);
});

test("without a tokenizer there is no language model, without a config no profile", async () => {
  const files = await openModelFiles(MINI);
  const only = (...names: string[]): ModelFiles => ({
    location: "there",
    readText: async (name) => (names.includes(name) ? files.readText(name) : null),
  });
  expect((await qwen3AsrQuantizeProfile(only("config.json"))).llamaCpp).toBeNull();
  await expect(qwen3AsrQuantizeProfile(only())).rejects.toThrow(/there: config\.json is missing/);
});

for (const { name, folder } of goldenVariants("qwen3-asr")) {
  describe(name, () => {
    test("its tensors are those that its config asks for", async () => {
      const files = await openModelFiles(folder);
      const config = parseQwen3AsrConfig((await files.readText("config.json"))!, null, folder);
      const { tensors } = await openCheckpoint(folder);
      const head = "thinker.lm_head.weight"; // present though tied
      const names = new Set([...tensors.keys()].filter((name) => !config.tiedHead || name !== head));
      expect(new Set(expectedTensors(config))).toEqual(names);
    });

    test("an aligner has no language model, and an untied head is kept", async () => {
      const files = await openModelFiles(folder);
      const config = parseQwen3AsrConfig((await files.readText("config.json"))!, null, join(folder));
      const profile = await qwen3AsrQuantizeProfile(files);
      expect(profile.llamaCpp === null).toBe(config.aligner !== null);
      expect(profile.tiedHead === null).toBe(!config.tiedHead);
      expect(profile.architecture).toBe(config.aligner === null ? "qwen3-asr" : "qwen3-forced-aligner");
    });
  });
}
