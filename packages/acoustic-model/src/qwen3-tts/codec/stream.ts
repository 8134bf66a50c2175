import { slice2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError, type KvCache, type Runtime } from "@voxquant/quant-core";
import { EventLoopBreak, type TraceSink } from "@voxquant/nn";
import { StreamMemory, type CausalConv } from "./causal-conv.js";
import type { CodecConfig } from "./config.js";
import { checkCodes, type CodecQuantizer } from "./quantizer.js";
import { StageTrace } from "./stage-trace.js";
import type { CodecTransformer, Step } from "./transformer.js";
import { waveformReach, type WaveformDecoder } from "./waveform.js";

/** The decoder's parts in the signal's order. */
export interface CodecNetwork {
  readonly runtime: Runtime;
  readonly config: CodecConfig;
  readonly quantizer: CodecQuantizer;
  readonly preConv: CausalConv;
  readonly transformer: CodecTransformer;
  readonly waveform: WaveformDecoder;
}

export interface DecodeOptions {
  /** Aborts between two layers of at most `SLICE_FRAMES` frames; a stream must be reset after that. */
  readonly signal?: AbortSignal;
  /** Codes per frame of whoever made the codes, to be refused where the codec has another number. */
  readonly groups?: number;
  /** Receives every stage of this call. */
  readonly trace?: TraceSink;
}

/**
 * Most frames that go through the layers at once: enough to read the weights seldom, few enough that the widest signals
 * (a frame has `samplesPerFrame` rows of the last block's channels) take little memory and no layer takes long. Published
 * shapes on two cores: 5 at once take a tenth more time a frame, 15 no less.
 */
export const SLICE_FRAMES = 10;

/**
 * Codes → samples of one utterance in pieces of any length. Carried from piece to piece are the rows that the
 * convolutions look back to and the keys and values in the attention's window, so the pieces are those of decoding all
 * at once, and memory does not grow with the length. Several streams of one decoder may be open together.
 */
export class CodecDecoderStream {
  readonly #network: CodecNetwork;
  readonly #memory: StreamMemory;
  readonly #cache: KvCache;
  /** Frames of the stream so far. */
  #position = 0;
  /** The last of them whose keys and values are in the cache. */
  #cached = 0;
  #state: "ready" | "running" | "broken" | "disposed" = "ready";

  constructor(network: CodecNetwork) {
    this.#network = network;
    this.#memory = new StreamMemory(network.runtime);
    this.#cache = network.transformer.createCache(network.runtime, SLICE_FRAMES);
  }

  /** Frames decoded or primed since the start or the last reset. */
  get frames(): number {
    return this.#position;
  }

