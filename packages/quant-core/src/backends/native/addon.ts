import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";

declare const brand: unique symbol;

/** A weight as the addon knows it: type, shape and a reference to its bytes. */
export interface WeightHandle {
  readonly [brand]: "weight";
}

/** A mapped file as the addon knows it. */
export interface MappingHandle {
  readonly [brand]: "mapping";
}

/** Keys or values of one layer: float32, or int8 in the layout of native/int8_cache.h. */
export type CacheArray = Float32Array | Uint8Array;

/**
 * A decoder layer and what it works on. `weights`: query, key, value, output, gate, up, down; `norms`: of queries, of keys,
 * before the MLP, of the result; `segments`: start, count, position, capacity of each sequence.
 */
export type LayerArguments = [
  weights: readonly WeightHandle[],
  norms: readonly (Float32Array | null)[],
  keys: readonly CacheArray[],
  values: readonly CacheArray[],
  segments: Int32Array,
  positions: Int32Array,
  heads: number,
  kvHeads: number,
  headDim: number,
  eps: number,
  theta: number,
  scale: number,
  fast: boolean,
];

/** What the C++ addon exports (native/bind_*.cpp). Arrays are used in place; sizes are checked, a wrong call throws. */
export interface NativeAddon {
  /** What is thrown where a weight's file was cut, or the system refuses memory that a function works in. */
  setBackendError(constructor: new (message: string) => Error): void;

  /** Instruction set in use, of `isaLevels()` (lowest first). */
  isa(): string;
  isaLevels(): string[];
  /** False if this machine cannot run that level; `avx512` means the best of its kind. */
  setIsa(name: string): boolean;
  /** Compares the level in use with the baseline on a row of every type: what differs, or null. */
  checkIsa(): string | null;
  threads(): number;
  /** Threads of all kernels, the caller's included; 1 to 256. Results do not depend on it. */
  setThreads(count: number): void;
  /** Reads all bytes once with all threads (a benchmark's yardstick); returns a checksum. */
  streamRead(bytes: Uint8Array): number;

  /** Maps a file read-only. The memory lasts until the buffer is collected or the file is unmapped. */
  mapFile(path: string): { buffer: ArrayBuffer; handle: MappingHandle };
  /** Detaches the buffer: all views of it become empty. */
  unmapFile(handle: MappingHandle): void;
  /** Whether the file was cut while mapped; what lay behind its new end reads as zeros. */
  mappingFault(handle: MappingHandle): boolean;

  /**
   * Zeros, outside of what the garbage collector counts, for `freeMemory`; null where the system or the runtime has none.
   * @param huge in huge pages, for what is used whole: a page of them is all there or not at all
   */
  allocateMemory(bytes: number, huge: boolean): ArrayBuffer | null;
  /** Gives the memory of an array back at once, not when it is collected; all views of its buffer become empty. */
  freeMemory(array: Float32Array | Uint8Array): void;
  prepareWeight(dtypeId: number, rows: number, rowLength: number, bytes: Uint8Array): WeightHandle;
  releaseWeight(weight: WeightHandle): void;

  linear(
    x: Float32Array,
    rows: number,
    weights: readonly WeightHandle[],
    biases: readonly (Float32Array | null)[],
    outs: readonly Float32Array[],
    fast: boolean,
  ): void;
  linearArgmax(x: Float32Array, rows: number, weight: WeightHandle, out: Int32Array, fast: boolean): void;
  embedding(ids: Int32Array, weight: WeightHandle, out: Float32Array): void;
  add(a: Float32Array, b: Float32Array, out: Float32Array): void;
  siluMul(gate: Float32Array, up: Float32Array, out: Float32Array): void;
  gelu(x: Float32Array, out: Float32Array): void;
  /** With a residual, `sum` gets x + residual and is what is normed. */
  rmsNorm(
    x: Float32Array,
    residual: Float32Array | null,
    gamma: Float32Array,
    eps: number,
    dim: number,
    sum: Float32Array | null,
    out: Float32Array,
  ): void;
  layerNorm(
    x: Float32Array,
    residual: Float32Array | null,
    gamma: Float32Array,
    beta: Float32Array,
    eps: number,
    dim: number,
    sum: Float32Array | null,
    out: Float32Array,
  ): void;
  headNormRope(
    x: Float32Array,
    gamma: Float32Array | null,
    positions: Int32Array,
    heads: number,
    headDim: number,
    eps: number,
    theta: number,
    out: Float32Array,
  ): void;
  /** `segments`: start, count, position, capacity of each cache. */
  cachedAttention(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    keys: readonly CacheArray[],
    values: readonly CacheArray[],
    segments: Int32Array,
    heads: number,
    kvHeads: number,
    headDim: number,
    scale: number,
    window: number,
    out: Float32Array,
  ): void;
  /**
   * Bytes of the keys (or values) of one head in an int8 cache. A head's positions lie in order: as much holds the first
   * positions of a larger cache.
   */
  int8CacheBytes(headDim: number, capacity: number): number;
  /** Moves the positions from `count` on to the front. */
  dropInt8Cached(
    keys: Uint8Array,
    values: Uint8Array,
    kvHeads: number,
    headDim: number,
    capacity: number,
    count: number,
  ): void;
  decoderLayer(
    x: Float32Array,
    normed: Float32Array,
    ...layer: [...layer: LayerArguments, sum: Float32Array, out: Float32Array]
  ): void;
  /** What `decoderLayer` leaves in the caches, and nothing else. */
  decoderKeys(normed: Float32Array, ...layer: LayerArguments): void;
  /**
   * All layers of a decoder, with the norm before them. `weights` and `norms` are those of each layer in order; `keys`: each
   * sequence's keys, values, keys, values… of all layers in one block; `values`: where the first values lie.
   */
  decoderStack(
    x: Float32Array,
    norm: Float32Array,
    ...layers: [...layers: LayerArguments, out: Float32Array]
  ): void;
  /** Layers of a decoder from `index` on, as `decoderStack` takes them; `stream` and `normed` are overwritten. */
  decoderLayers(stream: Float32Array, normed: Float32Array, index: number, ...layers: LayerArguments): void;
  blockAttention(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    offsets: Int32Array,
    heads: number,
    headDim: number,
    scale: number,
    out: Float32Array,
  ): void;
  /**
   * `geometry`: batch, height, width, inChannels, outChannels, kernel height and width, stride height and width, padding
   * height and width, activation (0 none, 1 gelu, 2 silu), layout (1 nhwc, 0 nwch).
   */
  conv2d(
    x: Float32Array,
    geometry: Int32Array,
    weight: WeightHandle,
    bias: Float32Array | null,
    out: Float32Array,
    fast: boolean,
  ): void;

