export * from "./errors.js";
export * from "./weight.js";
export { isNode, nodeBuiltin } from "./platform.js";
export { Runtime, type KvCache, type StreamState, type Vector } from "./runtime.js";
export { Embedding, LinearLayer, QuantizedLinear, StandardLinear, forwardTogether } from "./linear.js";
export { addLayerNorm, addRmsNorm, layerNorm, rmsNorm } from "./ops/norm.js";
export { add, addScaled, gelu, siluMul, snake } from "./ops/elementwise.js";
export { causalConv1d, depthwiseCausalConv1d, type CausalConvOptions } from "./ops/causal-conv.js";
export {
  blockAttention,
  cachedAttention,
  headNormRope,
  type RopeOptions,
  type SequenceRows,
} from "./ops/attention.js";
export { FusedDecoderLayer, type DecoderLayerParts } from "./ops/decoder-layer.js";
export { FusedDecoderStack, type DecoderPass } from "./ops/decoder-stack.js";
export { conv2d, convOutputSize, type Conv2dOptions } from "./ops/conv2d.js";
export type { Activation, Device, Kernels, KvCacheShape, Precision } from "./ops/kernels.js";
export {
  BACKENDS,
  selectDevice,
  setThreads,
  type BackendName,
  type SelectedDevice,
} from "./backends/select.js";
export { describeBackend, type BackendDescription } from "./backends/describe.js";
export * from "./formats/index.js";
export * from "./quantize/index.js";
export { setWasmAssetPath } from "./backends/wasm/assets.js";
