/**
 * Kernels on a memory that belongs to another module (TensorFlow.js' WASM backend): every argument that names data is
 * a byte address in it. The module has no data, heap or state of its own; scratch space is given by the caller.
 * Matrices are row-major and dense float32 unless said otherwise; `dtype` is a ggml type id.
 */
export { quantizeActivations } from "./activations";
export { attentionScratch, causalAttention, dropCached, fullAttention, writeCache } from "./attention";
export { addScaled, depthwise, gatherTaps, snake } from "./signal";
export { channelsBeforeHeight, gatherPatches } from "./convolution";
export { DEQUANTIZE_SCRATCH, dequantize } from "./dequantize";
export { add, argmaxRows, gelu, silu, siluMultiply } from "./elementwise";
export { FEW_ROWS, fewRowsScratch, linearFewFloat, linearFewInt } from "./few-rows";
export { linearManyFloat, linearManyInt, manyRowsScratch } from "./many-rows";
export { headNormRope, layerNorm, rmsNorm } from "./norms";
export { fillHalfTable } from "./vector";
