import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AudioError, type AudioErrorKind } from "@voxquant/audio";
import { goldenVariants } from "@voxquant/goldens";
import {
  ConfigError,
  FormatError,
  MemorySink,
  openCheckpoint,
  ResourceError,
  Runtime,
  selectDevice,
  UnsupportedError,
  writeSafetensors,
  type SafetensorsTensor,
} from "@voxquant/quant-core";
import type { Voice } from "../tts-model.js";
import { VoiceCloner, type ReferenceAudio } from "./clone-prompt.js";
import { parseCodecConfig } from "./codec/config.js";
import { CodecWeights } from "./codec/weights.js";
import { parseQwen3TtsConfig, type Qwen3TtsConfig } from "./config.js";
import { readVoice, writeVoice } from "./voice-file.js";
import { CheckpointWeights } from "@voxquant/nn";

const { sin, PI } = Math;

const variants = goldenVariants("qwen3-tts").map(({ name, folder }) => {
  const config = parseQwen3TtsConfig(readFileSync(join(folder, "config.json"), "utf8"), null, folder);
  return { name, folder, config };
});
const base = variants.find(
  ({ config, folder }) => config.speakerEncoder !== null && readdirSync(folder).includes("speech_tokenizer"),
);
const withoutEncoder = variants.find(({ config }) => config.speakerEncoder === null);

async function clonerOf(
  folder: string,
  config: Qwen3TtsConfig,
): Promise<{ cloner: VoiceCloner; groups: number; samplesPerFrame: number }> {
  const runtime = new Runtime((await selectDevice("cpu")).device, "exact");
  const codecFolder = join(base!.folder, "speech_tokenizer");
  const codecConfig = parseCodecConfig(readFileSync(join(codecFolder, "config.json"), "utf8"), folder);
  const cloner = new VoiceCloner(runtime, {
    location: folder,
    config,
    weights: new CheckpointWeights(await openCheckpoint(folder), "Qwen3-TTS"),
    codecConfig,
    codecWeights: new CodecWeights(await openCheckpoint(codecFolder), codecConfig),
  });
  return { cloner, groups: codecConfig.groups, samplesPerFrame: codecConfig.samplesPerFrame };
}

const tone = (length: number, sampleRate = 24000): ReferenceAudio => ({
  samples: Float32Array.from({ length }, (_, n) => 0.3 * sin((2 * PI * 220 * n) / sampleRate)),
  sampleRate,
});

