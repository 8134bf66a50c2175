import type { TensorInfo } from "@tensorflow/tfjs-core";
import type { Weight } from "../weight.js";

/**
 * `exact`: float32 activations; a quantized weight counts as its dequantized values. `fast`: activations may be rounded
 * to int8 blocks (matrix × few vectors: per 32 inputs d = amax/127, q = RNE(x·127/amax)) or bfloat16; the error limits
 * are in docs/kernels.md.
 */
export type Precision = "exact" | "fast";

export type Activation = "none" | "gelu" | "silu";

/** Rows `[start, start + count)` of an activation matrix that belong to one sequence whose cache already holds `position` tokens. */
export interface AttentionSegment<Cache> {
  readonly cache: Cache;
  readonly start: number;
  readonly count: number;
  readonly position: number;
}

/** Geometry of a 2-D convolution over channels-last input `[n, height, width, inChannels]`. */
export interface Conv2dGeometry {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly activation: Activation;
  /** `nhwc`: `[n, outH, outW, outC]`; `nwch`: `[n, outW, outC, outH]` (per time step channel × frequency, as Qwen3-ASR's conv_out wants it). */
  readonly layout: "nhwc" | "nwch";
}

/** A causal convolution of stride 1 over the rows of a signal `[rows, inChannels]`. */
export interface CausalConvGeometry {
  readonly rows: number;
  readonly inChannels: number;
  readonly kernel: number;
  /** Rows between two taps. */
  readonly dilation: number;
  readonly activation: Activation;
}

/** Sizes of a key-value cache: one per sequence, all layers. */
export interface KvCacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens it can hold. */
  readonly capacity: number;
}

/**
 * One pre-norm decoder layer: grouped-query attention with norms per head and rotary positions, then
 * `down(silu(gate) · up)`. Weights `[out, in]` without biases.
 */
export interface DecoderLayerParameters<F, W> {
  readonly query: W;
  readonly key: W;
  readonly value: W;
  readonly output: W;
  readonly gate: W;
  readonly up: W;
  readonly down: W;
  /** Gains of the RMS norms: per head of queries and keys `[headDim]` (null: none), and before the MLP `[hidden]`. */
  readonly queryNorm: F | null;
  readonly keyNorm: F | null;
  readonly mlpNorm: F;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly theta: number;
  readonly scale: number;
  readonly precision: Precision;
}

/** The layers of a decoder, all of the same sizes, with the norms between them. */
export interface DecoderStackParameters<F, W> {
  readonly layers: readonly DecoderLayerParameters<F, W>[];
  /** Gains of the RMS norms before each layer's attention and, last, of the result, each `[hidden]`. */
  readonly norms: readonly F[];
}

/**
 * The kernels of a backend, over its own float arrays `F`, prepared weights `W` and caches `C`. All matrices are
 * row-major and dense; `out` arrays are given by the caller, have the exact size, need not be zeroed, and never alias
 * the inputs. Shapes were checked by the ops. Integer inputs and outputs are small and stay on the host.
 */
