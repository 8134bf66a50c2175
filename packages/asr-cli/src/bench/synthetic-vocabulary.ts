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

const ADDED: readonly (readonly [number, string, boolean])[] = [
  [SYNTHETIC_TOKENS.endOfText, "<|endoftext|>", true],
  [SYNTHETIC_TOKENS.turnStart, "<|im_start|>", true],
  [SYNTHETIC_TOKENS.turnEnd, "<|im_end|>", true],
  [SYNTHETIC_TOKENS.audioStart, "<|audio_start|>", true],
  [SYNTHETIC_TOKENS.audioEnd, "<|audio_end|>", true],
  [SYNTHETIC_TOKENS.audioPad, "<|audio_pad|>", true],
  [SYNTHETIC_TOKENS.answer, "<asr_text>", false],
];

/** Words of the chat template, which are one token each in the published vocabulary. */
const TEMPLATE_WORDS = ["system", "user", "assistant"];

/**
 * The files of a byte-level vocabulary as large as the published one, so that loading it takes as long. A digit is
 * always a token of its own (Qwen2's pre-tokenizer), so text of n digits has n tokens.
 */
export function syntheticVocabulary(): { vocabJson: string; mergesTxt: string; tokenizerConfigJson: string } {
  const tokens = byteAlphabet();
  const known = new Set(tokens);
  const merges: string[] = [];
  const merge = (left: string, right: string): void => {
    if (known.has(left + right)) return;
    known.add(left + right);
    tokens.push(left + right);
    merges.push(`${left} ${right}`);
  };
  for (const word of TEMPLATE_WORDS) {
    for (let end = 1; end < word.length; end++) merge(word.slice(0, end), word[end]!);
  }
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  const starts = [...letters];
  for (let at = 0; tokens.length < SYNTHETIC_TOKENS.endOfText; at++) {
    for (const letter of letters) {
      if (tokens.length === SYNTHETIC_TOKENS.endOfText) break;
      merge(starts[at]!, letter);
      starts.push(starts[at]! + letter);
    }
  }
  const added = ADDED.map(([id, content, special]) => [
    id,
    { content, special, lstrip: false, rstrip: false, normalized: false, single_word: false },
  ]);
  return {
    vocabJson: JSON.stringify(Object.fromEntries(tokens.map((token, id) => [token, id]))),
    mergesTxt: `${merges.join("\n")}\n`,
    tokenizerConfigJson: JSON.stringify({ added_tokens_decoder: Object.fromEntries(added) }),
  };
}

/** A printable character for each byte, as GPT-2's byte-level BPE has them. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}
