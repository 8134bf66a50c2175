import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { engine } from "@tensorflow/tfjs-core";
import { AudioError, readWav, resample, toMono } from "@voxquant/audio";
import {
  compareTensor,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
  type GoldenTensor,
  type GoldenVariant,
} from "@voxquant/goldens";
import { CheckpointWeights, EventLoopBreak, type TraceSink } from "@voxquant/nn";
import { BackendError, openCheckpoint, Runtime, selectDevice, type BackendName } from "@voxquant/quant-core";
import { parseQwen3TtsConfig } from "./config.js";
import { SpeakerEncoder } from "./speaker-encoder.js";
import { SPEAKER_ENCODER_PREFIX } from "./weights.js";

const FAMILY = "qwen3-tts";
const BACKENDS = ["cpu", "wasm", "native"] as const satisfies readonly BackendName[];
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

const encoders = new Map<string, Promise<SpeakerEncoder | null>>();

/** Null where the backend is not available. */
function encoderOn(variant: GoldenVariant, backend: BackendName): Promise<SpeakerEncoder | null> {
  const key = `${variant.folder} ${backend}`;
  let encoder = encoders.get(key);
  if (encoder === undefined) {
    encoder = load(variant, backend);
    encoders.set(key, encoder);
  }
  return encoder;
}

async function load(variant: GoldenVariant, backend: BackendName): Promise<SpeakerEncoder | null> {
  let runtime: Runtime;
  try {
    runtime = new Runtime((await selectDevice(backend)).device, "exact");
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    process.stderr.write(`goldens: backend ${backend} is not available, its tests are skipped\n`);
    return null;
  }
  const configJson = readFileSync(join(variant.folder, "config.json"), "utf8");
  const config = parseQwen3TtsConfig(configJson, null, variant.folder).speakerEncoder!;
  const weights = new CheckpointWeights(await openCheckpoint(variant.folder), "Qwen3-TTS");
  return SpeakerEncoder.load(runtime, weights, SPEAKER_ENCODER_PREFIX, config);
}

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
  describe.each(BACKENDS)(`${variant.name} on %s`, (backend) => {
    for (const golden of variant.cases.filter(isSpeakerCase)) {
      test(golden.name, async () => {
        const encoder = await encoderOn(variant, backend);
        if (encoder === null) return;
        const json = readGoldenJson<SpeakerCase>(golden.jsonPath);
        const tensors = golden.tensorsPath === null ? new Map() : readTensors(golden.tensorsPath);
        const clip = clipOf(golden, json, tensors);
        expect(clip.length).toBe(json.samples_at_24k);
        const traced = new Map<string, GoldenTensor>();
        const sink: TraceSink = (name, tensor) => traced.set(name, tensor);
        await encoder.embed(clip, new EventLoopBreak(), sink);
        expect(traced.get("mel")!.shape[0]).toBe(json.mel_frames);
        const failures: string[] = [];
        for (const [name, expected] of tensors as Map<string, GoldenTensor>) {
          const rule = rules.find(variant.name, golden.name, name);
          if (rule.use === "input" || rule.use === "info") continue;
          const actual = traced.get(name);
          if (actual === undefined) failures.push(`${name} was not traced`);
          else {
            const result = compareTensor(name, actual.data, expected, rule);
            if (!result.ok) failures.push(result.message);
            expect(actual.shape).toEqual(expected.shape);
          }
        }
        expect(failures).toEqual([]);
      });
    }

    test("the shortest clip works, a shorter one is a typed error; no tensors are left behind", async () => {
      const encoder = await encoderOn(variant, backend);
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
