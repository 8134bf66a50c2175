/** A token beside the byte-level ones. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface VocabularyOptions {
  /** Byte-level tokens; added ones come after them. */
  readonly size: number;
  /** Words that are one token each, such as those of a chat template. */
  readonly words: readonly string[];
  readonly added: readonly AddedToken[];
}

/** Contents of a tokenizer's files in a model folder. */
export interface VocabularyFiles {
  readonly vocabJson: string;
  readonly mergesTxt: string;
  readonly tokenizerConfigJson: string;
}

/**
 * The files of a byte-level vocabulary as large as a published one, so that loading it takes as long. A digit is always a
 * token of its own (Qwen2's pre-tokenizer), so text of n digits has n tokens.
 */
export function byteLevelVocabulary({ size, words, added }: VocabularyOptions): VocabularyFiles {
  const tokens = byteAlphabet();
  const known = new Set(tokens);
  const merges: string[] = [];
  const merge = (left: string, right: string): void => {
    if (known.has(left + right)) return;
    known.add(left + right);
    tokens.push(left + right);
    merges.push(`${left} ${right}`);
  };
  for (const word of words) {
    for (let end = 1; end < word.length; end++) merge(word.slice(0, end), word[end]!);
  }
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  const starts = [...letters];
  for (let at = 0; tokens.length < size; at++) {
    for (const letter of letters) {
      if (tokens.length === size) break;
      merge(starts[at]!, letter);
      starts.push(starts[at]! + letter);
    }
  }
  const addedTokens = added.map(({ id, content, special }) => [
    id,
    { content, special, lstrip: false, rstrip: false, normalized: false, single_word: false },
  ]);
  return {
    vocabJson: JSON.stringify(Object.fromEntries(tokens.map((token, id) => [token, id]))),
    mergesTxt: `${merges.join("\n")}\n`,
    tokenizerConfigJson: JSON.stringify({ added_tokens_decoder: Object.fromEntries(addedTokens) }),
  };
}

/** A printable character for each byte, as GPT-2's byte-level BPE has them. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}
