import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, openModelFiles, quantizeCheckpoint, VoxquantError } from "@voxquant/quant-core";
import { loadQwen3Tts, type LoadTtsOptions } from "./load.js";
import { qwen3TtsQuantizeProfile } from "./qwen3-tts/quantize-profile.js";

const MINI = fileURLToPath(new URL("../../../models/qwen3-tts-mini", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "voxquant-tts-load-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Frames and the loudest sample of a short greedy sentence. */
async function speak(source: string | Blob, options: LoadTtsOptions = {}) {
  const loaded = await loadQwen3Tts(source, { precision: "exact", ...options });
  try {
    const { model, codec } = loaded;
    const speaker = model.config.speakers[0]!.name;
    const [speech] = await model.generate([{ text: "yes", speaker, temperature: 0, maxFrames: 12 }]);
    const samples = await codec.decode(speech!.codes);
    return { codes: [...speech!.codes], samples, backend: loaded.backend };
  } finally {
    await loaded.dispose();
  }
}

test("a folder, a complete float file and its content give the same codes and sound", async () => {
  const output = join(root, "float.gguf");
  const profile = await qwen3TtsQuantizeProfile(await openModelFiles(MINI));
  await quantizeCheckpoint({ input: MINI, output, qtype: "f32" }, profile);
  const folder = await speak(MINI);
  expect(folder.codes.length).toBeGreaterThan(16);
  const file = await speak(output);
  expect(file.codes).toEqual(folder.codes);
  const worst = folder.samples.reduce((most, x, i) => Math.max(most, Math.abs(x - file.samples[i]!)), 0);
  expect(worst).toBeLessThan(1e-5);
  expect((await speak(new Blob([readFileSync(output)]))).codes).toEqual(folder.codes);
});

test("a quantized file speaks", async () => {
  const output = join(root, "q8.gguf");
  const profile = await qwen3TtsQuantizeProfile(await openModelFiles(MINI));
  await quantizeCheckpoint({ input: MINI, output, qtype: "q8_0" }, profile);
  const { samples } = await speak(output, { precision: "fast" });
  expect(samples.every((x) => Number.isFinite(x))).toBe(true);
  expect(samples.some((x) => Math.abs(x) > 0.05)).toBe(true);
});

test("progress goes up to the end; an abort and too little memory end the loading", async () => {
  const seen: { bytesDone: number; bytesTotal: number }[] = [];
  const loaded = await loadQwen3Tts(MINI, { onProgress: (progress) => seen.push(progress) });
  await loaded.dispose();
  expect(seen.length).toBeGreaterThan(100);
  for (let i = 1; i < seen.length; i++)
    expect(seen[i]!.bytesDone).toBeGreaterThanOrEqual(seen[i - 1]!.bytesDone);
  const abort = new AbortController();
  const aborted = loadQwen3Tts(MINI, {
    signal: abort.signal,
    onProgress: () => abort.abort(new Error("stop")),
  });
  await expect(aborted).rejects.toThrow("stop");
  const tooLarge = loadQwen3Tts(MINI, { memoryLimitBytes: 1e6 });
  await expect(tooLarge).rejects.toThrow(ConfigError);
  await expect(tooLarge).rejects.toThrow(/estimated to need .* the limit is 1\.00 MB/);
  await expect(loadQwen3Tts(join(root, "nowhere"))).rejects.toThrow(VoxquantError);
});
