export type { AddedToken } from "./bpe/added-tokens.js";
export { ByteLevelBpe, type DecodeOptions, type StreamDecoder } from "./bpe/byte-level-bpe.js";
export type { BpeFiles } from "./bpe/files.js";
export { TokenizerError } from "./errors.js";
export { joinTexts } from "./join-texts.js";
export { normalizeBasic, type BasicNormalizerOptions } from "./normalize/basic.js";
export { normalizeEnglish } from "./normalize/english.js";
export { align, editDistance, type Alignment, type EditOp } from "./scoring/alignment.js";
export {
  scoreCorpus,
  scoreTranscript,
  type CorpusScore,
  type ScoreOptions,
  type TranscriptScore,
} from "./scoring/error-rates.js";
export { detectLanguage, type NormalizedLanguage } from "./speech/language.js";
export {
  normalizeForSpeech,
  type DictionaryEntry,
  type NormalizeOptions,
  type SpokenText,
} from "./speech/normalizer.js";
export { MAX_PAUSE_SECONDS, parsePauses, PauseMarkupError, type PausePart } from "./speech/pauses.js";
export type { RuleKind, SpokenSpan } from "./speech/scanner.js";
export { splitSentences, type SentenceChunk, type SplitOptions } from "./speech/sentences.js";
export { isSpeakable } from "./speech/speakable.js";
export {
  toCsv,
  toJsonSegments,
  toLrc,
  toSrt,
  toTxt,
  toVtt,
  type JsonSegment,
  type SpeakerOptions,
  type TextSegment,
} from "./subtitles.js";
export { collapseSpace, isBlank, splitLines, splitWords, stripSpace } from "./whitespace.js";
