import { reshape, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  causalConv1d,
  type LinearLayer,
  type Activation,
  type Runtime,
  type StreamState,
} from "@voxquant/quant-core";
import { loadLinear, type WeightSource } from "@voxquant/nn";

/** Anything that looks back: a convolution, by the rows and channels that it carries from one piece to the next. */
export interface CarriesRows {
  readonly historyRows: number;
  readonly inChannels: number;
}

/** The carried rows of all convolutions that one stream runs through; zeros before its first piece. */
export class StreamMemory {
  readonly #runtime: Runtime;
  readonly #states = new Map<CarriesRows, StreamState>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  of(layer: CarriesRows): StreamState | null {
    if (layer.historyRows === 0) return null;
    let state = this.#states.get(layer);
    if (state === undefined) {
      state = this.#runtime.createStreamState(layer.historyRows, layer.inChannels);
      this.#states.set(layer, state);
    }
    return state;
  }

  /** Back to silence before the first piece. */
  reset(): void {
    for (const state of this.#states.values()) this.#runtime.setStreamState(state, null);
  }

  dispose(): void {
    for (const state of this.#states.values()) this.#runtime.releaseStreamState(state);
    this.#states.clear();
  }
}

export interface ConvSize {
  readonly in: number;
  readonly out: number;
  readonly kernel: number;
  readonly dilation?: number;
  readonly bias?: boolean;
}

/** A causal convolution of stride 1, `NAME.weight` `[out, kernel · in]` and `NAME.bias`. */
export class CausalConv implements CarriesRows {
  readonly inChannels: number;
  readonly historyRows: number;
  readonly #filter: LinearLayer;
  readonly #kernel: number;
  readonly #dilation: number;

  private constructor(filter: LinearLayer, size: ConvSize) {
    this.#filter = filter;
    this.#kernel = size.kernel;
    this.#dilation = size.dilation ?? 1;
    this.inChannels = size.in;
    this.historyRows = (size.kernel - 1) * this.#dilation;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    size: ConvSize,
  ): Promise<CausalConv> {
    const { in: inputs, out, kernel, bias = true } = size;
    return new CausalConv(
      await loadLinear(runtime, source, name, { in: kernel * inputs, out }, { bias }),
      size,
    );
  }

  /** x `[rows, in]` → `act(conv(x)) + residual` `[rows, out]`. */
  forward(
    x: Tensor2D,
    memory: StreamMemory,
    { activation, residual }: { activation?: Activation; residual?: Tensor2D } = {},
  ): Tensor2D {
    return causalConv1d(
      x,
      this.#filter,
      {
        kernel: this.#kernel,
        dilation: this.#dilation,
        ...(activation && { activation }),
        ...(residual && { residual }),
      },
      memory.of(this),
    );
  }
}

/**
 * A transposed convolution, trimmed on the right to `rows · stride` rows: a causal one of `taps` = kernel / stride taps
 * that makes all phases of a row at once.
 */
export class TransposedConv {
  readonly #conv: CausalConv;
  readonly #stride: number;
  readonly #out: number;

  private constructor(conv: CausalConv, stride: number, out: number) {
    this.#conv = conv;
    this.#stride = stride;
    this.#out = out;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    name: string,
    size: { in: number; out: number; stride: number; taps: number },
  ): Promise<TransposedConv> {
    const { in: inputs, out, stride, taps } = size;
    const conv = { in: inputs, out: stride * out, kernel: taps };
    return new TransposedConv(await CausalConv.load(runtime, source, name, conv), stride, out);
  }

  /** x `[rows, in]` → `[rows · stride, out]` */
  forward(x: Tensor2D, memory: StreamMemory): Tensor2D {
    const phases = this.#conv.forward(x, memory); // [rows, stride · out]
    return reshape(phases, [x.shape[0] * this.#stride, this.#out]);
  }
}
