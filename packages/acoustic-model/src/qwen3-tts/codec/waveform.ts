import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  add,
  addScaled,
  depthwiseCausalConv1d,
  snake,
  type LinearLayer,
  type Runtime,
  type Vector,
} from "@voxquant/quant-core";
import { LayerNorm, loadLinear, loadVector, type WeightSource } from "@voxquant/nn";
import { CausalConv, TransposedConv, type CarriesRows, type StreamMemory } from "./causal-conv.js";
import type { CodecDecoderConfig } from "./config.js";
import type { StageTrace } from "./stage-trace.js";
import { CONV_KERNEL, RESIDUAL_DILATIONS } from "./tensors.js";
import type { Step } from "./transformer.js";

/** Of a ConvNeXt block, which the checkpoint does not name. */
const LAYER_NORM_EPS = 1e-6;

/** `x + sin²(x · alpha) · inverseBeta` with a frequency and a strength per channel. */
export class Snake {
  readonly #alpha: Vector;
  readonly #inverseBeta: Vector;

  private constructor(alpha: Vector, inverseBeta: Vector) {
    this.#alpha = alpha;
    this.#inverseBeta = inverseBeta;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, channels: number): Promise<Snake> {
    const alpha = await loadVector(runtime, source, `${name}.alpha`, channels);
    return new Snake(alpha, await loadVector(runtime, source, `${name}.inverse_beta`, channels));
  }

  forward(x: Tensor2D): Tensor2D {
    return snake(x, this.#alpha, this.#inverseBeta);
  }
}

/** A convolution per channel. */
export class DepthwiseConv implements CarriesRows {
  readonly inChannels: number;
  readonly historyRows = CONV_KERNEL - 1;
  readonly #weight: Vector;
  readonly #bias: Vector;

  private constructor(channels: number, weight: Vector, bias: Vector) {
    this.inChannels = channels;
    this.#weight = weight;
    this.#bias = bias;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    channels: number,
  ): Promise<DepthwiseConv> {
    const weight = await loadVector(runtime, source, `${name}.weight`, CONV_KERNEL * channels);
    return new DepthwiseConv(channels, weight, await loadVector(runtime, source, `${name}.bias`, channels));
  }

  forward(x: Tensor2D, memory: StreamMemory): Tensor2D {
    return depthwiseCausalConv1d(x, this.#weight, this.#bias, CONV_KERNEL, memory.of(this));
  }
}

/** Upsampling at the latent width: a transposed convolution without overlap, then a ConvNeXt block. */
export class Upsampling {
  readonly #name: string;
  readonly #conv: TransposedConv;
  readonly #depthwise: DepthwiseConv;
  readonly #norm: LayerNorm;
  readonly #widen: CausalConv;
  readonly #narrow: LinearLayer;
  readonly #gamma: Vector;

  private constructor(
    name: string,
    parts: {
      conv: TransposedConv;
      depthwise: DepthwiseConv;
      norm: LayerNorm;
      widen: CausalConv;
      narrow: LinearLayer;
      gamma: Vector;
    },
  ) {
    this.#name = name;
    this.#conv = parts.conv;
    this.#depthwise = parts.depthwise;
    this.#norm = parts.norm;
    this.#widen = parts.widen;
    this.#narrow = parts.narrow;
    this.#gamma = parts.gamma;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    index: number,
    dim: number,
    stride: number,
  ): Promise<Upsampling> {
    const name = `up.${index}`;
    const tensor = `codec.${name}`;
    const wide = 4 * dim;
    const sizes = { conv: { in: dim, out: dim, stride, taps: 1 }, widen: { in: dim, out: wide, kernel: 1 } };
    return new Upsampling(name, {
      conv: await TransposedConv.load(runtime, source, `${tensor}.conv`, sizes.conv),
      depthwise: await DepthwiseConv.load(runtime, source, `${tensor}.dwconv`, dim),
      norm: await LayerNorm.load(runtime, source, `${tensor}.norm`, dim, LAYER_NORM_EPS),
      widen: await CausalConv.load(runtime, source, `${tensor}.pwconv1`, sizes.widen),
      narrow: await loadLinear(runtime, source, `${tensor}.pwconv2`, { in: wide, out: dim }, { bias: true }),
      gamma: await loadVector(runtime, source, `${tensor}.gamma`, dim),
    });
  }

