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

/**
 * Keys and values of one sequence for all layers, in the memory of the backend that made it:
 * `keys[layer]` and `values[layer]` are `[kvHeads, capacity, headDim]`.
 */
export interface HostKvCache {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly capacity: number;
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/**
 * The kernels of a backend whose tensors are plain typed arrays (cpu reference, native; tensorflow through copies).
 * All matrices are row-major and dense; `out` arrays are given by the caller, have the exact size, and need not be zeroed;
 * they never alias the inputs. Shapes were checked by the ops.
 */
export interface HostKernels {
  /** For each i: `outs[i] = x · weights[i]ᵀ + biases[i]`. x `[rows, in]`, weights[i] `[out_i, in]`, outs[i] `[rows, out_i]`; all weights share one quantized x. */
  linear(
    x: Float32Array,
    rows: number,
    weights: readonly Weight[],
    biases: readonly (Float32Array | null)[],
    outs: readonly Float32Array[],
    precision: Precision,
  ): void;
  /** Index of the largest element of each row of `x · weightᵀ`; ties give the lowest index. */
  linearArgmax(x: Float32Array, rows: number, weight: Weight, out: Int32Array, precision: Precision): void;
  /** Dequantized rows `ids` of `weight` `[vocab, dim]`; out `[ids.length, dim]`. */
  embedding(ids: Int32Array, weight: Weight, out: Float32Array): void;
  /** `out = gamma · x / sqrt(mean(x²) + eps)` over rows of `dim`. */
  rmsNorm(x: Float32Array, gamma: Float32Array, eps: number, dim: number, out: Float32Array): void;
  /** `sum = x + residual; out = rmsNorm(sum)`. */
  addRmsNorm(
    x: Float32Array,
    residual: Float32Array,
    gamma: Float32Array,
    eps: number,
    dim: number,
    sum: Float32Array,
    out: Float32Array,
  ): void;
  /** `out = gamma · (x − mean) / sqrt(var + eps) + beta` over rows of `dim`. */
  layerNorm(
    x: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    eps: number,
    dim: number,
    out: Float32Array,
  ): void;
  /** `sum = x + residual; out = layerNorm(sum)`. */
  addLayerNorm(
    x: Float32Array,
    residual: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    eps: number,
    dim: number,
    sum: Float32Array,
    out: Float32Array,
  ): void;
  /**
   * Per head: RMS norm with `gamma` (null: none), then rotary embedding (half-split, "NeoX") at `positions[row]` with
   * inverse frequencies `theta^(-2i/headDim)`. x, out `[rows, heads · headDim]`.
   */
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
  /**
   * Causal grouped-query attention with caches. Writes the segment's keys and values `[rows, kvHeads · headDim]` at
   * `position…position+count-1` of each cache's `layer`, then row r of a segment attends to cached positions
   * `0…position + r - start`. q, out `[rows, heads · headDim]`; query head h uses kv head `floor(h · kvHeads / heads)`.
   */
  cachedAttention(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    segments: readonly AttentionSegment<HostKvCache>[],
    layer: number,
    heads: number,
    scale: number,
    out: Float32Array,
  ): void;
  /** Bidirectional attention inside blocks: rows `[offsets[b], offsets[b+1])` see each other. q, k, v, out `[rows, heads · headDim]`. */
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
  add(a: Float32Array, b: Float32Array, out: Float32Array): void;
  /** `out = gate · sigmoid(gate) · up`. */
  siluMul(gate: Float32Array, up: Float32Array, out: Float32Array): void;
  /** Exact GELU: `x/2 · (1 + erf(x/√2))`. */
  gelu(x: Float32Array, out: Float32Array): void;
  /** Convolution with weight `[outChannels, inChannels · kh · kw]` (source order in, kh, kw; 4-D source shape allowed), bias and activation. */
  conv2d(
    x: Float32Array,
    geometry: Conv2dGeometry,
    weight: Weight,
    bias: Float32Array | null,
    out: Float32Array,
    precision: Precision,
  ): void;
}