export interface Kernels<F, W, C> {
  /** For each i: `outs[i] = x · weights[i]ᵀ + biases[i]`. x `[rows, in]`, weights[i] `[out_i, in]`, outs[i] `[rows, out_i]`; all weights share one quantized x. */
  linear(
    x: F,
    rows: number,
    weights: readonly W[],
    biases: readonly (F | null)[],
    outs: readonly F[],
    precision: Precision,
  ): void;
  /** Index of the largest element of each row of `x · weightᵀ`; ties give the lowest index. */
  linearArgmax(x: F, rows: number, weight: W, out: Int32Array, precision: Precision): void;
  /** Dequantized rows `ids` of `weight` `[vocab, dim]`; out `[ids.length, dim]`. */
  embedding(ids: Int32Array, weight: W, out: F): void;
  /** `out = gamma · x / sqrt(mean(x²) + eps)` over rows of `dim`. */
  rmsNorm(x: F, gamma: F, eps: number, dim: number, out: F): void;
  /** `sum = x + residual; out = rmsNorm(sum)`. */
  addRmsNorm(x: F, residual: F, gamma: F, eps: number, dim: number, sum: F, out: F): void;
  /** `out = gamma · (x − mean) / sqrt(var + eps) + beta` over rows of `dim`. */
  layerNorm(x: F, gamma: F, beta: F, eps: number, dim: number, out: F): void;
  /** `sum = x + residual; out = layerNorm(sum)`. */
  addLayerNorm(x: F, residual: F, gamma: F, beta: F, eps: number, dim: number, sum: F, out: F): void;
  /**
   * Per head: RMS norm with `gamma` (null: none), then rotary embedding (half-split, "NeoX") at `positions[row]` with
   * inverse frequencies `theta^(-2i/headDim)`. x, out `[rows, heads · headDim]`.
   */
  headNormRope(
    x: F,
    gamma: F | null,
    positions: Int32Array,
    heads: number,
    headDim: number,
    eps: number,
    theta: number,
    out: F,
  ): void;
  /**
   * Causal grouped-query attention with caches. Writes the segment's keys and values `[rows, kvHeads · headDim]` at
   * `position…position+count-1` of each cache's `layer`, then row r of a segment attends to cached positions
   * `0…position + r - start`, of these the last `window`. q, out `[rows, heads · headDim]`; query head h uses kv head
   * `floor(h · kvHeads / heads)`.
   */
  cachedAttention(
    q: F,
    k: F,
    v: F,
    segments: readonly AttentionSegment<C>[],
    layer: number,
    heads: number,
    scale: number,
    window: number,
    out: F,
  ): void;
  /** Bidirectional attention inside blocks: rows `[offsets[b], offsets[b+1])` see each other. q, k, v, out `[rows, heads · headDim]`. */
  blockAttention(
    q: F,
    k: F,
    v: F,
    offsets: Int32Array,
    heads: number,
    headDim: number,
    scale: number,
    out: F,
  ): void;
  add(a: F, b: F, out: F): void;
  /** `out = gate · sigmoid(gate) · up`. */
  siluMul(gate: F, up: F, out: F): void;
  /** Exact GELU: `x/2 · (1 + erf(x/√2))`. */
  gelu(x: F, out: F): void;
  /** Convolution with weight `[outChannels, inChannels · kh · kw]` (source order in, kh, kw; 4-D source shape allowed), bias and activation. */
  conv2d(x: F, geometry: Conv2dGeometry, weight: W, bias: F | null, out: F, precision: Precision): void;
  /**
   * `out[t] = act(bias + Σ_k weight[:, k] · s[t − (kernel−1−k)·dilation]) + residual[t]`, where s is x after the rows of
   * `history` `[(kernel−1)·dilation, inChannels]` (null: zeros), which is then overwritten with the last rows of s.
   * weight `[out, kernel · inChannels]`, oldest tap first; residual (null: none), out `[rows, out]`.
   */
  causalConv1d(
    x: F,
    geometry: CausalConvGeometry,
    weight: W,
    bias: F | null,
    history: F | null,
    residual: F | null,
    out: F,
    precision: Precision,
  ): void;
  /** The same for each channel alone, dilation 1, no activation. weight `[kernel, channels]`; x, out `[rows, channels]`. */
  depthwiseCausalConv1d(
    x: F,
    rows: number,
    channels: number,
    kernel: number,
    weight: F,
    bias: F,
    history: F | null,
    out: F,
  ): void;
  /** `out = x + sin²(x · alpha) · inverseBeta`, alpha and inverseBeta per channel; x, out `[rows, channels]`. */
  snake(x: F, alpha: F, inverseBeta: F, channels: number, out: F): void;
  /** `out = x + scale · y`, scale per channel; x, y, out `[rows, channels]`. */
  addScaled(x: F, y: F, scale: F, channels: number, out: F): void;
}

