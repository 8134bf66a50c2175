import type { Tensor2D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { LinearLayer } from "../linear.js";
import type { StreamState, Vector } from "../runtime.js";
import type { Activation, CausalConvGeometry } from "./kernels.js";
import { requireLastDim, runOp } from "./run.js";

export interface CausalConvOptions {
  /** Taps. */
  readonly kernel: number;
  /** Rows between two taps. */
  readonly dilation: number;
  /** Of the sum with the bias, before the residual is added; default `none`. */
  readonly activation?: Activation;
  /** `[rows, out]`, added to the result. */
  readonly residual?: Tensor2D;
}

/**
 * Causal convolution of stride 1 of a signal x `[rows, in]`:
 * `y[t] = bias + Σ_k W_k · x[t − (kernel−1−k) · dilation]`, result `[rows, out]`. The filter is a LinearLayer
 * `[out, kernel · in]` with the oldest tap first and channels inside, of any type that a linear layer can have.
 *
 * Rows before the first come from `history` `[(kernel−1) · dilation, in]`, which then holds the last rows seen, so that
 * a signal given in pieces has the result of the whole; without it they are zeros. Strided and transposed convolutions
 * whose kernel is a multiple of their stride are this op around a reshape.
 * @throws ConfigError if sizes do not fit
 */
export function causalConv1d(
  x: Tensor2D,
  filter: LinearLayer,
  { kernel, dilation, activation = "none", residual }: CausalConvOptions,
  history: StreamState | null,
): Tensor2D {
  requirePositive("causalConv1d", kernel, dilation);
  const [rows, inChannels] = x.shape;
  if (filter.inFeatures !== kernel * inChannels) {
    throw new ConfigError(
      `causalConv1d: ${filter.name} has ${filter.inFeatures} inputs per output, ` +
        `${kernel} taps × ${inChannels} channels were expected`,
    );
  }
  requireHistory("causalConv1d", history, (kernel - 1) * dilation, inChannels);
  if (residual !== undefined && (residual.shape[0] !== rows || residual.shape[1] !== filter.outFeatures)) {
    throw new ConfigError(
      `causalConv1d: the residual has shape [${residual.shape.join(", ")}], the result [${rows}, ${filter.outFeatures}]`,
    );
  }
  const geometry: CausalConvGeometry = { rows, inChannels, kernel, dilation, activation };
  return runOp<Tensor2D>("VoxCausalConv1d", residual === undefined ? { x } : { x, residual }, {
    geometry,
    outChannels: filter.outFeatures,
    weight: filter.weight,
    bias: filter.bias,
    history: history?.data ?? null,
    precision: filter.precision,
  });
}

/**
 * Causal convolution of each channel with its own filter: weight `[kernel, channels]`, oldest tap first, bias
 * `[channels]`; x and the result `[rows, channels]`. `history` `[kernel−1, channels]` as for `causalConv1d`.
 * @throws ConfigError if sizes do not fit
 */
export function depthwiseCausalConv1d(
  x: Tensor2D,
  weight: Vector,
  bias: Vector,
  kernel: number,
  history: StreamState | null,
): Tensor2D {
  requirePositive("depthwiseCausalConv1d", kernel, 1);
  requireLastDim("depthwiseCausalConv1d", x, bias.length);
  const channels = x.shape[1];
  if (weight.length !== kernel * channels) {
    throw new ConfigError(
      `depthwiseCausalConv1d: a filter of ${weight.length} values is not ${kernel} taps × ${channels} channels`,
    );
  }
  requireHistory("depthwiseCausalConv1d", history, kernel - 1, channels);
  return runOp<Tensor2D>(
    "VoxDepthwiseCausalConv1d",
    { x },
    { kernel, weight: weight.data, bias: bias.data, history: history?.data ?? null },
  );
}

function requirePositive(op: string, kernel: number, dilation: number): void {
  if (!Number.isInteger(kernel) || kernel < 1 || !Number.isInteger(dilation) || dilation < 1) {
    throw new ConfigError(`${op}: a kernel of ${kernel} with dilation ${dilation} has no taps`);
  }
}

function requireHistory(op: string, history: StreamState | null, rows: number, channels: number): void {
  if (history !== null && (history.rows !== rows || history.channels !== channels)) {
    throw new ConfigError(
      `${op}: the history is [${history.rows}, ${history.channels}], [${rows}, ${channels}] was expected`,
    );
  }
}
