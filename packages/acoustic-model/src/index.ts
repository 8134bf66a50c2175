export type {
  AudioChunk,
  BatchOptions,
  CreateVoiceOptions,
  SamplingSettings,
  Speaker,
  StopReason,
  SynthesisTimings,
  SynthesizedSentence,
  SynthesizedSpeech,
  SynthesizeOptions,
  SynthesizeProgress,
  TracedSynthesizeOptions,
  TtsModel,
  TtsModelInfo,
  TtsVariant,
  Voice,
} from "./tts-model.js";
export { readVoice, writeVoice } from "./qwen3-tts/voice-file.js";
export { Qwen3TtsModel, type Qwen3TtsParts } from "./qwen3-tts/model.js";
export type {
  GeneratedSpeech,
  GenerateSpeechOptions,
  SpeechRequest,
  SpeechTimings,
} from "./qwen3-tts/generate.js";
export { languagesOf, takesInstruct } from "./qwen3-tts/config.js";
export { qwen3TtsQuantizeProfile } from "./qwen3-tts/quantize-profile.js";
export { checkTtsModel, type TtsModelCheck } from "./check.js";
export { loadQwen3Tts, loadTtsModel, type LoadedQwen3Tts, type LoadTtsOptions } from "./load.js";
export { estimateTtsMemory } from "./memory.js";
export { openTtsModel, type OpenedTtsModel, type OpenTtsOptions } from "./open-model.js";
export { parseCodecConfig, type CodecConfig } from "./qwen3-tts/codec/config.js";
export { codecTensors, type CodecTensor } from "./qwen3-tts/codec/weights.js";
export { AgreementCount, type CodeAgreement } from "./validation/agreement.js";
export {
  AUDIO_METRICS,
  compareValidationRuns,
  type AudioMetric,
  type AudioMetrics,
  type SentenceComparison,
  type ValidationReport,
} from "./validation/compare.js";
export {
  speakForValidation,
  type ValidationOptions,
  type ValidationRun,
  type ValidationSpeech,
  type ValidationTimings,
} from "./validation/speak.js";
export { validationTexts } from "./validation/texts.js";