  /** `activation` as in `conv2d`. `history` is overwritten with the last rows seen. */
  causalConv1d(
    x: Float32Array,
    rows: number,
    inChannels: number,
    kernel: number,
    dilation: number,
    activation: number,
    weight: WeightHandle,
    bias: Float32Array | null,
    history: Float32Array | null,
    residual: Float32Array | null,
    out: Float32Array,
    fast: boolean,
  ): void;
  depthwiseCausalConv1d(
    x: Float32Array,
    rows: number,
    channels: number,
    kernel: number,
    weight: Float32Array,
    bias: Float32Array,
    history: Float32Array | null,
    out: Float32Array,
  ): void;
  snake(
    x: Float32Array,
    alpha: Float32Array,
    inverseBeta: Float32Array,
    channels: number,
    out: Float32Array,
  ): void;
  addScaled(x: Float32Array, y: Float32Array, scale: Float32Array, channels: number, out: Float32Array): void;

  /** Encodes rows with all cores; importance: mean square of each input column. Resolves to the first row whose scale overflowed, or -1. */
  quantizeRows(
    dtypeId: number,
    source: Uint8Array,
    sourceDtypeId: number,
    rowLength: number,
    importance: Float32Array | null,
    out: Uint8Array,
    threads: number,
  ): Promise<number>;
  dequantizeRows(dtypeId: number, bytes: Uint8Array, out: Float32Array): void;
}

let loaded: NativeAddon | null | undefined;
let problem: string | null = null;

/**
 * The native addon, loaded once: a prebuilt binary for this platform, else the one that native/build.mjs compiled.
 * Null where there is none or it does not load (see `addonProblem`). VOXQUANT_NATIVE=off disables it; VOXQUANT_ISA
 * (baseline, avx2, avx512vnni, avx512bf16, ...) lowers the instruction set.
 */
export function loadAddon(): NativeAddon | null {
  if (loaded === undefined) loaded = isNode ? findAddon() : null;
  return loaded;
}

/** Why the addon is not here, or why it does not run at its best; null if all is well. */
export function addonProblem(): string | null {
  loadAddon();
  return problem;
}

function findAddon(): NativeAddon | null {
  if (process.env["VOXQUANT_NATIVE"] === "off") {
    problem = "disabled by VOXQUANT_NATIVE=off";
    return null;
  }
  const { existsSync } = nodeBuiltin("node:fs");
  const { fileURLToPath } = nodeBuiltin("node:url");
  const require = nodeBuiltin("node:module").createRequire(import.meta.url);
  // src/backends/native and dist/backends/native lie equally deep in the package
  const candidates = [
    `../../../prebuilds/${process.platform}-${process.arch}/voxquant.node`,
    "../../../native/build/voxquant.node",
  ].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  for (const path of candidates) {
    if (!existsSync(path)) continue;
    try {
      const addon = require(path) as NativeAddon;
      addon.setBackendError(BackendError);
      chooseIsa(addon);
      return addon;
    } catch (error) {
      problem = `${path} does not load: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  problem ??= "it was not built";
  return null;
}

/** Takes the level that was asked for, or the best whose results agree with the baseline's. */
function chooseIsa(addon: NativeAddon): void {
  const wanted = process.env["VOXQUANT_ISA"];
  if (wanted !== undefined && wanted !== "" && !addon.setIsa(wanted)) {
    problem = `VOXQUANT_ISA=${wanted} cannot run here, which has ${addon.isaLevels().join(", ")}`;
  }
  const levels = addon.isaLevels();
  for (let level = levels.indexOf(addon.isa()); level > 0; level--) {
    addon.setIsa(levels[level]!);
    const difference = addon.checkIsa();
    if (difference === null) return;
    problem = `the self-check found a wrong result, a lower instruction set is used: ${difference}`;
  }
  addon.setIsa("baseline");
}
