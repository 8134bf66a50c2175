import { byteLevelVocabulary, type AddedToken, type VocabularyFiles } from "@voxquant/cli-core";

/** Ids of the published vocabulary (tokenizer_config.json of Qwen3-ASR). */
export const SYNTHETIC_TOKENS = {
  endOfText: 151643,
  turnStart: 151644,
  turnEnd: 151645,
  audioStart: 151669,
  audioEnd: 151670,
  audioPad: 151676,
  answer: 151704,
} as const;

const ADDED: readonly AddedToken[] = [
  { id: SYNTHETIC_TOKENS.endOfText, content: "<|endoftext|>", special: true },
  { id: SYNTHETIC_TOKENS.turnStart, content: "<|im_start|>", special: true },
  { id: SYNTHETIC_TOKENS.turnEnd, content: "<|im_end|>", special: true },
  { id: SYNTHETIC_TOKENS.audioStart, content: "<|audio_start|>", special: true },
  { id: SYNTHETIC_TOKENS.audioEnd, content: "<|audio_end|>", special: true },
  { id: SYNTHETIC_TOKENS.audioPad, content: "<|audio_pad|>", special: true },
  { id: SYNTHETIC_TOKENS.answer, content: "<asr_text>", special: false },
];

/** Words of the chat template, which are one token each in the published vocabulary. */
const TEMPLATE_WORDS = ["system", "user", "assistant"];

/** The files of a vocabulary as large as the published one. */
export function syntheticVocabulary(): VocabularyFiles {
  return byteLevelVocabulary({ size: SYNTHETIC_TOKENS.endOfText, words: TEMPLATE_WORDS, added: ADDED });
}
