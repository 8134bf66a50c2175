export { AsyncQueue } from "./async-queue.js";
export { CheckpointWeights } from "./checkpoint-weights.js";
export { DecoderStack, type DecoderStackConfig } from "./decoder-stack.js";
export { EventLoopBreak } from "./event-loop.js";
export { LinkedAbort } from "./linked-abort.js";
export {
  decodeGroups,
  generateGreedy,
  prefillGroups,
  type GenerateOptions,
  type GeneratedSequence,
  type GenerationSequence,
  type StopReason,
} from "./generate.js";
export { BlockSelfAttention, CachedSelfAttention, type CachedSelfAttentionConfig } from "./attention.js";
export { GeluMlp, SwigluMlp } from "./mlp.js";
export { LayerNorm, RmsNorm } from "./norms.js";
export { PromptCache } from "./prompt-cache.js";
export { Qwen3Decoder, type Qwen3DecoderConfig } from "./qwen3-decoder.js";
export { sinusoidalPositions } from "./positions.js";
export { RandomStream } from "./random.js";
export {
  argmax,
  checkSampling,
  penalizeRepetition,
  Sampler,
  softmax,
  suppress,
  type SamplingOptions,
} from "./sampling.js";
export { traceTensor, within, type TraceSink } from "./trace.js";
export { loadLinear, loadVector, type WeightSource } from "./weight-source.js";
export {
  detectModelFamily,
  familyOfArchitecture,
  familyOfCheckpoint,
  familyOfTensors,
  refuseOtherFamily,
  requireConfig,
  requireFamily,
  type ExpectedFamily,
  type ModelFamily,
} from "./model-family.js";
