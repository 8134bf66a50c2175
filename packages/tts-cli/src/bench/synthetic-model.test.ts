import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTtsModel } from "@voxquant/acoustic-model";
import { planRandomModel, writeRandomModel } from "@voxquant/cli-core";
import { SYNTHETIC_SIZES, type Qwen3TtsSizes } from "./shapes.js";
import { randomQwen3Tts } from "./synthetic-model.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-synthetic-tts-"));
afterAll(() => rmSync(folder, { recursive: true }));

const REAL = SYNTHETIC_SIZES["qwen3-tts-1.7b"];
const SMALL = { hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1 };

/** The published vocabularies on networks that are quick everywhere; predictor and talker differ in width. */
const TINY: Qwen3TtsSizes = {
  talker: { ...REAL.talker, ...SMALL, head_dim: 32, intermediate_size: 64, text_hidden_size: 32 },
  predictor: { ...REAL.predictor, ...SMALL, hidden_size: 32, head_dim: 32, intermediate_size: 64 },
  codec: {
    ...REAL.codec,
    decoder_config: {
      ...REAL.codec.decoder_config,
      codebook_dim: 64,
      latent_dim: 32,
      hidden_size: 32,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      head_dim: 16,
      intermediate_size: 32,
      decoder_dim: 32,
    },
  },
};

async function write(name: string, signal = new AbortController().signal): Promise<string> {
  const path = join(folder, name);
  const model = await randomQwen3Tts(TINY, "q8_0");
  await writeRandomModel(path, model, "q8_0", { signal, onProgress: () => undefined });
  return path;
}

test("a synthetic model has the types that quantize gives", async () => {
  const model = await randomQwen3Tts(SYNTHETIC_SIZES["qwen3-tts-0.6b"], "q4_0");
  const plan = planRandomModel(model, "q4_0");
  const typeOf = (name: string) => plan.find((tensor) => tensor.name === name)?.dtype;
  expect(typeOf("talker.model.layers.0.mlp.up_proj.weight")).toBe("Q4_0");
  expect(typeOf("talker.code_predictor.model.layers.0.mlp.up_proj.weight")).toBe("Q8_0");
  expect(typeOf("talker.model.norm.weight")).toBe("F32");
  expect(typeOf("codec.dec.1.2.conv1.weight")).toBe("Q8_0");
  expect(typeOf("codec.dec.1.snake.alpha")).toBe("F32");
  expect(() => planRandomModel(model, "q9")).toThrow(/"q9" is no quantization type/);
});

test("it speaks exactly as long as asked, with any seed, and is heard", async () => {
  const model = await loadTtsModel(await write("model.gguf"), { backend: "cpu" });
  try {
    const frames = 12;
    const maxSeconds = (frames + 0.5) / model.info.frameRate;
    for (const seed of [1, 2]) {
      const speech = await model.synthesizeToBuffer("7".repeat(30), { maxSeconds, normalize: false, seed });
      expect(speech.sentences).toHaveLength(1);
      expect(speech.sentences[0]!.stopReason).toBe("length");
      expect(speech.timings.frames).toBe(frames);
      expect(speech.samples).toHaveLength(frames * 1920);
      expect(Math.max(...speech.samples)).toBeGreaterThan(0.01);
      expect(speech.samples.every(Number.isFinite)).toBe(true);
    }
  } finally {
    await model.dispose();
  }
});

test("an interrupted file leaves nothing", async () => {
  await expect(write("aborted.gguf", AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
  await expect(write("aborted.gguf")).resolves.toBeTruthy();
});
