import { AudioError, resample } from "@voxquant/audio";
import { ConfigError, UnsupportedError, type Runtime } from "@voxquant/quant-core";
import { EventLoopBreak, type WeightSource } from "@voxquant/nn";
import type { Voice } from "../tts-model.js";
import type { CodecConfig } from "./codec/config.js";
import { CodecEncoder } from "./codec/encode.js";
import type { Qwen3TtsConfig } from "./config.js";
import { SpeakerEncoder, type SpeakerEncoderConfig } from "./speaker-encoder.js";
import { SPEAKER_ENCODER_PREFIX } from "./weights.js";

/** A recording of the voice to clone: mono, nominally -1 to 1. */
export interface ReferenceAudio {
  readonly samples: Float32Array;
  /** Hz. */
  readonly sampleRate: number;
}

export interface CloneOptions {
  /** What is said in the recording; with it, the recording is continued in context, else its timbre alone is taken. */
  readonly text?: string;
  readonly signal?: AbortSignal;
}

/** What a cloner takes its networks from; nothing is read before the first voice is made. */
export interface ClonerParts {
  /** Path or URL, for messages. */
  readonly location: string;
  readonly config: Qwen3TtsConfig;
  /** Of the speaker encoder, under its official names. */
  readonly weights: WeightSource;
  readonly codecConfig: CodecConfig;
  /** Of the codec (`CodecWeights`). */
  readonly codecWeights: WeightSource;
}

/**
 * Longest reference. It stands in the prompt of every sentence, and seconds are enough: the official package, which has
 * no limit, is used with 3 to 30.
 */
const MAX_SECONDS = 120;
/** A recording that never strays further from its mean is silent (-60 dB of full scale). */
const SILENT_PEAK = 1e-3;

/** Makes voices of reference recordings (qwen_tts_model.py `create_voice_clone_prompt`). */
export class VoiceCloner {
  readonly #runtime: Runtime;
  readonly #parts: ClonerParts;
  #speakerEncoder: Promise<SpeakerEncoder> | null = null;
  #codecEncoder: Promise<CodecEncoder> | null = null;

  constructor(runtime: Runtime, parts: ClonerParts) {
    this.#runtime = runtime;
    this.#parts = parts;
  }

  /**
   * The x-vector of a recording and, if its text is given, its codes.
   * @throws UnsupportedError for a checkpoint without a speaker encoder; AudioError for a recording that is empty,
   *   silent, damaged, too short or too long; ConfigError for an empty text; the reason of an abort
   */
  async create(audio: ReferenceAudio, { text, signal }: CloneOptions = {}): Promise<Voice> {
    signal?.throwIfAborted();
    const { location, config } = this.#parts;
    if (config.speakerEncoder === null) {
      throw new UnsupportedError(
        `${location}: a ${config.variant} checkpoint has no speaker encoder, so it cannot clone voices; use a base checkpoint (Qwen3-TTS-…-Base)`,
      );
    }
    if (text?.trim() === "") {
      throw new ConfigError(
        "the reference text is empty: give the words that are said in the recording, or none to take its timbre alone",
      );
    }
    checkReference(audio);
    const speakerEncoder = await this.#loadSpeakerEncoder(config.speakerEncoder);
    const { samples, sampleRate } = audio;
    const clip = resample(samples, sampleRate, speakerEncoder.sampleRate);
    if (clip.length < speakerEncoder.minSamples) {
      const least = Math.ceil((speakerEncoder.minSamples / speakerEncoder.sampleRate) * 1000);
      throw new AudioError(
        "too_short",
        `the reference audio lasts ${seconds(audio).toFixed(3)} s, at least ${least} ms are needed; some 3 to 30 s of clear speech are best`,
      );
    }
    const pause = new EventLoopBreak(signal);
    const xVector = await speakerEncoder.embed(clip, pause);
    if (text === undefined) return { xVector, referenceCodes: null, referenceText: null };
    const codecEncoder = await this.#loadCodecEncoder();
    const rate = codecEncoder.config.sampleRate;
    const codecClip = rate === speakerEncoder.sampleRate ? clip : resample(samples, sampleRate, rate);
    const referenceCodes = await codecEncoder.encode(codecClip, pause);
    return { xVector, referenceCodes, referenceText: text };
  }

  #loadSpeakerEncoder(config: SpeakerEncoderConfig): Promise<SpeakerEncoder> {
    const { weights } = this.#parts;
    this.#speakerEncoder ??= SpeakerEncoder.load(this.#runtime, weights, SPEAKER_ENCODER_PREFIX, config);
    return this.#speakerEncoder;
  }

  #loadCodecEncoder(): Promise<CodecEncoder> {
    const { codecWeights, codecConfig } = this.#parts;
    this.#codecEncoder ??= CodecEncoder.load(this.#runtime, codecWeights, codecConfig);
    return this.#codecEncoder;
  }
}

function seconds({ samples, sampleRate }: ReferenceAudio): number {
  return samples.length / sampleRate;
}

/** @throws AudioError */
function checkReference(audio: ReferenceAudio): void {
  const { samples, sampleRate } = audio;
  if (samples.length === 0) {
    throw new AudioError(
      "no_data",
      "the reference audio is empty; some 3 to 30 s of clear speech are needed",
    );
  }
  if (!(sampleRate > 0)) {
    throw new AudioError("bad_input", `the reference audio has a sample rate of ${sampleRate} Hz`);
  }
  if (seconds(audio) > MAX_SECONDS) {
    throw new AudioError(
      "bad_input",
      `the reference audio lasts ${seconds(audio).toFixed(0)} s, at most ${MAX_SECONDS} s are taken; cut out 3 to 30 s of clear speech`,
    );
  }
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i]!;
  if (!Number.isFinite(sum)) {
    throw new AudioError(
      "bad_samples",
      "the reference audio has NaN or infinite samples: it is damaged or was converted wrongly",
    );
  }
  const mean = sum / samples.length;
  let peak = 0;
  for (let i = 0; i < samples.length; i++) peak = Math.max(peak, Math.abs(samples[i]! - mean));
  if (peak < SILENT_PEAK) {
    throw new AudioError(
      "no_data",
      "the reference audio is silent; a recording of the voice to clone is needed, some 3 to 30 s of clear speech",
    );
  }
}
