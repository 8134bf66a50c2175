import type { TensorInfo } from "@tensorflow/tfjs-core";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import type { Device, Kernels } from "../../ops/kernels.js";
import { elementCount } from "../../weight.js";
import { floatKvCacheBytes } from "../host-kv-cache.js";
import { AttentionKernels, createCache, type WasmKvCache } from "./attention.js";
import { CausalConvKernels } from "./causal-conv.js";
import { ConvolutionKernels } from "./convolution.js";
import { WASM_BACKEND, startWasmBackend } from "./engine.js";
import { LinearKernels } from "./linear.js";
import { ADDRESS_SPACE, WasmMemory, type WasmArray } from "./memory.js";
import { instantiateKernels, type KernelModule } from "./module.js";
import { shareWork } from "./parallel.js";
import { RopeTables } from "./rope-table.js";
import { startThreads } from "./thread-pool.js";
import { copyWeight, type WasmWeight } from "./weights.js";

export type WasmDevice = Device<WasmArray, WasmWeight, WasmKvCache>;

const devices = new WeakMap<BackendWasm, Promise<WasmDevice>>();

/**
 * The `wasm` device: our AssemblyScript kernels working in place on the tensors of the TensorFlow.js WASM backend.
 * One device per backend instance. Weights are copied into its memory of at most
 * 4 GiB, so their source can be dropped.
 * @throws BackendError if the engine has no WASM SIMD or a binary cannot be loaded
 */
export async function createWasmDevice(): Promise<WasmDevice> {
  const backend = await startWasmBackend();
  let device = devices.get(backend);
  if (device === undefined) {
    device = makeWasmDevice(backend);
    devices.set(backend, device);
    device.catch(() => devices.delete(backend));
  }
  return device;
}

/** A device of its own for a started backend. */
export async function makeWasmDevice(backend: BackendWasm): Promise<WasmDevice> {
  const memory = new WasmMemory(backend);
  const instantiated = await instantiateKernels(memory.memory);
  const alone = instantiated.instance.exports as unknown as KernelModule;
  const threads = startThreads(instantiated, memory);
  const module = threads === null ? alone : shareWork(alone, threads);
  const attention = new AttentionKernels(module, memory);
  return {
    name: WASM_BACKEND,
    kernels: createKernels(module, memory, attention),
    uploadVector(values) {
      const pointer = memory.allocate(values.byteLength, `vector of ${values.length}`);
      memory.floats(pointer, values.length).set(values);
      return { pointer, length: values.length };
    },
    releaseVector: ({ pointer }) => memory.free(pointer),
    assignVector({ pointer, length }, values) {
      const floats = memory.floats(pointer, length);
      if (values === null) floats.fill(0);
      else floats.set(memory.floats(values.pointer, length));
    },
    prepareWeight: (weight) => copyWeight(memory, weight),
    releaseWeight: ({ pointer }) => memory.free(pointer),
    createKvCache: (shape) => createCache(memory, shape),
    kvCacheBytes: floatKvCacheBytes,
    releaseKvCache: ({ pointer }) => memory.free(pointer),
    dropCached: attention.dropCached.bind(attention),
    copyCached: attention.copyCached.bind(attention),
    read(tensor) {
      return { pointer: pointerOf(backend, tensor), length: elementCount(tensor.shape) };
    },
    allocate(shape) {
      const length = elementCount(shape);
      const bytes = length * 4;
      if (bytes >= ADDRESS_SPACE) throw memory.exhausted(bytes, `tensor [${shape.join(", ")}]`);
      const tensor = backend.makeOutput(shape, "float32");
      const pointer = pointerOf(backend, tensor);
      if (length > 0 && !memory.holds(pointer, bytes)) {
        // the backend does not look at what its allocator returns
        backend.disposeData(tensor.dataId);
        throw memory.exhausted(bytes, `tensor [${shape.join(", ")}]`);
      }
      return { tensor, data: { pointer, length } };
    },
  };
}

function pointerOf(backend: BackendWasm, tensor: TensorInfo): number {
  return backend.dataIdMap.get(tensor.dataId).memoryOffset;
}

function createKernels(
  module: KernelModule,
  memory: WasmMemory,
  attention: AttentionKernels,
): Kernels<WasmArray, WasmWeight, WasmKvCache> {
  const linear = new LinearKernels(module, memory);
  const convolution = new ConvolutionKernels(module, memory, linear);
  const causalConv = new CausalConvKernels(module, memory, linear);
  const rope = new RopeTables(memory);
  return {
    linear: linear.linear.bind(linear),
    linearArgmax: linear.linearArgmax.bind(linear),
    embedding: linear.embedding.bind(linear),
    rmsNorm(x, gamma, eps, dim, out) {
      module.rmsNorm(x.pointer, 0, gamma.pointer, eps, dim, x.length / dim, 0, out.pointer);
    },
    addRmsNorm(x, residual, gamma, eps, dim, sum, out) {
      const rows = x.length / dim;
      module.rmsNorm(x.pointer, residual.pointer, gamma.pointer, eps, dim, rows, sum.pointer, out.pointer);
    },
    layerNorm(x, gamma, beta, eps, dim, out) {
      const rows = x.length / dim;
      module.layerNorm(x.pointer, 0, gamma.pointer, beta.pointer, eps, dim, rows, 0, out.pointer);
    },
    addLayerNorm(x, residual, gamma, beta, eps, dim, sum, out) {
      const rows = x.length / dim;
      module.layerNorm(
        x.pointer,
        residual.pointer,
        gamma.pointer,
        beta.pointer,
        eps,
        dim,
        rows,
        sum.pointer,
        out.pointer,
      );
    },
    headNormRope(x, gamma, positions, heads, headDim, eps, theta, out) {
      const table = rope.covering(positions, headDim, theta);
      const rows = positions.length;
      const copied = memory.scratch("positions", rows * 4);
      memory.ints(copied, rows).set(positions);
      const gain = gamma?.pointer ?? 0;
      module.headNormRope(x.pointer, gain, copied, table, rows, heads, headDim, eps, out.pointer);
    },
    cachedAttention: attention.cachedAttention.bind(attention),
    blockAttention: attention.blockAttention.bind(attention),
    add: (a, b, out) => module.add(a.pointer, b.pointer, a.length, out.pointer),
    siluMul: (gate, up, out) => module.siluMultiply(gate.pointer, up.pointer, gate.length, out.pointer),
    gelu: (x, out) => module.gelu(x.pointer, x.length, out.pointer),
    conv2d: convolution.conv2d.bind(convolution),
    causalConv1d: causalConv.causalConv1d.bind(causalConv),
    depthwiseCausalConv1d: causalConv.depthwiseCausalConv1d.bind(causalConv),
    snake(x, alpha, inverseBeta, channels, out) {
      const rows = x.length / channels;
      module.snake(x.pointer, alpha.pointer, inverseBeta.pointer, rows, channels, out.pointer);
    },
    addScaled(x, y, scale, channels, out) {
      module.addScaled(x.pointer, y.pointer, scale.pointer, x.length / channels, channels, out.pointer);
    },
  };
}
