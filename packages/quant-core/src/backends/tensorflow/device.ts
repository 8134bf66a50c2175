import type { Tensor2D, TensorInfo } from "@tensorflow/tfjs-core";
import { matMul, tensor2d, tidy } from "@tensorflow/tfjs-core";
import { BackendError } from "../../errors.js";
import type { Device, Kernels } from "../../ops/kernels.js";
import { dequantize } from "../../quantize/dequantize.js";
import { elementCount, isDense, type Weight } from "../../weight.js";
import { createHostKvCache, type HostKvCache } from "../host-kv-cache.js";
import { createReferenceKernels } from "../reference/device.js";

/** A weight on the tensorflow backend: dense ones live as a float32 TensorFlow tensor, quantized ones stay blocks. */
interface TensorflowWeight {
  readonly weight: Weight;
  readonly tensor: Tensor2D | null;
}

/** What we use of tfjs-node's backend: `write` keeps the array until TensorFlow needs it, `readSync` brings it back. */
interface NodeBackend {
  write(values: Float32Array, shape: number[], dtype: "float32"): object;
  readSync(dataId: object): Float32Array;
}

const PACKAGE = "@tensorflow/tfjs-node";

/**
 * The `tensorflow` backend: dense layers run in TensorFlow's own matrix product, everything else in the reference
 * kernels. It exists to compare with, and for programs that have tfjs-node anyway.
 * @throws BackendError if the optional peer dependency @tensorflow/tfjs-node is not installed
 */
export async function createTensorflowDevice(): Promise<Device> {
  let tensorflow: {
    findBackend(name: string): NodeBackend | null;
    setBackend(name: string): Promise<boolean>;
  };
  try {
    // The name is not a literal, so that bundlers and the type checker do not look for an optional package.
    const loaded = (await import(/* @vite-ignore */ /* webpackIgnore: true */ PACKAGE)) as {
      default?: unknown;
    };
    tensorflow = (loaded.default ?? loaded) as typeof tensorflow;
    await tensorflow.setBackend("tensorflow");
  } catch (error) {
    throw new BackendError(
      `the tensorflow backend needs ${PACKAGE}, which is not installed or does not load; ` +
        `install it with: npm install ${PACKAGE}@4.22.0`,
      { cause: error },
    );
  }
  const backend = tensorflow.findBackend("tensorflow");
  if (backend === null)
    throw new BackendError(`${PACKAGE} is installed but registered no tensorflow backend`);

  const reference = createReferenceKernels();
  const kernels: Kernels<Float32Array, TensorflowWeight, HostKvCache> = {
    ...reference,
    linear(x, rows, weights, biases, outs, precision) {
      weights.forEach(({ weight, tensor }, i) => {
        const out = outs[i]!;
        const bias = biases[i] ?? null;
        if (tensor === null) {
          reference.linear(x, rows, [weight], [bias], [out], precision);
          return;
        }
        const product = tidy(() =>
          matMul(tensor2d(x, [rows, x.length / rows]), tensor, false, true).dataSync(),
        );
        out.set(product);
        if (bias !== null) for (let at = 0; at < out.length; at++) out[at]! += bias[at % bias.length]!;
      });
    },
    linearArgmax: (x, rows, { weight }, out, precision) =>
      reference.linearArgmax(x, rows, weight, out, precision),
    embedding: (ids, { weight }, out) => reference.embedding(ids, weight, out),
    conv2d: (x, geometry, { weight }, bias, out, precision) =>
      reference.conv2d(x, geometry, weight, bias, out, precision),
  };
  const device: Device<Float32Array, TensorflowWeight, HostKvCache> = {
    name: "tensorflow",
    kernels,
    uploadVector: (values) => values,
    releaseVector: () => undefined,
    prepareWeight(weight) {
      if (!isDense(weight.dtype)) return { weight, tensor: null };
      const values = new Float32Array(elementCount(weight.shape));
      dequantize(weight.dtype, weight.bytes, values);
      return { weight, tensor: tensor2d(values, [weight.shape[0]!, values.length / weight.shape[0]!]) };
    },
    releaseWeight: ({ tensor }) => tensor?.dispose(),
    createKvCache: createHostKvCache,
    releaseKvCache: () => undefined,
    read: (tensor: TensorInfo) => backend.readSync(tensor.dataId),
    allocate(shape) {
      const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
      return { tensor: { dataId: backend.write(data, shape, "float32"), shape, dtype: "float32" }, data };
    },
  };
  return device as Device;
}