  /**
   * The next samples, `samplesPerFrame` for each frame of the time-major codes `[frames · groups]`, −1 to 1.
   * @throws ConfigError for codes that are not whole frames or outside the codebooks, or while a call is running; the
   *   signal's reason when aborted
   */
  async decode(codes: Int32Array, options: DecodeOptions = {}): Promise<Float32Array> {
    const { samplesPerFrame } = this.#network.config;
    const frames = this.#frameCount(codes, options);
    const samples = new Float32Array(frames * samplesPerFrame);
    const trace = options.trace === undefined ? null : new StageTrace();
    await this.#run(
      codes,
      options,
      async (from, latent, pause) => {
        const steps = this.#network.waveform.steps(this.#memory, trace);
        const wave = await this.#through(steps, latent, pause);
        samples.set(wave.dataSync(), from * samplesPerFrame);
        wave.dispose();
      },
      trace,
    );
    for (let i = 0; i < samples.length; i++) samples[i] = clamp(samples[i]!);
    if (options.trace !== undefined) {
      trace?.emit(options.trace);
      options.trace("wav", { shape: [samples.length], data: samples.slice() });
    }
    return samples;
  }

  /**
   * Takes frames in as if they had been decoded, without making their samples: what comes next continues them (the
   * reference of a cloned voice). The convolutions see only the last frames, as many as they look back to.
   * Errors as `decode`.
   */
  async prime(codes: Int32Array, options: Omit<DecodeOptions, "trace"> = {}): Promise<void> {
    const frames = this.#frameCount(codes, options);
    const heard = Math.max(0, frames - waveformReach(this.#network.config.decoder));
    await this.#run(codes, options, async (from, latent, pause) => {
      const rows = latent.shape[0];
      const skipped = Math.min(rows, Math.max(0, heard - from));
      if (skipped === rows) {
        latent.dispose();
        return;
      }
      const last = this.#network.runtime.run(() =>
        slice2d(latent, [skipped, 0], [rows - skipped, latent.shape[1]]),
      );
      latent.dispose();
      const wave = await this.#through(this.#network.waveform.steps(this.#memory, null), last, pause);
      wave.dispose();
    });
  }

  /** Back to the state of a new stream, also after a call that failed or was aborted. */
  reset(): void {
    if (this.#state === "running") throw new ConfigError("a codec stream cannot be reset while it decodes");
    if (this.#state === "disposed") throw new ConfigError("the codec stream was disposed");
    this.#memory.reset();
    this.#position = 0;
    this.#cached = 0;
    this.#state = "ready";
  }

  /** Frees the state; a running call ends with an error. */
  dispose(): void {
    const running = this.#state === "running";
    if (this.#state !== "disposed" && !running) this.#release();
    this.#state = "disposed";
  }

  #release(): void {
    this.#memory.dispose();
    this.#network.runtime.releaseKvCache(this.#cache);
  }

  #frameCount(codes: Int32Array, options: DecodeOptions): number {
    const { groups, decoder } = this.#network.config;
    if (options.groups !== undefined && options.groups !== groups) {
      throw new ConfigError(
        `frames of ${options.groups} codes were given, this codec has ${groups} per frame`,
      );
    }
    checkCodes(codes, groups, decoder.codebookSize);
    if (this.#state !== "ready") throw new ConfigError(NOT_READY[this.#state]);
    return codes.length / groups;
  }

  /** Runs slice after slice up to the latent frames, which `use` takes over. */
  async #run(
    codes: Int32Array,
    options: DecodeOptions,
    use: (from: number, latent: Tensor2D, pause: EventLoopBreak) => Promise<void>,
    trace: StageTrace | null = null,
  ): Promise<void> {
    const { groups } = this.#network.config;
    const pause = new EventLoopBreak(options.signal);
    options.signal?.throwIfAborted();
    this.#state = "running";
    try {
      // Slices of about equal length: a short one costs more per frame.
      const frames = codes.length / groups;
      const step = groups * Math.ceil(frames / Math.ceil(frames / SLICE_FRAMES));
      for (let at = 0; at < codes.length; at += step) {
        const slice = codes.subarray(at, at + step);
        await use(at / groups, await this.#latent(slice, pause, trace), pause);
      }
      if (!this.#isDisposed()) this.#state = "ready";
    } finally {
      if (this.#isDisposed()) this.#release();
      else if (this.#state === "running") this.#state = "broken";
    }
  }

  /** Codes of one slice → `[frames, latent]`. */
  async #latent(codes: Int32Array, pause: EventLoopBreak, trace: StageTrace | null): Promise<Tensor2D> {
    const { runtime, config, quantizer, preConv, transformer } = this.#network;
    const frames = codes.length / config.groups;
    this.#makeRoom(frames);
    const rows = {
      positions: Int32Array.from({ length: frames }, (_, i) => this.#position + i),
      sequences: [{ cache: this.#cache, start: 0, count: frames, position: this.#cached }],
    };
    const input = runtime.run(() => {
      const latent = preConv.forward(quantizer.decode(codes, trace), this.#memory);
      trace?.signal("pre_conv", latent);
      return latent;
    });
    const latent = await this.#through(transformer.steps(rows, trace), input, pause);
    this.#position += frames;
    this.#cached += frames;
    return latent;
  }

  /** Forgets what is out of every window, once the cache would overflow. */
  #makeRoom(frames: number): void {
    const { runtime, config } = this.#network;
    if (this.#cached + frames <= this.#cache.shape.capacity) return;
    const kept = Math.min(this.#cached, config.decoder.window - 1);
    runtime.dropCached(this.#cache, this.#cached - kept);
    this.#cached = kept;
  }

  /** x through the steps, each input disposed of, with turns for the event loop between them. */
  async #through(steps: readonly Step[], x: Tensor2D, pause: EventLoopBreak): Promise<Tensor2D> {
    const { runtime } = this.#network;
    for (const step of steps) {
      try {
        await pause.pass();
        if (this.#isDisposed()) throw new ConfigError("the codec stream was disposed while it decoded");
        const next = runtime.run(() => step(x));
        x.dispose();
        x = next;
      } catch (error) {
        x.dispose();
        throw error;
      }
    }
    return x;
  }

  #isDisposed(): boolean {
    return this.#state === "disposed";
  }
}

const NOT_READY = {
  running: "a codec stream decodes one piece at a time; await the call before",
  broken: "the codec stream's last call failed; reset it first",
  disposed: "the codec stream was disposed",
} as const;

/** NaN stays NaN: a broken model must not sound like silence. */
function clamp(sample: number): number {
  return sample > 1 ? 1 : sample < -1 ? -1 : sample;
}
