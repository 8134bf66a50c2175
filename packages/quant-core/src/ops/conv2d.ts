import type { Tensor4D } from "@tensorflow/tfjs-core";
import { ConfigError } from "../errors.js";
import type { LinearLayer } from "../linear.js";
import type { Activation, Conv2dGeometry } from "./kernels.js";
import { runOp } from "./run.js";

/** Output height and width of a convolution: `floor((in + 2·padding − kernel) / stride) + 1`. */
export function convOutputSize(geometry: Conv2dGeometry): { outHeight: number; outWidth: number } {
  const size = (length: number, axis: 0 | 1) =>
    Math.floor((length + 2 * geometry.padding[axis] - geometry.kernel[axis]) / geometry.stride[axis]) + 1;
  return { outHeight: size(geometry.height, 0), outWidth: size(geometry.width, 1) };
}

export interface Conv2dOptions {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly activation: Activation;
  readonly layout: "nhwc" | "nwch";
}

/**
 * 2-D convolution of channels-last x `[n, height, width, inChannels]`. The weight is a LinearLayer over
 * `inChannels · kh · kw` inputs (source order in, kh, kw), so that it can be of any type that a linear layer can.
 * Result `[n, outH, outW, outChannels]`, or `[n, outW, outChannels, outH]` with layout `nwch`.
 */
export function conv2d(x: Tensor4D, filter: LinearLayer, options: Conv2dOptions): Tensor4D {
  const [batch, height, width, inChannels] = x.shape;
  if (filter.inFeatures !== inChannels * options.kernel[0] * options.kernel[1]) {
    throw new ConfigError(
      `conv2d: ${filter.name} has ${filter.inFeatures} inputs per output, ${inChannels} channels × ` +
        `${options.kernel.join(" × ")} were expected`,
    );
  }
  const geometry: Conv2dGeometry = {
    batch,
    height,
    width,
    inChannels,
    outChannels: filter.outFeatures,
    ...options,
  };
  return runOp<Tensor4D>(
    "VoxConv2d",
    { x },
    { geometry, weight: filter.weight, bias: filter.bias, precision: filter.precision },
  );
}
