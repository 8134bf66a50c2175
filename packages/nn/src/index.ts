export { EventLoopBreak } from "./event-loop.js";
export {
  generateGreedy,
  type GenerateOptions,
  type GeneratedSequence,
  type GenerationSequence,
  type StopReason,
} from "./generate.js";
export { BlockSelfAttention, CachedSelfAttention, type CachedSelfAttentionConfig } from "./attention.js";
export { GeluMlp, SwigluMlp } from "./mlp.js";
export { LayerNorm, RmsNorm } from "./norms.js";
export { Qwen3Decoder, type Qwen3DecoderConfig } from "./qwen3-decoder.js";
export { sinusoidalPositions } from "./positions.js";
export { traceTensor, type TraceSink } from "./trace.js";
export { loadLinear, loadVector, type WeightSource } from "./weight-source.js";
