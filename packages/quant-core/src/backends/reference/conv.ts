import { convOutputSize } from "../../ops/conv2d.js";
import type { Conv2dGeometry, Precision } from "../../ops/kernels.js";
import type { Weight } from "../../weight.js";
import { activate } from "./activations.js";
import { linear } from "./linear.js";

/** Convolution as a matrix product: one row of gathered inputs (order in, kh, kw) per output position. */
export function conv2d(
  x: Float32Array,
  geometry: Conv2dGeometry,
  weight: Weight,
  bias: Float32Array | null,
  out: Float32Array,
  precision: Precision,
): void {
  const { batch, height, width, inChannels, outChannels, activation, layout } = geometry;
  const [kh, kw] = geometry.kernel;
  const { outHeight, outWidth } = convOutputSize(geometry);
  const columns = inChannels * kh * kw;
  const positions = outHeight * outWidth;
  const gathered = new Float32Array(positions * columns);
  const result = new Float32Array(positions * outChannels);
  for (let n = 0; n < batch; n++) {
    for (let oy = 0; oy < outHeight; oy++) {
      for (let ox = 0; ox < outWidth; ox++) {
        for (let c = 0; c < inChannels; c++) {
          for (let ky = 0; ky < kh; ky++) {
            for (let kx = 0; kx < kw; kx++) {
              const y = oy * geometry.stride[0] - geometry.padding[0] + ky;
              const xx = ox * geometry.stride[1] - geometry.padding[1] + kx;
              const inside = y >= 0 && y < height && xx >= 0 && xx < width;
              const at = (oy * outWidth + ox) * columns + (c * kh + ky) * kw + kx;
              gathered[at] = inside ? x[((n * height + y) * width + xx) * inChannels + c]! : 0;
            }
          }
        }
      }
    }
    linear(gathered, positions, weight, bias, result, precision);
    for (let oy = 0; oy < outHeight; oy++) {
      for (let ox = 0; ox < outWidth; ox++) {
        for (let c = 0; c < outChannels; c++) {
          const at =
            layout === "nhwc"
              ? ((n * outHeight + oy) * outWidth + ox) * outChannels + c
              : ((n * outWidth + ox) * outChannels + c) * outHeight + oy;
          out[at] = activate(result[(oy * outWidth + ox) * outChannels + c]!, activation);
        }
      }
    }
  }
}
