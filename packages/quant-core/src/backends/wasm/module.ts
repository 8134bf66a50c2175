import { BackendError } from "../../errors.js";
import { loadAsset } from "./assets.js";
import { isShared } from "./shared-memory.js";

/** An address in the memory that the kernels and the TensorFlow.js backend share; 0 is null. */
export type Pointer = number;

/** The exports of `assembly/index.ts`, where they are described. */
export interface KernelModule {
  readonly DEQUANTIZE_SCRATCH: { readonly value: number };
  readonly FEW_ROWS: { readonly value: number };
  fillHalfTable(table: Pointer): void;
  dequantize(dtype: number, src: Pointer, k: number, out: Pointer, scratch: Pointer): void;
  quantizeActivations(
    x: Pointer,
    rows: number,
    k: number,
    q: Pointer,
    d: Pointer,
    sums16: Pointer,
    sums32: Pointer,
  ): void;
  fewRowsScratch(k: number): number;
  manyRowsScratch(): number;
  linearFewFloat: FloatProduct;
  linearManyFloat: FloatProduct;
  linearFewInt: (...parameters: [...Parameters<IntProduct>, table: Pointer]) => void;
  linearManyInt: IntProduct;
  argmaxRows(
    x: Pointer,
    stride: number,
    rows: number,
    n: number,
    base: number,
    best: Pointer,
    bestIndex: Pointer,
  ): void;
  add(a: Pointer, b: Pointer, n: number, out: Pointer): void;
  siluMultiply(gate: Pointer, up: Pointer, n: number, out: Pointer): void;
  silu(x: Pointer, n: number, out: Pointer): void;
  gelu(x: Pointer, n: number, out: Pointer): void;
  rmsNorm(
    x: Pointer,
    residual: Pointer,
    gamma: Pointer,
    eps: number,
    dim: number,
    rows: number,
    sum: Pointer,
    out: Pointer,
  ): void;
  layerNorm(
    x: Pointer,
    residual: Pointer,
    gamma: Pointer,
    beta: Pointer,
    eps: number,
    dim: number,
    rows: number,
    sum: Pointer,
    out: Pointer,
  ): void;
  headNormRope(
    x: Pointer,
    gamma: Pointer,
    positions: Pointer,
    table: Pointer,
    rows: number,
    heads: number,
    headDim: number,
    eps: number,
    out: Pointer,
  ): void;
  attentionScratch(length: number): number;
  writeCache(
    rowsIn: Pointer,
    rows: number,
    kvHeads: number,
    headDim: number,
    cache: Pointer,
    capacity: number,
    position: number,
  ): void;
  causalAttention(
    q: Pointer,
    rows: number,
    heads: number,
    kvHeads: number,
    headDim: number,
    keys: Pointer,
    values: Pointer,
    capacity: number,
    position: number,
    scale: number,
    window: number,
    out: Pointer,
    scratch: Pointer,
    from: number,
    to: number,
  ): void;
  dropCached(cache: Pointer, kvHeads: number, headDim: number, capacity: number, count: number): void;
  fullAttention(
    q: Pointer,
    k: Pointer,
    v: Pointer,
    rows: number,
    heads: number,
    headDim: number,
    scale: number,
    out: Pointer,
    scratch: Pointer,
    from: number,
    to: number,
  ): void;
  snake(x: Pointer, alpha: Pointer, inverseBeta: Pointer, rows: number, channels: number, out: Pointer): void;
  addScaled(x: Pointer, y: Pointer, scale: Pointer, rows: number, channels: number, out: Pointer): void;
  depthwise(
    signal: Pointer,
    rows: number,
    channels: number,
    kernel: number,
    weight: Pointer,
    bias: Pointer,
    out: Pointer,
  ): void;
  gatherTaps(
    signal: Pointer,
    rows: number,
    channels: number,
    kernel: number,
    dilation: number,
    out: Pointer,
  ): void;
  gatherPatches(
    x: Pointer,
    height: number,
    width: number,
    channels: number,
    kernelHeight: number,
    kernelWidth: number,
    strideHeight: number,
    strideWidth: number,
    paddingHeight: number,
    paddingWidth: number,
    outHeight: number,
    outWidth: number,
    first: number,
    count: number,
    out: Pointer,
  ): void;
  channelsBeforeHeight(
    x: Pointer,
    n: number,
    height: number,
    width: number,
    channels: number,
    out: Pointer,
  ): void;
}

type FloatProduct = (
  dtype: number,
  weight: Pointer,
  n: number,
  k: number,
  x: Pointer,
  rows: number,
  bias: Pointer,
  out: Pointer,
  outStride: number,
  scratch: Pointer,
) => void;

type IntProduct = (
  dtype: number,
  weight: Pointer,
  n: number,
  k: number,
  q: Pointer,
  d: Pointer,
  sums16: Pointer,
  sums32: Pointer,
  rows: number,
  bias: Pointer,
  out: Pointer,
  outStride: number,
  scratch: Pointer,
) => void;

/** A module with one function that uses f32x4.relaxed_madd. */
const RELAXED_PROBE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00, 0x0a, 0x13, 0x01, 0x11, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00],
  ...[0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x85, 0x02, 0x0b],
]);

/** Whether this engine has the relaxed-SIMD instructions (fused multiply-add). */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

export interface InstantiatedKernels {
  readonly module: WebAssembly.Module;
  readonly instance: WebAssembly.Instance;
}

/**
 * Our kernels on a given memory, in the best variant that the engine runs.
 * @throws BackendError if the engine has no SIMD or the binary cannot be loaded
 */
export async function instantiateKernels(memory: WebAssembly.Memory): Promise<InstantiatedKernels> {
  const variant = hasRelaxedSimd() ? "voxquant-relaxed-simd" : "voxquant-simd";
  const binary = await loadAsset(isShared(memory) ? `${variant}-shared.wasm` : `${variant}.wasm`);
  try {
    return await WebAssembly.instantiate(binary, { env: { memory } });
  } catch (error) {
    throw new BackendError(
      `the WASM kernels do not start (${(error as Error).message}); the WASM backend needs an engine with SIMD: ` +
        "Node 16, Chrome 91, Firefox 89, Safari 16.4 or newer",
      { cause: error },
    );
  }
}