  /** x `[rows, dim]` → `[rows · stride, dim]` */
  forward(x: Tensor2D, memory: StreamMemory, trace: StageTrace | null): Tensor2D {
    const name = this.#name;
    const upsampled = this.#conv.forward(x, memory);
    trace?.signal(`${name}.conv`, upsampled);
    const mixed = this.#depthwise.forward(upsampled, memory);
    trace?.signal(`${name}.dwconv`, mixed);
    const normed = this.#norm.forward(mixed);
    trace?.rows(`${name}.norm`, normed);
    const widened = this.#widen.forward(normed, memory, { activation: "gelu" });
    trace?.rows(`${name}.gelu`, widened);
    const narrowed = this.#narrow.forward(widened);
    trace?.rows(`${name}.pwconv2`, narrowed);
    const result = addScaled(upsampled, narrowed, this.#gamma);
    trace?.signal(name, result);
    return result;
  }
}

/** `x + conv2(snake(conv1(snake(x))))` */
export class ResidualUnit {
  readonly #name: string;
  readonly #act1: Snake;
  readonly #conv1: CausalConv;
  readonly #act2: Snake;
  readonly #conv2: CausalConv;

  private constructor(name: string, act1: Snake, conv1: CausalConv, act2: Snake, conv2: CausalConv) {
    this.#name = name;
    this.#act1 = act1;
    this.#conv1 = conv1;
    this.#act2 = act2;
    this.#conv2 = conv2;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    channels: number,
    dilation: number,
  ): Promise<ResidualUnit> {
    const tensor = `codec.${name}`;
    const size = { in: channels, out: channels };
    const wide = { ...size, kernel: CONV_KERNEL, dilation };
    return new ResidualUnit(
      name,
      await Snake.load(runtime, source, `${tensor}.act1`, channels),
      await CausalConv.load(runtime, source, `${tensor}.conv1`, wide),
      await Snake.load(runtime, source, `${tensor}.act2`, channels),
      await CausalConv.load(runtime, source, `${tensor}.conv2`, { ...size, kernel: 1 }),
    );
  }

  /** x `[rows, channels]` → `[rows, channels]` */
  forward(x: Tensor2D, memory: StreamMemory, trace: StageTrace | null): Tensor2D {
    const inner = this.#conv1.forward(this.#act1.forward(x), memory);
    if (trace === null) return this.#conv2.forward(this.#act2.forward(inner), memory, { residual: x });
    const name = this.#name;
    trace.signal(`${name}.act1`, this.#act1.forward(x));
    trace.signal(`${name}.conv1`, inner);
    const activated = this.#act2.forward(inner);
    trace.signal(`${name}.act2`, activated);
    const branch = this.#conv2.forward(activated, memory);
    trace.signal(`${name}.conv2`, branch);
    const result = add(x, branch);
    trace.signal(name, result);
    return result;
  }
}

/** A block of the decoder: activation, upsampling, residual units of growing dilation. */
class DecoderBlock {
  readonly #name: string;
  readonly #act: Snake;
  readonly #conv: TransposedConv;
  readonly #units: readonly ResidualUnit[];

  private constructor(name: string, act: Snake, conv: TransposedConv, units: readonly ResidualUnit[]) {
    this.#name = name;
    this.#act = act;
    this.#conv = conv;
    this.#units = units;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    index: number,
    size: { in: number; out: number; stride: number },
  ): Promise<DecoderBlock> {
    const name = `dec.${index}`;
    const units: ResidualUnit[] = [];
    for (const [j, dilation] of RESIDUAL_DILATIONS.entries()) {
      units.push(await ResidualUnit.load(runtime, source, `${name}.${j + 2}`, size.out, dilation));
    }
    const act = await Snake.load(runtime, source, `codec.${name}.snake`, size.in);
    const conv = await TransposedConv.load(runtime, source, `codec.${name}.convt`, { ...size, taps: 2 });
    return new DecoderBlock(name, act, conv, units);
  }

