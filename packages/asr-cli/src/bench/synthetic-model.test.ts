import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAsrModel } from "@voxquant/asr-model";
import { planRandomModel, writeRandomModel } from "@voxquant/cli-core";
import { openCheckpoint } from "@voxquant/quant-core";
import { SYNTHETIC_SIZES, type Qwen3AsrSizes } from "./shapes.js";
import { syntheticClips } from "./synthetic-clip.js";
import { randomQwen3Asr } from "./synthetic-model.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-synthetic-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The published vocabulary on a network that is quick everywhere. */
const TINY: Qwen3AsrSizes = {
  ...SYNTHETIC_SIZES["qwen3-asr-0.6b"],
  d_model: 64,
  encoder_layers: 1,
  encoder_attention_heads: 2,
  encoder_ffn_dim: 64,
  output_dim: 64,
  downsample_hidden_size: 32,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 32,
  intermediate_size: 64,
};

async function write(name: string, signal = new AbortController().signal): Promise<string> {
  const path = join(folder, name);
  await writeRandomModel(path, randomQwen3Asr(TINY, "q8_0"), "q8_0", { signal, onProgress: () => undefined });
  return path;
}

test("a synthetic model has the size of the real one in each type", () => {
  const plan = planRandomModel(randomQwen3Asr(SYNTHETIC_SIZES["qwen3-asr-0.6b"], "q8_0"), "q8_0");
  expect(plan).toHaveLength(611); // the tied head is left out
  expect(plan.find(({ name }) => name.endsWith("embed_tokens.weight"))!.dtype).toBe("Q8_0");
  expect(plan.find(({ name }) => name.endsWith("conv2d2.weight"))!.dtype).toBe("Q8_0");
  expect(plan.find(({ name }) => name.endsWith("layers.0.input_layernorm.weight"))!.dtype).toBe("F32");
  expect(() => planRandomModel(randomQwen3Asr(TINY, "q8_0"), "q9")).toThrow(/"q9" is no quantization type/);
});

test("it loads as any model, takes the prompt of the real vocabulary, and never ends by itself", async () => {
  const path = await write("model.gguf");
  const checkpoint = await openCheckpoint(path);
  expect([...checkpoint.tensors.keys()]).toEqual(
    planRandomModel(randomQwen3Asr(TINY, "q8_0"), "q8_0").map(({ name }) => name),
  );
  await checkpoint.close();
  const model = await loadAsrModel(path);
  try {
    const clips = syntheticClips(6, 2);
    const options = { vad: false, segmentSeconds: 6, maxTokens: 100 };
    const plain = await model.transcribe(clips, options);
    // Per clip 15 tokens of the template and 13 for each second.
    expect(plain.timings).toMatchObject({ prefillTokens: 2 * (15 + 78), decodeTokens: 2 * 100 });
    expect(plain.stopReason).toBe("length");
    const padded = await model.transcribe(clips, { ...options, maxTokens: 1, prompt: "7".repeat(20) });
    expect(padded.timings).toMatchObject({ prefillTokens: 2 * (15 + 78 + 20), decodeTokens: 2 });
  } finally {
    await model.dispose();
  }
});

test("an interrupted file leaves nothing", async () => {
  await expect(write("aborted.gguf", AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
  await expect(write("aborted.gguf")).resolves.toBeTruthy();
});
