import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { engine } from "@tensorflow/tfjs-core";
import { AudioError, readWav, resample, toMono } from "@voxquant/audio";
import {
  compareCase,
  GOLDEN_BACKENDS,
  GoldenModels,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
  type GoldenTensor,
} from "@voxquant/goldens";
import { CheckpointWeights, EventLoopBreak, type TraceSink } from "@voxquant/nn";
import { openCheckpoint, Runtime, selectDevice } from "@voxquant/quant-core";
import { parseQwen3TtsConfig } from "./config.js";
import { SpeakerEncoder } from "./speaker-encoder.js";
import { SPEAKER_ENCODER_PREFIX } from "./weights.js";

const FAMILY = "qwen3-tts";
const rules = new ToleranceRules(FAMILY);

interface SpeakerCase {
  readonly sample_rate: number;
  readonly samples_at_24k: number;
  readonly mel_frames: number;
  readonly wav: string | null;
  readonly xvector_rms?: number;
}

const isSpeakerCase = (golden: GoldenCase) =>
  readGoldenJson<Partial<SpeakerCase>>(golden.jsonPath).xvector_rms !== undefined;

const variants = goldenVariants(FAMILY).filter((variant) => variant.cases.some(isSpeakerCase));

const encoders = new GoldenModels(async ({ folder }, backend) => {
  const { device } = await selectDevice(backend);
  const config = parseQwen3TtsConfig(readFileSync(join(folder, "config.json"), "utf8"), null, folder);
  const weights = new CheckpointWeights(await openCheckpoint(folder), "Qwen3-TTS");
  const runtime = new Runtime(device, "exact");
  return SpeakerEncoder.load(runtime, weights, SPEAKER_ENCODER_PREFIX, config.speakerEncoder!);
});

/** The clip at 24 kHz: a stored tensor, else the file. */
function clipOf(
  golden: GoldenCase,
  json: SpeakerCase,
  tensors: ReadonlyMap<string, GoldenTensor>,
): Float32Array {
  const stored = tensors.get("resampled") ?? tensors.get("audio");
  if (stored !== undefined) return stored.data as Float32Array;
  const wav = readWav(readFileSync(join(dirname(golden.jsonPath), json.wav!)));
  return resample(toMono(wav), wav.sampleRate, 24000);
}

if (variants.length === 0) test.skip("no speaker cases", () => undefined);

for (const variant of variants) {
  describe.each(GOLDEN_BACKENDS)(`${variant.name} on %s`, (backend) => {
    for (const golden of variant.cases.filter(isSpeakerCase)) {
      test(golden.name, async () => {
        const encoder = await encoders.of(variant, backend);
        if (encoder === null) return;
        const json = readGoldenJson<SpeakerCase>(golden.jsonPath);
        const tensors =
          golden.tensorsPath === null ? new Map<string, GoldenTensor>() : readTensors(golden.tensorsPath);
        const clip = clipOf(golden, json, tensors);
        expect(clip.length).toBe(json.samples_at_24k);
        const traced = new Map<string, GoldenTensor>();
        const sink: TraceSink = (name, tensor) => traced.set(name, tensor);
        await encoder.embed(clip, new EventLoopBreak(), sink);
        expect(traced.get("mel")!.shape[0]).toBe(json.mel_frames);
        compareCase(rules, variant, golden, tensors, (name, expected) => {
          const actual = traced.get(name);
          if (actual !== undefined) expect([name, actual.shape]).toEqual([name, expected.shape]);
          return actual?.data;
        });
      });
    }

    test("the shortest clip works, a shorter one is a typed error; no tensors are left behind", async () => {
      const encoder = await encoders.of(variant, backend);
      if (encoder === null) return;
      const pause = new EventLoopBreak();
      const least = encoder.minSamples;
      const xVector = await encoder.embed(new Float32Array(least).fill(0.1), pause);
      expect(xVector.length).toBe(encoder.config.outputDim);
      expect(xVector.every(Number.isFinite)).toBe(true);
      await expect(encoder.embed(new Float32Array(least - 1), pause)).rejects.toThrow(AudioError);
      const { numTensors } = engine().memory();
      const reason = new Error("enough");
      const aborted = new EventLoopBreak(AbortSignal.abort(reason));
      await expect(encoder.embed(new Float32Array(least), aborted)).rejects.toBe(reason);
      await encoder.embed(new Float32Array(least), pause);
      expect(engine().memory().numTensors).toBe(numTensors);
    });
  });
}
