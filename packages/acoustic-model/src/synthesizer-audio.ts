import type { CodecConfig } from "./qwen3-tts/codec/config.js";
import type { CodecDecoderStream } from "./qwen3-tts/codec/stream.js";
import { CodeLoopGuard } from "./qwen3-tts/code-loop.js";
import { SilenceGuard } from "./guards.js";
import type { StopReason } from "./tts-model.js";

/** At a sentence's beginning and end the sound goes up and down, so that joints do not click. */
const FADE_SECONDS = 0.005;
/** Each chunk may be so much longer than the one before it: at a real-time factor up to 0.66 playback does not run dry. */
const CHUNK_GROWTH = 1.5;

/** What turns codes into sound: a codec decoder. */
export interface SpeechCodec {
  readonly config: Pick<CodecConfig, "sampleRate" | "samplesPerFrame" | "groups">;
  /** Frames per second. */
  readonly frameRate: number;
  createStream(): Pick<CodecDecoderStream, "decode" | "prime" | "dispose">;
}

export interface SentenceAudioOptions {
  readonly firstChunkFrames: number;
  readonly chunkFrames: number;
  /** Frames of the cloned recording that the speech continues, null for none. */
  readonly referenceCodes: Int32Array | null;
  /** Frames during which the model still gets text. */
  readonly textFrames: number;
  readonly signal: AbortSignal;
  /** Is added to, milliseconds. */
  readonly timings: { codecMs: number };
  /** Takes the samples in order; a promise holds the sentence back. */
  emit(samples: Float32Array): void | Promise<void>;
}

/**
 * The sound of one sentence, made while its codes come: chunks that grow from a short first one, through a codec stream of
 * its own, faded at both ends. What may have to be cut is held back: the fade's samples, a silence, codes that begin to
 * loop.
 */
export class SentenceAudio {
  readonly #codec: SpeechCodec;
  readonly #options: SentenceAudioOptions;
  readonly #stream: ReturnType<SpeechCodec["createStream"]>;
  readonly #silence: SilenceGuard;
  readonly #loop = new CodeLoopGuard();
  readonly #fade: number;
  readonly #codes: number[] = [];
  /** Frames whose sound was made. */
  #decoded = 0;
  #chunk: number;
  /** Sound that was made and not emitted. */
  #held = new Float32Array(0);
  #emitted = 0;

  constructor(codec: SpeechCodec, options: SentenceAudioOptions) {
    this.#codec = codec;
    this.#options = options;
    const { sampleRate, samplesPerFrame } = codec.config;
    this.#silence = new SilenceGuard(samplesPerFrame, codec.frameRate, options.textFrames);
    this.#fade = Math.round(FADE_SECONDS * sampleRate);
    this.#chunk = options.firstChunkFrames;
    this.#stream = codec.createStream();
  }

  /**
   * Adds a frame of codes.
   * @returns "silence" once the speech has lost its end
   */
  async push(frame: Int32Array): Promise<"silence" | null> {
    for (const code of frame) this.#codes.push(code);
    this.#loop.push(frame[0]!);
    if (this.#frames - this.#decoded < this.#chunk) return null;
    await this.#decode();
    this.#chunk = Math.min(this.#options.chunkFrames, Math.ceil(this.#chunk * CHUNK_GROWTH));
    if (this.#silence.isLost) return "silence";
    const safe = Math.min(this.#silence.usefulFrames, this.#frames - this.#loop.suspectFrames);
    await this.#emitUpTo(safe * this.#samplesPerFrame - this.#fade);
    return null;
  }

  /**
   * Makes what is left, cuts the tail that is no speech, and emits the rest.
   * @param usefulFrames frames before a loop
   * @returns the codes of what stays, time-major `[frames · groups]`
   */
  async finish(stopReason: StopReason, usefulFrames: number): Promise<Int32Array> {
    if (this.#decoded < this.#frames) await this.#decode();
    const size = this.#samplesPerFrame;
    // A loop is known late: what was played of it stays.
    const played = Math.ceil((this.#emitted + this.#fade) / size);
    let frames = this.#frames;
    if (stopReason === "silence") frames = this.#silence.usefulFrames;
    if (stopReason === "repetition") frames = Math.min(frames, Math.max(usefulFrames, played));
    const samples = frames * size;
    this.#fadeOut(samples);
    await this.#emitUpTo(samples);
    return Int32Array.from(this.#codes.slice(0, frames * this.#codec.config.groups));
  }

  dispose(): void {
    this.#stream.dispose();
  }

  get #frames(): number {
    return this.#codes.length / this.#codec.config.groups;
  }

  get #samplesPerFrame(): number {
    return this.#codec.config.samplesPerFrame;
  }

  async #decode(): Promise<void> {
    const { signal, timings, referenceCodes } = this.#options;
    const { groups } = this.#codec.config;
    const start = performance.now();
    if (this.#decoded === 0 && referenceCodes !== null) await this.#stream.prime(referenceCodes, { signal });
    const codes = Int32Array.from(this.#codes.slice(this.#decoded * groups));
    const samples = await this.#stream.decode(codes, { signal, groups });
    timings.codecMs += performance.now() - start;
    this.#silence.push(samples);
    this.#fadeIn(samples, this.#decoded * this.#samplesPerFrame);
    this.#decoded = this.#frames;
    const held = new Float32Array(this.#held.length + samples.length);
    held.set(this.#held);
    held.set(samples, this.#held.length);
    this.#held = held;
  }

  /** @param offset of the samples in the sentence */
  #fadeIn(samples: Float32Array, offset: number): void {
    for (let i = 0; i < samples.length && offset + i < this.#fade; i++) samples[i]! *= this.#gain(offset + i);
  }

  /** @param end of the sentence, in samples; nothing of the fade was emitted */
  #fadeOut(end: number): void {
    for (let i = Math.max(this.#emitted, end - this.#fade); i < end; i++) {
      this.#held[i - this.#emitted]! *= this.#gain(end - 1 - i);
    }
  }

  /** Half a period of a cosine, from the sample nearest to the edge. */
  #gain(index: number): number {
    return 0.5 * (1 - Math.cos((Math.PI * (index + 0.5)) / this.#fade));
  }

  async #emitUpTo(end: number): Promise<void> {
    if (end <= this.#emitted) return;
    const samples = this.#held.slice(0, end - this.#emitted);
    this.#held = this.#held.slice(end - this.#emitted);
    this.#emitted = end;
    await this.#options.emit(samples);
  }
}