  /** x `[rows, in]` → `[rows · stride, out]` */
  steps(memory: StreamMemory, trace: StageTrace | null): Step[] {
    const name = this.#name;
    const upsample: Step = (x) => {
      const activated = this.#act.forward(x);
      trace?.signal(`${name}.snake`, activated);
      const upsampled = this.#conv.forward(activated, memory);
      trace?.signal(`${name}.convt`, upsampled);
      return upsampled;
    };
    const units = this.#units.map((unit, j): Step => (x) => {
      const result = unit.forward(x, memory, trace);
      if (j === this.#units.length - 1) trace?.signal(name, result);
      return result;
    });
    return [upsample, ...units];
  }
}

/** The convolutional half of the decoder: latent frames → samples. */
export class WaveformDecoder {
  readonly #upsamplings: readonly Upsampling[];
  readonly #first: CausalConv;
  readonly #blocks: readonly DecoderBlock[];
  readonly #act: Snake;
  readonly #last: CausalConv;

  private constructor(parts: {
    upsamplings: readonly Upsampling[];
    first: CausalConv;
    blocks: readonly DecoderBlock[];
    act: Snake;
    last: CausalConv;
  }) {
    this.#upsamplings = parts.upsamplings;
    this.#first = parts.first;
    this.#blocks = parts.blocks;
    this.#act = parts.act;
    this.#last = parts.last;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    config: CodecDecoderConfig,
  ): Promise<WaveformDecoder> {
    const { latentDim, channels, upsamplingRatios, blockRates } = config;
    const upsamplings: Upsampling[] = [];
    for (const [i, ratio] of upsamplingRatios.entries()) {
      upsamplings.push(await Upsampling.load(runtime, source, i, latentDim, ratio));
    }
    const conv = (index: number, inputs: number, out: number) =>
      CausalConv.load(runtime, source, `codec.dec.${index}`, { in: inputs, out, kernel: CONV_KERNEL });
    const first = await conv(0, latentDim, channels[0]!);
    const blocks: DecoderBlock[] = [];
    for (const [b, stride] of blockRates.entries()) {
      const size = { in: channels[b]!, out: channels[b + 1]!, stride };
      blocks.push(await DecoderBlock.load(runtime, source, b + 1, size));
    }
    const tail = blockRates.length + 1;
    const act = await Snake.load(runtime, source, `codec.dec.${tail}`, channels.at(-1)!);
    return new WaveformDecoder({
      upsamplings,
      first,
      blocks,
      act,
      last: await conv(tail + 1, channels.at(-1)!, 1),
    });
  }

  /** x `[frames, latent]` → samples before the clamp, `[samples, 1]` */
  steps(memory: StreamMemory, trace: StageTrace | null): Step[] {
    const tail = this.#blocks.length + 1;
    return [
      ...this.#upsamplings.map(
        (upsampling): Step =>
          (x) =>
            upsampling.forward(x, memory, trace),
      ),
      (x) => {
        const wide = this.#first.forward(x, memory);
        trace?.signal("dec.0", wide);
        return wide;
      },
      ...this.#blocks.flatMap((block) => block.steps(memory, trace)),
      (x) => {
        const activated = this.#act.forward(x);
        trace?.signal(`dec.${tail}`, activated);
        const samples = this.#last.forward(activated, memory);
        trace?.signal(`dec.${tail + 1}`, samples);
        return samples;
      },
    ];
  }
}

/**
 * How many latent frames before a frame its samples depend on: what the convolutions look back to, counted from the last
 * one to the first at each one's own rate.
 */
export function waveformReach(config: CodecDecoderConfig): number {
  const residuals = RESIDUAL_DILATIONS.reduce((rows, dilation) => rows + (CONV_KERNEL - 1) * dilation, 0);
  let rows = CONV_KERNEL - 1;
  for (const rate of [...config.blockRates].reverse()) rows = Math.ceil((rows + residuals) / rate) + 1;
  rows += CONV_KERNEL - 1;
  for (const ratio of [...config.upsamplingRatios].reverse())
    rows = Math.ceil((rows + CONV_KERNEL - 1) / ratio);
  return rows;
}
