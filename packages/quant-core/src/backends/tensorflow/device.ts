import {
  conv2d as tfConv2d,
  keep,
  matMul,
  pad,
  tensor2d,
  tensor4d,
  tidy,
  transpose,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  type TensorInfo,
} from "@tensorflow/tfjs-core";
import { convOutputSize } from "../../ops/conv2d.js";
import type { Conv2dGeometry, Device, Kernels } from "../../ops/kernels.js";
import { dequantize } from "../../quantize/dequantize.js";
import { elementCount, isDense, type Weight } from "../../weight.js";
import {
  copyHostKvCache,
  createHostKvCache,
  dropFromHostKvCache,
  floatKvCacheBytes,
  type HostKvCache,
} from "../host-kv-cache.js";
import { activate } from "../reference/activations.js";
import { createReferenceKernels } from "../reference/device.js";
import { matrixShape } from "../reference/linear.js";
import { loadTensorflow } from "./package.js";

/** A weight as it lies in its file; TensorFlow's float32 copy of a dense one is made when it is first multiplied. */
class TensorflowWeight {
  readonly weight: Weight;
  #matrix: Tensor2D | null = null;
  #filter: Tensor4D | null = null;

  constructor(weight: Weight) {
    this.weight = weight;
  }

  get dense(): boolean {
    return isDense(this.weight.dtype);
  }

  /** `[out, in]` */
  get matrix(): Tensor2D {
    const { rows, columns } = matrixShape(this.weight);
    return (this.#matrix ??= keep(tensor2d(this.#values(), [rows, columns])));
  }

  /** `[kh, kw, in, out]`, TensorFlow's order. */
  filter({ outChannels, inChannels, kernel: [kh, kw] }: Conv2dGeometry): Tensor4D {
    return (this.#filter ??= tidy(() =>
      keep(transpose(tensor4d(this.#values(), [outChannels, inChannels, kh, kw]), [2, 3, 1, 0])),
    ));
  }

  release(): void {
    this.#matrix?.dispose();
    this.#filter?.dispose();
    this.#matrix = this.#filter = null;
  }

  #values(): Float32Array {
    const values = new Float32Array(elementCount(this.weight.shape));
    dequantize(this.weight.dtype, this.weight.bytes, values);
    return values;
  }
}

/**
 * The `tensorflow` backend: dense layers and convolutions run in TensorFlow, quantized layers and everything else in
 * the reference kernels. It exists to compare with, and for programs that have tfjs-node anyway.
 * @throws BackendError if the optional peer dependency @tensorflow/tfjs-node is not installed or does not load
 */
export async function createTensorflowDevice(): Promise<Device> {
  const backend = await loadTensorflow();
  const device: Device<Float32Array, TensorflowWeight, HostKvCache> = {
    name: "tensorflow",
    kernels: createKernels(),
    uploadVector: (values) => values,
    releaseVector: () => undefined,
    assignVector: (vector, values) => void (values === null ? vector.fill(0) : vector.set(values)),
    prepareWeight: (weight) => new TensorflowWeight(weight),
    releaseWeight: (weight) => weight.release(),
    createKvCache: createHostKvCache,
    kvCacheBytes: floatKvCacheBytes,
    releaseKvCache: () => undefined,
    dropCached: dropFromHostKvCache,
    copyCached: copyHostKvCache,
    // The array of `allocate`, or a copy of what a TensorFlow op made.
    read: (tensor: TensorInfo) => backend.readSync(tensor.dataId),
    allocate(shape) {
      const data = new Float32Array(elementCount(shape));
      return { tensor: { dataId: backend.write(data, shape, "float32"), shape, dtype: "float32" }, data };
    },
  };
  return device as Device;
}

function createKernels(): Kernels<Float32Array, TensorflowWeight, HostKvCache> {
  const reference = createReferenceKernels();
  return {
    ...reference,
    linear(x, rows, weights, biases, outs, precision) {
      weights.forEach((weight, i) => {
        const out = outs[i]!;
        const bias = biases[i] ?? null;
        if (!weight.dense) {
          reference.linear(x, rows, [weight.weight], [bias], [out], precision);
          return;
        }
        out.set(product(x, rows, weight));
        if (bias !== null) for (let at = 0; at < out.length; at++) out[at]! += bias[at % bias.length]!;
      });
    },
    linearArgmax(x, rows, weight, out, precision) {
      if (!weight.dense) {
        reference.linearArgmax(x, rows, weight.weight, out, precision);
        return;
      }
      const logits = product(x, rows, weight);
      const width = logits.length / rows;
      for (let r = 0; r < rows; r++) {
        let best = 0;
        for (let n = 1; n < width; n++) if (logits[r * width + n]! > logits[r * width + best]!) best = n;
        out[r] = best;
      }
    },
    embedding: (ids, { weight }, out) => reference.embedding(ids, weight, out),
    conv2d(x, geometry, weight, bias, out, precision) {
      if (weight.dense) convolve(x, geometry, weight, bias, out);
      else reference.conv2d(x, geometry, weight.weight, bias, out, precision);
    },
    causalConv1d(x, geometry, { weight }, bias, history, residual, out, precision) {
      reference.causalConv1d(x, geometry, weight, bias, history, residual, out, precision);
    },
  };
}

/** `x · weightᵀ` `[rows, out]` */
function product(x: Float32Array, rows: number, { matrix }: TensorflowWeight): Float32Array {
  return valuesOf(() => matMul(tensor2d(x, [rows, matrix.shape[1]]), matrix, false, true));
}

function convolve(
  x: Float32Array,
  geometry: Conv2dGeometry,
  weight: TensorflowWeight,
  bias: Float32Array | null,
  out: Float32Array,
): void {
  const { batch, height, width, inChannels, outChannels, stride, activation, layout } = geometry;
  const [padY, padX] = geometry.padding;
  const { outHeight, outWidth } = convOutputSize(geometry);
  const result = valuesOf(() => {
    const padded = pad(tensor4d(x, [batch, height, width, inChannels]), [
      [0, 0],
      [padY, padY],
      [padX, padX],
      [0, 0],
    ]);
    return tfConv2d(padded, weight.filter(geometry), [...stride], "valid");
  }); // [batch, outHeight, outWidth, outChannels]
  let at = 0;
  for (let n = 0; n < batch; n++) {
    for (let y = 0; y < outHeight; y++) {
      for (let xx = 0; xx < outWidth; xx++) {
        for (let c = 0; c < outChannels; c++) {
          const to = layout === "nhwc" ? at : ((n * outWidth + xx) * outChannels + c) * outHeight + y;
          out[to] = activate(result[at++]! + (bias?.[c] ?? 0), activation);
        }
      }
    }
  }
}

/** The values of what `body` makes, whose tensors are all freed. */
function valuesOf(body: () => Tensor): Float32Array {
  let values: Float32Array | undefined;
  tidy(() => {
    values = body().dataSync<"float32">();
  });
  return values!;
}
