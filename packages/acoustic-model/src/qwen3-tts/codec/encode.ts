import { concat2d, reshape, slice, tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { causalConv1d, ConfigError, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import { loadLinear, type EventLoopBreak, type TraceSink, type WeightSource } from "@voxquant/nn";
import { AudioError } from "@voxquant/audio";
import { StreamMemory } from "./causal-conv.js";
import type { CodecConfig } from "./config.js";
import { EncoderTransformer, Seanet } from "./encoder.js";
import { ResidualQuantizer } from "./residual-quantizer.js";
import { StageTrace } from "./stage-trace.js";
import { CODEC_PREFIX, DOWNSAMPLE_STRIDE } from "./tensors.js";

/** Frames that go through the convolutions at once: activations at the sample rate (6 MB per second at 64 channels) bound the memory. */
const PIECE_FRAMES = 10;

/** The codec's encoder: a waveform at the codec's rate → its codes (modeling_mimi.py `MimiModel.encode`). */
export class CodecEncoder {
  readonly config: CodecConfig;
  readonly #runtime: Runtime;
  readonly #seanet: Seanet;
  readonly #transformer: EncoderTransformer;
  readonly #downsample: LinearLayer;
  readonly #quantizer: ResidualQuantizer;

  private constructor(
    runtime: Runtime,
    config: CodecConfig,
    parts: {
      seanet: Seanet;
      transformer: EncoderTransformer;
      downsample: LinearLayer;
      quantizer: ResidualQuantizer;
    },
  ) {
    this.config = config;
    this.#runtime = runtime;
    this.#seanet = parts.seanet;
    this.#transformer = parts.transformer;
    this.#downsample = parts.downsample;
    this.#quantizer = parts.quantizer;
  }

  /**
   * @param source of the codec's tensors (`CodecWeights`)
   * @throws ConfigError if the config has no encoder or a tensor has another size, ResourceError for a missing tensor
   */
  static async load(runtime: Runtime, source: WeightSource, config: CodecConfig): Promise<CodecEncoder> {
    const { encoder } = config;
    if (encoder === null) {
      throw new ConfigError("the speech tokenizer's config describes no encoder (encoder_config is missing)");
    }
    const { hiddenSize } = encoder;
    const size = { in: 2 * DOWNSAMPLE_STRIDE * hiddenSize, out: hiddenSize };
    return new CodecEncoder(runtime, config, {
      seanet: await Seanet.load(runtime, source, encoder),
      transformer: await EncoderTransformer.load(runtime, source, encoder),
      downsample: await loadLinear(runtime, source, `${CODEC_PREFIX}downsample`, size),
      quantizer: await ResidualQuantizer.load(runtime, source, config.groups, encoder),
    });
  }

  /** Codec frames of a clip: the last one may be partial. */
  frameCount(samples: number): number {
    return Math.ceil(samples / this.config.samplesPerFrame);
  }

  /**
   * Codes `[frames · groups]`, time-major, of a whole mono clip at `config.sampleRate`. A clip is encoded alone: the
   * codes of its partial last frame depend on where it ends.
   * @throws AudioError `no_data` for an empty clip; the reason of an abort
   */
  async encode(samples: Float32Array, pause: EventLoopBreak, trace?: TraceSink): Promise<Int32Array> {
    if (samples.length === 0) throw new AudioError("no_data", "codec encoder: the clip has no samples");
    const stages = trace === undefined ? null : new StageTrace();
    const features = await this.#features(samples, pause, stages);
    let latents: Tensor2D;
    try {
      latents = this.#runtime.run(() => this.#downsampled(features));
    } finally {
      features.dispose();
    }
    try {
      stages?.signal("downsample", latents);
      const codes = await this.#quantizer.encode(latents, pause, stages, trace);
      if (trace !== undefined) stages?.emit(trace);
      return codes;
    } finally {
      latents.dispose();
    }
  }

  /** Features of the clip after the transformer, `[ceil(samples / hop), hidden]`. */
  async #features(
    samples: Float32Array,
    pause: EventLoopBreak,
    stages: StageTrace | null,
  ): Promise<Tensor2D> {
    const piece = PIECE_FRAMES * this.config.samplesPerFrame;
    const memory = new StreamMemory(this.#runtime);
    const capacity = DOWNSAMPLE_STRIDE * this.frameCount(samples.length);
    const cache = this.#transformer.createCache(this.#runtime, capacity);
    const parts: Tensor2D[] = [];
    let position = 0;
    try {
      for (let start = 0; start < samples.length; start += piece) {
        const part = samples.subarray(start, start + piece);
        const features = this.#runtime.run(() => {
          const x = this.#seanet.forward(tensor2d(part, [part.length, 1]), memory, stages);
          return this.#transformer.forward(x, cache, position, stages);
        });
        parts.push(features);
        position += features.shape[0];
        await pause.pass();
      }
      return this.#runtime.run(() => concat2d(parts, 0));
    } finally {
      for (const part of parts) part.dispose();
      this.#runtime.releaseKvCache(cache);
      memory.dispose();
    }
  }

  /** features `[rows, hidden]` → `[ceil(rows / 2), hidden]`. Frames beyond either end are those at the end. */
  #downsampled(features: Tensor2D): Tensor2D {
    const [rows, hidden] = features.shape;
    const edge = (row: number) => slice(features, [row, 0], [1, hidden]);
    const before = Array.from({ length: DOWNSAMPLE_STRIDE }, () => edge(0));
    const after = Array.from(
      { length: (DOWNSAMPLE_STRIDE - (rows % DOWNSAMPLE_STRIDE)) % DOWNSAMPLE_STRIDE },
      () => edge(rows - 1),
    );
    const padded = concat2d([...before, features, ...after], 0);
    const groups = padded.shape[0] / DOWNSAMPLE_STRIDE;
    const x: Tensor2D = reshape(padded, [groups, DOWNSAMPLE_STRIDE * hidden]);
    const all = causalConv1d(x, this.#downsample, { kernel: 2, dilation: 1 }, null);
    return slice(all, [1, 0], [groups - 1, hidden]);
  }
}
