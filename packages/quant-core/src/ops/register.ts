import { getKernel, registerKernel, type NamedAttrMap, type TensorInfo } from "@tensorflow/tfjs-core";
import type {
  AttentionSegment,
  CausalConvGeometry,
  Conv2dGeometry,
  DecoderLayerParameters,
  DecoderStackParameters,
  Device,
  Precision,
} from "./kernels.js";
import { convOutputSize } from "./conv2d.js";

/** Attributes of our ops are live objects (weights, vectors, caches), which tfjs hands through untouched. */
export type Attributes<T> = NamedAttrMap & T;

export interface LinearAttributes {
  weights: readonly unknown[];
  biases: readonly unknown[];
  outFeatures: readonly number[];
  precision: Precision;
}

export interface NormAttributes {
  gamma: unknown;
  beta: unknown;
  eps: number;
}

export interface RopeAttributes {
  gamma: unknown;
  positions: Int32Array;
  heads: number;
  headDim: number;
  eps: number;
  theta: number;
}

export interface CachedAttentionAttributes {
  segments: readonly AttentionSegment<unknown>[];
  layer: number;
  heads: number;
  scale: number;
  window: number;
}

export interface DecoderLayerAttributes {
  layer: DecoderLayerParameters<unknown, unknown>;
  nextNorm: unknown;
  positions: Int32Array;
  segments: readonly AttentionSegment<unknown>[];
  index: number;
}

export type DecoderKeysAttributes = Omit<DecoderLayerAttributes, "nextNorm">;

export interface DecoderStackAttributes {
  stack: DecoderStackParameters<unknown, unknown>;
  positions: Int32Array;
  segments: readonly AttentionSegment<unknown>[];
}

export interface BlockAttentionAttributes {
  offsets: Int32Array;
  heads: number;
  headDim: number;
  scale: number;
}

export interface Conv2dAttributes {
  geometry: Conv2dGeometry;
  weight: unknown;
  bias: unknown;
  precision: Precision;
}

export interface CausalConvAttributes {
  geometry: CausalConvGeometry;
  outChannels: number;
  weight: unknown;
  bias: unknown;
  history: unknown;
  precision: Precision;
}

export interface DepthwiseAttributes {
  kernel: number;
  weight: unknown;
  bias: unknown;
  history: unknown;
}

/** Parameters per channel. */
export interface SnakeAttributes {
  alpha: unknown;
  inverseBeta: unknown;
}

export interface AddScaledAttributes {
  scale: unknown;
}

export interface EmbeddingAttributes {
  ids: Int32Array;
  weight: unknown;
  dim: number;
}

type Inputs = Record<string, TensorInfo>;

