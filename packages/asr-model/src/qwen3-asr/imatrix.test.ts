import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  ConfigError,
  openModelFiles,
  quantizeCheckpoint,
  readImportance,
  ResourceError,
  type Runtime,
} from "@voxquant/quant-core";
import { loadAsrModel } from "../load.js";
import { collectImatrix, ImatrixCollector } from "./imatrix.js";
import { qwen3AsrQuantizeProfile } from "./quantize-profile.js";

const repository = fileURLToPath(new URL("../../../..", import.meta.url));
const MINI = join(repository, "models/qwen3-asr-mini");
const SAMPLES = ["kitchen-light-en.wav", "pogoda-ru.wav"].map((name) => join(repository, "samples", name));
const root = mkdtempSync(join(tmpdir(), "voxquant-imatrix-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function rows(...values: number[][]): Tensor2D {
  return {
    shape: [values.length, values[0]!.length],
    dataSync: () => Float32Array.from(values.flat()),
  } as unknown as Tensor2D;
}

test("sums of squares per column and rows, only while it observes", async () => {
  const runtime = { observe: null } as unknown as Runtime;
  const collector = new ImatrixCollector(runtime);
  await collector.observe(async () => {
    runtime.observe!("w", rows([1, 2], [3, 4]));
    runtime.observe!("w", rows([5, 6]));
  });
  expect(runtime.observe).toBeNull();
  const { sums, count } = collector.sums().get("w")!;
  expect([...sums]).toEqual([1 + 9 + 25, 4 + 16 + 36]);
  expect(count).toBe(3);
});

test("from recordings to a file that quantize reads", async () => {
  const output = join(root, "imatrix.gguf");
  const { tensors, audioSeconds } = await collectImatrix(MINI, SAMPLES, { output });
  expect(audioSeconds).toBeCloseTo(3.7, 0);
  const importance = await readImportance(output);
  expect(importance.size).toBe(tensors);
  for (const name of [
    "thinker.model.layers.0.mlp.down_proj",
    "thinker.audio_tower.layers.0.fc1",
    "thinker.model.embed_tokens",
  ]) {
    expect(importance.get(`${name}.weight`)!.some((value) => value > 0)).toBe(true);
  }
  const gguf = join(root, "model.gguf");
  const profile = await qwen3AsrQuantizeProfile(await openModelFiles(MINI));
  await quantizeCheckpoint(
    { input: MINI, output: gguf, qtype: "q4_0", scope: "all", imatrix: output },
    profile,
  );
  const model = await loadAsrModel(gguf);
  expect((await model.transcribe(SAMPLES[0]!)).text).toBe("Turn on the kitchen light.");
  await model.dispose();
});

test("nothing is written for silence, an unknown language, or over an existing file", async () => {
  const output = join(root, "none.gguf");
  const silence = { samples: new Float32Array(16000), sampleRate: 16000 };
  await expect(collectImatrix(MINI, [silence], { output })).rejects.toThrow(/no speech in recording 1/);
  await expect(collectImatrix(MINI, SAMPLES, { output, language: "Klingon" })).rejects.toThrow(ConfigError);
  expect(existsSync(output)).toBe(false);
  await expect(
    collectImatrix(MINI, SAMPLES.slice(0, 1), { output: join(root, "imatrix.gguf") }),
  ).rejects.toThrow(ResourceError);
});
