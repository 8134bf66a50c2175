import { concat2d, tensor2d, transpose, type Tensor2D } from "@tensorflow/tfjs-core";
import { AudioError, MEL_CONFIGS, MelFrontEnd } from "@voxquant/audio";
import { ConfigError, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import { traceTensor, type EventLoopBreak, type TraceSink, type WeightSource } from "@voxquant/nn";
import {
  AttentivePooling,
  loadPointwise,
  SameConv,
  SeRes2NetBlock,
  traceChannels,
} from "./speaker-layers.js";

/** `speaker_encoder_config`; lists have one entry per layer: first convolution, SE-Res2Net blocks, aggregation. */
export interface SpeakerEncoderConfig {
  readonly melBins: number;
  readonly channels: readonly number[];
  readonly kernelSizes: readonly number[];
  readonly dilations: readonly number[];
  readonly attentionChannels: number;
  readonly res2netScale: number;
  readonly seChannels: number;
  /** Width of the x-vector: that of the talker. */
  readonly outputDim: number;
}

/**
 * The speaker encoder of Base checkpoints: an ECAPA-TDNN over a log-mel spectrogram of the whole clip
 * (modeling_qwen3_tts.py `Qwen3TTSSpeakerEncoder`). Signals are `[frames, channels]`. Its layers are always computed in
 * float32: one vector conditions the whole utterance.
 */
export class SpeakerEncoder {
  readonly config: SpeakerEncoderConfig;
  readonly #runtime: Runtime;
  readonly #mel: MelFrontEnd;
  readonly #input: SameConv;
  readonly #blocks: readonly SeRes2NetBlock[];
  readonly #aggregation: SameConv;
  readonly #pooling: AttentivePooling;
  readonly #projection: LinearLayer;

  private constructor(
    runtime: Runtime,
    config: SpeakerEncoderConfig,
    parts: {
      input: SameConv;
      blocks: readonly SeRes2NetBlock[];
      aggregation: SameConv;
      pooling: AttentivePooling;
      projection: LinearLayer;
    },
  ) {
    this.config = config;
    this.#runtime = runtime;
    this.#mel = new MelFrontEnd({ ...MEL_CONFIGS.qwen3TtsSpeaker, mels: config.melBins });
    this.#input = parts.input;
    this.#blocks = parts.blocks;
    this.#aggregation = parts.aggregation;
    this.#pooling = parts.pooling;
    this.#projection = parts.projection;
  }

  /**
   * @param prefix of the tensor names, `speaker_encoder.`
   * @throws ConfigError for sizes that contradict each other or the tensors, ResourceError for a missing tensor
   */
  static async load(
    runtime: Runtime,
    source: WeightSource,
    prefix: string,
    config: SpeakerEncoderConfig,
  ): Promise<SpeakerEncoder> {
    checkConfig(config);
    const { channels, kernelSizes, dilations } = config;
    const last = channels.length - 1;
    const wide = channels[last]!;
    const blocks: SeRes2NetBlock[] = [];
    for (let i = 1; i < last; i++) {
      blocks.push(await SeRes2NetBlock.load(runtime, source, `${prefix}blocks.${i}`, config, i));
    }
    return new SpeakerEncoder(runtime, config, {
      input: await SameConv.load(runtime, source, `${prefix}blocks.0.conv`, {
        in: config.melBins,
        out: channels[0]!,
        kernel: kernelSizes[0]!,
        dilation: dilations[0]!,
      }),
      blocks,
      aggregation: await SameConv.load(runtime, source, `${prefix}mfa.conv`, {
        in: wide,
        out: wide,
        kernel: kernelSizes[last]!,
        dilation: dilations[last]!,
      }),
      pooling: await AttentivePooling.load(runtime, source, `${prefix}asp`, wide, config.attentionChannels),
      projection: await loadPointwise(runtime, source, `${prefix}fc`, 2 * wide, config.outputDim),
    });
  }

  /** Of the clips, Hz. */
  get sampleRate(): number {
    return this.#mel.config.sampleRate;
  }

  /** Fewest samples that its reflecting convolutions can mirror. */
  get minSamples(): number {
    const { kernelSizes, dilations } = this.config;
    const { hopLength, fftSize, padding } = this.#mel.config;
    const widest = Math.max(...kernelSizes.map((kernel, i) => ((kernel - 1) / 2) * dilations[i]!));
    // Reflection by n frames needs n + 1 of them.
    return Math.max(this.#mel.minSamples, widest * hopLength + fftSize - 2 * padding.samples);
  }

  /**
   * The x-vector `[outputDim]` of a mono clip at 24 kHz of at least `minSamples` samples; not normalised, as the talker
   * takes it.
   * @throws AudioError `too_short`; the reason of an abort
   */
  async embed(samples: Float32Array, pause: EventLoopBreak, trace?: TraceSink): Promise<Float32Array> {
    if (samples.length < this.minSamples) {
      const message = `speaker encoder: ${samples.length} samples at ${this.sampleRate} Hz, at least ${this.minSamples} are needed`;
      throw new AudioError("too_short", message);
    }
    const { data, mels, frames } = this.#mel.compute(samples);
    const held: Tensor2D[] = [];
    const hold = (body: () => Tensor2D): Tensor2D => {
      const tensor = this.#runtime.run(body);
      held.push(tensor);
      return tensor;
    };
    try {
      const mel = hold(() => transpose(tensor2d(data, [mels, frames])));
      traceTensor(trace, "mel", mel);
      let x = hold(() => this.#input.forward(mel));
      traceChannels(trace, "block0", x);
      const outputs: Tensor2D[] = [];
      for (let i = 0; i < this.#blocks.length; i++) {
        await pause.pass();
        const name = `block${i + 1}`;
        const input = x;
        x = hold(() => this.#blocks[i]!.forward(input, name, trace));
        traceChannels(trace, name, x);
        outputs.push(x);
      }
      await pause.pass();
      const aggregated = hold(() => this.#aggregation.forward(concat2d(outputs, 1)));
      traceChannels(trace, "mfa", aggregated);
      await pause.pass();
      const xVector = hold(() => this.#projection.forward(this.#pooling.forward(aggregated, trace)));
      const values = Float32Array.from(xVector.dataSync());
      trace?.("xvector", { shape: [values.length], data: values });
      return values;
    } finally {
      for (const tensor of held) tensor.dispose();
    }
  }
}

/** @throws ConfigError */
function checkConfig({ channels, kernelSizes, dilations, res2netScale }: SpeakerEncoderConfig): void {
  const fail = (problem: string): never => {
    throw new ConfigError(`speaker_encoder_config: ${problem}`);
  };
  if (channels.length < 3 || kernelSizes.length !== channels.length || dilations.length !== channels.length) {
    fail(
      `enc_channels, enc_kernel_sizes and enc_dilations have ${channels.length}, ${kernelSizes.length} and ` +
        `${dilations.length} entries; equal numbers, at least 3, are expected`,
    );
  }
  if (kernelSizes.some((kernel) => kernel % 2 === 0)) {
    fail(`enc_kernel_sizes [${kernelSizes.join(", ")}] should all be odd`);
  }
  const inner = channels.slice(1, -1);
  if (inner.some((width, i) => width !== channels[i] || width % res2netScale !== 0)) {
    fail(
      `enc_channels [${channels.join(", ")}]: all but the last should be equal, and a multiple of enc_res2net_scale ${res2netScale}`,
    );
  }
  const joined = inner.reduce((total, width) => total + width, 0);
  if (joined !== channels.at(-1)) {
    fail(
      `enc_channels [${channels.join(", ")}]: the last should be the sum of the blocks' channels, ${joined}`,
    );
  }
}
