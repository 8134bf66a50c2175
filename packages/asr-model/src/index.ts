export type {
  AsrModel,
  AudioInput,
  ForcedAligner,
  PartialTranscript,
  StreamedText,
  StreamOptions,
  TranscribeOptions,
  TranscribeProgress,
} from "./asr-model.js";
export type { StopReason, Timings, Transcript, TranscriptSegment, Word } from "./transcript.js";
export {
  loadAsrModel,
  loadForcedAligner,
  type AsrBackend,
  type LoadAlignerOptions,
  type LoadAsrOptions,
} from "./load.js";
export type { TraceSink } from "@voxquant/nn";
export { checkModel, type ModelCheck } from "./check.js";
export { estimateMemory, type MemoryEstimate } from "@voxquant/quant-core";
export { detectModelFamily, type ModelFamily } from "@voxquant/nn";
export { QWEN3_ASR_QUANTIZE_PROFILE, qwen3AsrQuantizeProfile } from "./qwen3-asr/quantize-profile.js";
export { collectImatrix, type CollectImatrixOptions } from "./qwen3-asr/imatrix.js";
export type { AlignerWordOptions, WordSegmenter } from "./qwen3-asr/aligner-text.js";
export { SUPPORTED_LANGUAGES } from "./qwen3-asr/languages.js";
