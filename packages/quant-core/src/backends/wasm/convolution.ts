import { convOutputSize } from "../../ops/conv2d.js";
import type { Conv2dGeometry, Precision } from "../../ops/kernels.js";
import type { LinearKernels } from "./linear.js";
import type { WasmArray, WasmMemory } from "./memory.js";
import type { KernelModule, Pointer } from "./module.js";
import type { WasmWeight } from "./weights.js";

/** Patches that are gathered at a time: enough rows to pay for unpacking the weights, few enough for the cache. */
const PATCH_BYTES = 4 * 2 ** 20;
const LEAST_PATCHES = 64;

/** Convolution as patches × weights. */
export class ConvolutionKernels {
  readonly #module: KernelModule;
  readonly #memory: WasmMemory;
  readonly #linear: LinearKernels;

  constructor(module: KernelModule, memory: WasmMemory, linear: LinearKernels) {
    this.#module = module;
    this.#memory = memory;
    this.#linear = linear;
  }

  conv2d(
    x: WasmArray,
    geometry: Conv2dGeometry,
    weight: WasmWeight,
    bias: WasmArray | null,
    out: WasmArray,
    precision: Precision,
  ): void {
    const { batch, outChannels, layout } = geometry;
    const { outHeight, outWidth } = convOutputSize(geometry);
    const pixels = outHeight * outWidth;
    const biasPointer = bias?.pointer ?? 0;
    if (layout === "nhwc") {
      this.#convolve(x.pointer, geometry, weight, biasPointer, 0, batch * pixels, out.pointer, precision);
      return;
    }
    // as many whole images at a time as make a full set of patches
    const images = Math.min(batch, Math.max(1, Math.floor(patchesAtOnce(weight.columns) / pixels)));
    const result = this.#memory.scratch("convolution", images * pixels * outChannels * 4);
    for (let n = 0; n < batch; n += images) {
      const count = Math.min(images, batch - n);
      this.#convolve(x.pointer, geometry, weight, biasPointer, n * pixels, count * pixels, result, precision);
      const to = out.pointer + n * pixels * outChannels * 4;
      this.#module.channelsBeforeHeight(result, count, outHeight, outWidth, outChannels, to);
    }
  }

  /** Output pixels `[first, first + count)`, channels last, activated, to `out`. */
  #convolve(
    x: Pointer,
    geometry: Conv2dGeometry,
    weight: WasmWeight,
    bias: Pointer,
    first: number,
    count: number,
    out: Pointer,
    precision: Precision,
  ): void {
    const { height, width, inChannels, kernel, stride, padding, outChannels, activation } = geometry;
    const { outHeight, outWidth } = convOutputSize(geometry);
    const chunk = Math.min(count, patchesAtOnce(weight.columns));
    const patches = this.#memory.scratch("patches", chunk * weight.columns * 4);
    for (let done = 0; done < count; done += chunk) {
      const rows = Math.min(chunk, count - done);
      this.#module.gatherPatches(
        x,
        height,
        width,
        inChannels,
        ...kernel,
        ...stride,
        ...padding,
        outHeight,
        outWidth,
        first + done,
        rows,
        patches,
      );
      const to = out + done * outChannels * 4;
      this.#linear.product(patches, rows, weight, bias, to, precision);
      if (activation === "gelu") this.#module.gelu(to, rows * outChannels, to);
      else if (activation === "silu") this.#module.silu(to, rows * outChannels, to);
    }
  }
}

function patchesAtOnce(columns: number): number {
  return Math.max(LEAST_PATCHES, Math.floor(PATCH_BYTES / (columns * 4)));
}
