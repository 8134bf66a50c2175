export type {
  AudioChunk,
  BatchOptions,
  SamplingSettings,
  Speaker,
  StopReason,
  SynthesisTimings,
  SynthesizedSentence,
  SynthesizedSpeech,
  SynthesizeOptions,
  SynthesizeProgress,
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
