import {
  add,
  concat2d,
  maximum,
  mean,
  mirrorPad,
  mul,
  relu,
  reshape,
  sigmoid,
  slice,
  softmax,
  split,
  sqrt,
  square,
  sub,
  sum,
  tanh,
  tidy,
  transpose,
  type Tensor2D,
} from "@tensorflow/tfjs-core";
import {
  causalConv1d,
  ConfigError,
  elementCount,
  LinearLayer,
  type Runtime,
  type Weight,
} from "@voxquant/quant-core";
import { loadLinear, loadVector, traceTensor, type TraceSink, type WeightSource } from "@voxquant/nn";
import { tapMajor } from "./codec/filters.js";
import type { SpeakerEncoderConfig } from "./speaker-encoder.js";

/** Variances below this count as this, so that the deviation of a constant channel has a root. */
const MIN_VARIANCE = 1e-12;

interface ConvSize {
  readonly in: number;
  readonly out: number;
  readonly kernel: number;
  readonly dilation: number;
}

/** `TimeDelayNetBlock`: convolution of equal length with reflecting edges, then ReLU. */
export class SameConv {
  readonly #filter: LinearLayer;
  readonly #size: ConvSize;

  private constructor(filter: LinearLayer, size: ConvSize) {
    this.#filter = filter;
    this.#size = size;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, size: ConvSize): Promise<SameConv> {
    if (size.kernel === 1) {
      return new SameConv(await loadPointwise(runtime, source, name, size.in, size.out), size);
    }
    const values = await source.readVector(`${name}.weight`);
    const { in: inputs, out: outputs, kernel } = size;
    checkCount(`${name}.weight`, values, [outputs, inputs, kernel]);
    const bias = await loadVector(runtime, source, `${name}.bias`, outputs);
    const filter = tapMajor(values, outputs, inputs, kernel);
    const weight = matrix(`${name}.weight`, filter, [outputs, kernel * inputs]);
    return new SameConv(LinearLayer.create(runtime, weight, bias, "exact"), size);
  }