/** Kernels that do the work of several, for backends where a call costs more than its small kernels. */
export interface FusedKernels<F, W, C> {
  /**
   * A whole decoder layer: x and normed `[rows, hidden]` are the residual stream and its norm; `sum` gets the stream
   * after the layer, `out` its RMS norm with `nextNorm`; keys and values go to the caches' layer `index`. The same
   * values as the kernels one by one.
   */
  decoderLayer(
    x: F,
    normed: F,
    layer: DecoderLayerParameters<F, W>,
    nextNorm: F,
    positions: Int32Array,
    segments: readonly AttentionSegment<C>[],
    index: number,
    sum: F,
    out: F,
  ): void;
  /**
   * What `decoderLayer` leaves in the caches, for rows that are not asked for after the last layer: their keys and values.
   */
  decoderKeys(
    normed: F,
    layer: DecoderLayerParameters<F, W>,
    positions: Int32Array,
    segments: readonly AttentionSegment<C>[],
    index: number,
  ): void;
  /**
   * All layers of a decoder, for the few rows of a decode step: x `[rows, hidden]` are embeddings, `out` gets the last
   * norm of the residual stream. The same values as layer by layer.
   */
  decoderStack(
    x: F,
    stack: DecoderStackParameters<F, W>,
    positions: Int32Array,
    segments: readonly AttentionSegment<C>[],
    out: F,
  ): void;
  /**
   * Layers `from … to − 1` of a decoder, for the rows of prompts: `stream` (the residual stream) and `normed` (its norm)
   * `[rows, hidden]` are those before layer `from` and become those before layer `to`. The same values as layer by layer.
   */
  decoderLayers(
    stream: F,
    normed: F,
    stack: DecoderStackParameters<F, W>,
    from: number,
    to: number,
    positions: Int32Array,
    segments: readonly AttentionSegment<C>[],
  ): void;
}

/**
 * A tfjs backend seen from the ops: where its float data lie, how a weight or a cache gets there, and its kernels.
 * `F` is Float32Array where tensors are typed arrays, a pointer with a length in WASM memory.
 */
export interface Device<F = unknown, W = unknown, C = unknown> {
  /** Name of the tfjs backend. */
  readonly name: string;
  readonly kernels: Kernels<F, W, C>;
  readonly fused?: FusedKernels<F, W, C>;
  /** Copies a parameter vector (norm gain, bias) into the device's memory for the life of a layer. */
  uploadVector(values: Float32Array): F;
  releaseVector(vector: F): void;
  /** Overwrites an uploaded vector with as many values of the device's, or (null) with zeros. */
  assignVector(vector: F, values: F | null): void;
  /** Makes a weight usable by the kernels: in place where possible. @throws UnsupportedError for a dtype without kernels, BackendError when memory is out. */
  prepareWeight(weight: Weight): W;
  releaseWeight(weight: W): void;
  /** With precision `fast`, keys and values may be rounded to int8, per 32 channels. */
  createKvCache(shape: KvCacheShape, precision?: Precision): C;
  /** Bytes of such a cache. */
  kvCacheBytes(shape: KvCacheShape, precision?: Precision): number;
  releaseKvCache(cache: C): void;
  /** Moves the positions from `count` on to the front, in all layers and heads. */
  dropCached(cache: C, count: number): void;
  /** Copies the first `count` positions of all layers and heads to a cache that differs in capacity at most. */
  copyCached(from: C, to: C, count: number): void;
  /** The float data of a tfjs tensor of this backend. */
  read(tensor: TensorInfo): F;
  /** Gives memory back that was kept for further activations. */
  releaseUnused?(): void;
  /** A new float32 tensor with uninitialised content and its data. */
  allocate(shape: number[]): { readonly tensor: TensorInfo; readonly data: F };
}