/** Registers our ops as tfjs kernels of the device's backend. Calling it again for the same backend does nothing. */
export function registerOps(device: Device): void {
  if (getKernel("VoxLinear", device.name) !== undefined) return;
  const { kernels } = device;

  function register<A>(
    name: string,
    run: (inputs: Inputs, attributes: A) => TensorInfo | TensorInfo[],
  ): void {
    registerKernel({
      kernelName: name,
      backendName: device.name,
      kernelFunc: ({ inputs, attrs }) => run(inputs as Inputs, attrs as A),
    });
  }
  /** One output of the shape of `like`. */
  function sameShape(like: TensorInfo, run: (out: unknown) => void): TensorInfo {
    const { tensor, data } = device.allocate(like.shape);
    run(data);
    return tensor;
  }

  register<LinearAttributes>("VoxLinear", ({ x }, { weights, biases, outFeatures, precision }) => {
    const rows = x!.shape[0]!;
    const outs = outFeatures.map((features) => device.allocate([rows, features]));
    kernels.linear(
      device.read(x!),
      rows,
      weights,
      biases,
      outs.map((out) => out.data),
      precision,
    );
    return outs.map((out) => out.tensor);
  });
  register<EmbeddingAttributes>("VoxEmbedding", (_, { ids, weight, dim }) => {
    const { tensor, data } = device.allocate([ids.length, dim]);
    kernels.embedding(ids, weight, data);
    return tensor;
  });
  register<NormAttributes>("VoxRmsNorm", ({ x }, { gamma, eps }) =>
    sameShape(x!, (out) => kernels.rmsNorm(device.read(x!), gamma, eps, x!.shape.at(-1)!, out)),
  );
  register<NormAttributes>("VoxLayerNorm", ({ x }, { gamma, beta, eps }) =>
    sameShape(x!, (out) => kernels.layerNorm(device.read(x!), gamma, beta, eps, x!.shape.at(-1)!, out)),
  );
  register<NormAttributes>("VoxAddRmsNorm", ({ x, residual }, { gamma, eps }) => {
    const sum = device.allocate(x!.shape);
    const out = device.allocate(x!.shape);
    const dim = x!.shape.at(-1)!;
    kernels.addRmsNorm(device.read(x!), device.read(residual!), gamma, eps, dim, sum.data, out.data);
    return [sum.tensor, out.tensor];
  });
  register<NormAttributes>("VoxAddLayerNorm", ({ x, residual }, { gamma, beta, eps }) => {
    const sum = device.allocate(x!.shape);
    const out = device.allocate(x!.shape);
    const dim = x!.shape.at(-1)!;
    kernels.addLayerNorm(device.read(x!), device.read(residual!), gamma, beta, eps, dim, sum.data, out.data);
    return [sum.tensor, out.tensor];
  });
  register<RopeAttributes>("VoxHeadNormRope", ({ x }, { gamma, positions, heads, headDim, eps, theta }) =>
    sameShape(x!, (out) =>
      kernels.headNormRope(device.read(x!), gamma, positions, heads, headDim, eps, theta, out),
    ),
  );
  register<CachedAttentionAttributes>(
    "VoxCachedAttention",
    ({ q, k, v }, { segments, layer, heads, scale, window }) =>
      sameShape(q!, (out) =>
        kernels.cachedAttention(
          device.read(q!),
          device.read(k!),
          device.read(v!),
          segments,
          layer,
          heads,
          scale,
          window,
          out,
        ),
      ),
  );
  const { fused } = device;
  if (fused !== undefined) {
    register<DecoderLayerAttributes>("VoxDecoderLayer", ({ x, normed }, attributes) => {
      const { layer, nextNorm, positions, segments, index } = attributes;
      const sum = device.allocate(x!.shape);
      const out = device.allocate(x!.shape);
      fused.decoderLayer(
        device.read(x!),
        device.read(normed!),
        layer,
        nextNorm,
        positions,
        segments,
        index,
        sum.data,
        out.data,
      );
      return [sum.tensor, out.tensor];
    });
    register<DecoderKeysAttributes>("VoxDecoderKeys", ({ normed }, { layer, positions, segments, index }) => {
      fused.decoderKeys(device.read(normed!), layer, positions, segments, index);
      return [];
    });
    register<DecoderStackAttributes>("VoxDecoderStack", ({ x }, { stack, positions, segments }) =>
      sameShape(x!, (out) => fused.decoderStack(device.read(x!), stack, positions, segments, out)),
    );
  }
  register<BlockAttentionAttributes>("VoxBlockAttention", ({ q, k, v }, { offsets, heads, headDim, scale }) =>
    sameShape(q!, (out) =>
      kernels.blockAttention(
        device.read(q!),
        device.read(k!),
        device.read(v!),
        offsets,
        heads,
        headDim,
        scale,
        out,
      ),
    ),
  );
  register("VoxAdd", ({ a, b }) =>
    sameShape(a!, (out) => kernels.add(device.read(a!), device.read(b!), out)),
  );
  register("VoxSiluMul", ({ gate, up }) =>
    sameShape(gate!, (out) => kernels.siluMul(device.read(gate!), device.read(up!), out)),
  );
  register("VoxGelu", ({ x }) => sameShape(x!, (out) => kernels.gelu(device.read(x!), out)));
  register<Conv2dAttributes>("VoxConv2d", ({ x }, { geometry, weight, bias, precision }) => {
    const { outHeight, outWidth } = convOutputSize(geometry);
    const { batch, outChannels, layout } = geometry;
    const shape =
      layout === "nhwc"
        ? [batch, outHeight, outWidth, outChannels]
        : [batch, outWidth, outChannels, outHeight];
    const { tensor, data } = device.allocate(shape);
    kernels.conv2d(device.read(x!), geometry, weight, bias, data, precision);
    return tensor;
  });
  register<CausalConvAttributes>("VoxCausalConv1d", ({ x, residual }, attributes) => {
    const { geometry, outChannels, weight, bias, history, precision } = attributes;
    const { tensor, data } = device.allocate([geometry.rows, outChannels]);
    const added = residual === undefined ? null : device.read(residual);
    kernels.causalConv1d(device.read(x!), geometry, weight, bias, history, added, data, precision);
    return tensor;
  });
  register<DepthwiseAttributes>("VoxDepthwiseCausalConv1d", ({ x }, { kernel, weight, bias, history }) =>
    sameShape(x!, (out) => {
      const [rows, channels] = x!.shape as [number, number];
      kernels.depthwiseCausalConv1d(device.read(x!), rows, channels, kernel, weight, bias, history, out);
    }),
  );
  register<SnakeAttributes>("VoxSnake", ({ x }, { alpha, inverseBeta }) =>
    sameShape(x!, (out) => kernels.snake(device.read(x!), alpha, inverseBeta, x!.shape.at(-1)!, out)),
  );
  register<AddScaledAttributes>("VoxAddScaled", ({ x, y }, { scale }) =>
    sameShape(x!, (out) => kernels.addScaled(device.read(x!), device.read(y!), scale, x!.shape.at(-1)!, out)),
  );
}
