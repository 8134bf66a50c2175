// Letters that carry a stroke or are ligatures: compatibility decomposition leaves them whole.
const PLAIN_LETTERS: Readonly<Record<string, string>> = {
  œ: "oe",
  Œ: "OE",
  ø: "o",
  Ø: "O",
  æ: "ae",
  Æ: "AE",
  ß: "ss",
  ẞ: "SS",
  đ: "d",
  Đ: "D",
  ð: "d",
  Ð: "D",
  þ: "th",
  Þ: "th",
  ł: "l",
  Ł: "L",
};
const REPLACED = new RegExp(`[\\p{M}\\p{S}\\p{P}${Object.keys(PLAIN_LETTERS).join("")}]`, "gu");
const NONSPACING_MARK = /\p{Mn}/u;

export interface BasicNormalizerOptions {
  /** Drop diacritics. Makes и of й and е of ё: not for Russian. Default false. */
  readonly removeDiacritics?: boolean;
  /** Put a space between characters (grapheme clusters), for languages written without spaces. Default false. */
  readonly splitLetters?: boolean;
}

/**
 * Whisper's normalizer for languages other than English (`whisper/normalizers/basic.py`): lower case, groups in brackets
 * deleted, marks, symbols and punctuation to spaces. A space may remain at either end.
 */
export function normalizeBasic(text: string, options: BasicNormalizerOptions = {}): string {
  const words = removeBracketed(text.toLowerCase());
  const clean =
    options.removeDiacritics === true ? removeSymbolsAndDiacritics(words, "") : removeSymbols(words);
  const lower = clean.toLowerCase();
  const letters = options.splitLetters === true ? graphemes(lower).join(" ") : lower;
  return letters.replace(/\s+/g, " ");
}

/** Deletes `<…>`, `[…]` and `(…)`: tags, noises and remarks of a transcript. */
export function removeBracketed(text: string): string {
  return text.replace(/[<[][^>\]]*[>\]]/g, "").replace(/\([^)]+?\)/g, "");
}

/** Symbols, punctuation and marks other than non-spacing ones to spaces, diacritics dropped; characters of `keep` stay. */
export function removeSymbolsAndDiacritics(text: string, keep: string): string {
  return text.normalize("NFKD").replace(REPLACED, (character) => {
    if (keep.includes(character)) return character;
    return PLAIN_LETTERS[character] ?? (NONSPACING_MARK.test(character) ? "" : " ");
  });
}

function removeSymbols(text: string): string {
  return text.normalize("NFKC").replace(/[\p{M}\p{S}\p{P}]/gu, " ");
}

function graphemes(text: string): string[] {
  return Array.from(
    new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text),
    (part) => part.segment,
  );
}