  /** x `[T, in]` → `[T, out]` */
  forward(x: Tensor2D): Tensor2D {
    const { kernel, dilation, out } = this.#size;
    const reach = (kernel - 1) * dilation;
    if (reach === 0) return relu(this.#filter.forward(x));
    const half = reach / 2;
    const padded = mirrorPad(
      x,
      [
        [half, half],
        [0, 0],
      ],
      "reflect",
    );
    // The first rows of the causal result look back beyond the padding.
    const all = causalConv1d(padded, this.#filter, { kernel, dilation }, null);
    return relu(slice(all, [reach, 0], [x.shape[0], out]));
  }
}

/** `SqueezeExcitationRes2NetBlock` number `index`. */
export class SeRes2NetBlock {
  readonly #tdnn1: SameConv;
  readonly #res2net: readonly SameConv[];
  readonly #tdnn2: SameConv;
  readonly #squeeze: LinearLayer;
  readonly #excite: LinearLayer;

  private constructor(parts: {
    tdnn1: SameConv;
    res2net: readonly SameConv[];
    tdnn2: SameConv;
    squeeze: LinearLayer;
    excite: LinearLayer;
  }) {
    this.#tdnn1 = parts.tdnn1;
    this.#res2net = parts.res2net;
    this.#tdnn2 = parts.tdnn2;
    this.#squeeze = parts.squeeze;
    this.#excite = parts.excite;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    config: SpeakerEncoderConfig,
    index: number,
  ): Promise<SeRes2NetBlock> {
    const { res2netScale, seChannels } = config;
    const channels = config.channels[index]!;
    const group = channels / res2netScale;
    const pointwise = { in: channels, out: channels, kernel: 1, dilation: 1 };
    const dilated = {
      in: group,
      out: group,
      kernel: config.kernelSizes[index]!,
      dilation: config.dilations[index]!,
    };
    const res2net: SameConv[] = [];
    for (let i = 0; i < res2netScale - 1; i++) {
      res2net.push(await SameConv.load(runtime, source, `${name}.res2net_block.blocks.${i}.conv`, dilated));
    }
    return new SeRes2NetBlock({
      tdnn1: await SameConv.load(runtime, source, `${name}.tdnn1.conv`, pointwise),
      res2net,
      tdnn2: await SameConv.load(runtime, source, `${name}.tdnn2.conv`, pointwise),
      squeeze: await loadPointwise(runtime, source, `${name}.se_block.conv1`, channels, seChannels),
      excite: await loadPointwise(runtime, source, `${name}.se_block.conv2`, seChannels, channels),
    });
  }

  /** x `[T, channels]` → `[T, channels]` */
  forward(x: Tensor2D, name: string, trace?: TraceSink): Tensor2D {
    const entered = this.#tdnn1.forward(x);
    traceChannels(trace, `${name}.tdnn1`, entered);
    // Res2Net: each group of channels is convolved together with the result of the group before it.
    const groups = split<Tensor2D>(entered, this.#res2net.length + 1, 1);
    const convolved: Tensor2D[] = [groups[0]!];
    this.#res2net.forEach((conv, i) => {
      const group = groups[i + 1]!;
      convolved.push(conv.forward(i === 0 ? group : add<Tensor2D>(group, convolved[i]!)));
    });
    const multiscale = concat2d(convolved, 1);
    traceChannels(trace, `${name}.res2net_block`, multiscale);
    const left = this.#tdnn2.forward(multiscale);
    traceChannels(trace, `${name}.tdnn2`, left);
    const squeezed: Tensor2D = mean(left, 0, true);
    const gates: Tensor2D = sigmoid(this.#excite.forward(relu(this.#squeeze.forward(squeezed))));
    const gated: Tensor2D = mul(left, gates);
    traceChannels(trace, `${name}.se_block`, gated);
    return add(gated, x);
  }
}

/** `AttentiveStatisticsPooling`: mean and deviation of each channel over time, weighted by attention. */
export class AttentivePooling {
  readonly #channels: number;
  /** The first layer in two parts: over the frames, and (with the bias) over the clip's mean and deviation. */
  readonly #frames: LinearLayer;
  readonly #context: LinearLayer;
  readonly #scores: LinearLayer;

  private constructor(channels: number, frames: LinearLayer, context: LinearLayer, scores: LinearLayer) {
    this.#channels = channels;
    this.#frames = frames;
    this.#context = context;
    this.#scores = scores;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    channels: number,
    attentionChannels: number,
  ): Promise<AttentivePooling> {
    const tdnn = `${name}.tdnn.conv`;
    const values = await source.readVector(`${tdnn}.weight`);
    checkCount(`${tdnn}.weight`, values, [attentionChannels, 3 * channels, 1]);
    const columns = (from: number, count: number) => {
      const part = new Float32Array(attentionChannels * count);
      for (let o = 0; o < attentionChannels; o++) {
        const start = o * 3 * channels + from;
        part.set(values.subarray(start, start + count), o * count);
      }
      return matrix(`${tdnn}.weight`, part, [attentionChannels, count]);
    };
    const bias = await loadVector(runtime, source, `${tdnn}.bias`, attentionChannels);
    return new AttentivePooling(
      channels,
      LinearLayer.create(runtime, columns(0, channels), null, "exact"),
      LinearLayer.create(runtime, columns(channels, 2 * channels), bias, "exact"),
      await loadPointwise(runtime, source, `${name}.conv`, attentionChannels, channels),
    );
  }

  /** x `[T, channels]` → `[1, 2 · channels]`: weighted means, weighted deviations */
  forward(x: Tensor2D, trace?: TraceSink): Tensor2D {
    const channelMean: Tensor2D = mean(x, 0, true);
    const deviation = rootOf(mean<Tensor2D>(square(sub(x, channelMean)), 0, true));
    const context = this.#context.forward(concat2d([channelMean, deviation], 1));
    const hidden = relu(add<Tensor2D>(this.#frames.forward(x), context));
    traceChannels(trace, "asp.tdnn", hidden);
    const scores = this.#scores.forward(tanh(hidden));
    traceChannels(trace, "asp.scores", scores);
    const weights = softmax(transpose(scores)); // [channels, T]
    const signal = transpose(x);
    const weightedMean: Tensor2D = sum(mul(weights, signal), 1, true); // [channels, 1]
    const variance: Tensor2D = sum(mul(weights, square(sub(signal, weightedMean))), 1, true);
    const statistics = concat2d([weightedMean, rootOf(variance)], 0);
    if (trace !== undefined) traceTensor(trace, "asp", reshape(statistics, [2 * this.#channels]));
    return reshape(statistics, [1, 2 * this.#channels]);
  }
}

function rootOf(variance: Tensor2D): Tensor2D {
  return sqrt(maximum<Tensor2D>(variance, MIN_VARIANCE));
}

/** A convolution of one tap, weight `[out, in, 1]` as it lies in the file. */
export async function loadPointwise(
  runtime: Runtime,
  source: WeightSource,
  name: string,
  inputs: number,
  outputs: number,
): Promise<LinearLayer> {
  return loadLinear(runtime, source, name, { in: inputs, out: outputs }, { bias: true, precision: "exact" });
}

/** @throws ConfigError */
function checkCount(name: string, values: Float32Array, shape: readonly number[]): void {
  const expected = elementCount(shape);
  if (values.length === expected) return;
  throw new ConfigError(
    `${name} has ${values.length} elements, the model's config asks for [${shape.join(", ")}], ${expected}`,
  );
}

function matrix(name: string, values: Float32Array, shape: readonly [number, number]): Weight {
  return { name, dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
}

/** Traces a signal `[T, channels]` as the references hold it, `[channels, T]`. */
export function traceChannels(trace: TraceSink | undefined, name: string, x: Tensor2D): void {
  if (trace !== undefined) tidy(() => traceTensor(trace, name, transpose(x)));
}