describe("making a voice", () => {
  if (base === undefined) {
    test.skip("no base checkpoint among the goldens", () => undefined);
    return;
  }

  test("with text, timbre and codes; without, timbre alone; at any rate", async () => {
    const { cloner, groups, samplesPerFrame } = await clonerOf(base.folder, base.config);
    const voice = await cloner.create(tone(8000, 16000), { text: "hello" });
    expect(voice.xVector).toHaveLength(base.config.talker.hiddenSize);
    expect(voice.referenceText).toBe("hello");
    expect(voice.referenceCodes).toHaveLength(Math.ceil(12000 / samplesPerFrame) * groups);
    const timbre = await cloner.create(tone(8000, 16000));
    expect(timbre).toEqual({ xVector: voice.xVector, referenceCodes: null, referenceText: null });
  });

  const audio = (change: (samples: Float32Array) => void, length = 6000): ReferenceAudio => {
    const reference = tone(length);
    change(reference.samples);
    return reference;
  };
  test.each<[string, ReferenceAudio, AudioErrorKind, RegExp]>([
    ["empty", tone(0), "no_data", /empty.*3 to 30 s/],
    ["silent", audio((x) => x.fill(0)), "no_data", /silent/],
    ["a constant", audio((x) => x.fill(0.4)), "no_data", /silent/],
    ["NaN", audio((x) => (x[77] = NaN)), "bad_samples", /NaN/],
    ["infinite", audio((x) => (x[77] = -Infinity)), "bad_samples", /infinite/],
    ["too short", tone(1279), "too_short", /0\.053 s, at least 54 ms/],
    ["too long", tone(121 * 1000, 1000), "bad_input", /121 s.*cut out/],
    ["of no rate", { ...tone(6000), sampleRate: 0 }, "bad_input", /0 Hz/],
    ["of a broken rate", { ...tone(6000), sampleRate: 44100.5 }, "bad_input", /44100\.5/],
  ])("audio that is %s is refused", async (_, reference, kind, message) => {
    const { cloner } = await clonerOf(base.folder, base.config);
    const error: unknown = await cloner.create(reference).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AudioError);
    expect((error as AudioError).kind).toBe(kind);
    expect((error as AudioError).message).toMatch(message);
  });

  test("an empty text is refused, an abort ends the call", async () => {
    const { cloner } = await clonerOf(base.folder, base.config);
    await expect(cloner.create(tone(6000), { text: " \n" })).rejects.toThrow(ConfigError);
    const reason = new Error("enough");
    const aborted = cloner.create(tone(6000), { text: "hello", signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
  });

  test("a checkpoint without speaker encoder is named", async () => {
    if (withoutEncoder === undefined) return;
    const { cloner } = await clonerOf(withoutEncoder.folder, withoutEncoder.config);
    const call = cloner.create(tone(6000));
    await expect(call).rejects.toThrow(UnsupportedError);
    await expect(call).rejects.toThrow(new RegExp(`${withoutEncoder.config.variant}.*base checkpoint`));
  });
});

describe("voice files", () => {
  const voice: Voice = {
    xVector: Float32Array.of(0.5, -1.25, 3e-8),
    referenceCodes: Int32Array.of(1, 2, 3, 2047),
    referenceText: 'Привет, "мир" 👋',
  };
  const timbre: Voice = { ...voice, referenceCodes: null, referenceText: null };

  const bytesOf = async (saved: Voice) => {
    const sink = new MemorySink();
    await writeVoice(sink, saved);
    return sink.concat();
  };

  test("come back as they were, from memory and from a file", async () => {
    for (const saved of [voice, timbre]) expect(await readVoice(await bytesOf(saved))).toEqual(saved);
    const folder = mkdtempSync(join(tmpdir(), "voice-"));
    try {
      const path = join(folder, "anna.safetensors");
      await writeVoice(path, timbre);
      await writeVoice(path, voice); // replaces it
      expect(await readVoice(path)).toEqual(voice);
      expect(readdirSync(folder)).toEqual(["anna.safetensors"]);
      writeFileSync(path, readFileSync(path).subarray(0, -3));
      await expect(readVoice(path)).rejects.toThrow(FormatError);
      await expect(readVoice(join(folder, "ben.safetensors"))).rejects.toThrow(ResourceError);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  const good = { format: "voxquant-voice", version: "1" };
  const xVector = (values: readonly number[]): SafetensorsTensor => ({
    name: "x_vector",
    dtype: "F32",
    shape: [values.length],
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });
  const codes = (values: readonly number[], dtype = "I32"): SafetensorsTensor => ({
    name: "reference_codes",
    dtype,
    shape: [values.length],
    bytes: new Uint8Array(Int32Array.from(values).buffer),
  });
  test.each<[string, SafetensorsTensor[], Record<string, string>, typeof FormatError | typeof ConfigError]>([
    ["another file", [xVector([1])], {}, ConfigError],
    ["a later version", [xVector([1])], { ...good, version: "2" }, ConfigError],
    ["no x-vector", [], good, FormatError],
    ["an empty x-vector", [xVector([])], good, FormatError],
    ["a NaN", [xVector([1, NaN])], good, FormatError],
    ["a matrix", [{ ...xVector([1, 2]), shape: [1, 2] }], good, FormatError],
    ["another type", [{ ...xVector([1, 2]), dtype: "I32" }], good, FormatError],
    ["a huge x-vector", [xVector(Array.from({ length: 70_000 }, () => 1))], good, FormatError],
    ["negative codes", [xVector([1]), codes([3, -1])], { ...good, reference_text: "a" }, FormatError],
    ["float codes", [xVector([1]), codes([3, 1], "F32")], { ...good, reference_text: "a" }, FormatError],
    ["codes without text", [xVector([1]), codes([3, 1])], good, FormatError],
    ["text without codes", [xVector([1])], { ...good, reference_text: "a" }, FormatError],
    ["endless text", [xVector([1]), codes([3])], { ...good, reference_text: "a".repeat(1e5) }, FormatError],
  ])("%s is a typed error", async (_, tensors, metadata, error) => {
    const sink = new MemorySink();
    await writeSafetensors(sink, tensors, metadata);
    await expect(readVoice(sink.concat())).rejects.toThrow(error);
  });
});
