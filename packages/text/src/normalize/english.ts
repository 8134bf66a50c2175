import { splitWords } from "../whitespace.js";
import { removeBracketed, removeSymbolsAndDiacritics } from "./basic.js";
import { normalizeEnglishNumbers } from "./english-numbers.js";
import { AMERICAN_SPELLING } from "./english-spelling.js";

const WORD = "[\\p{L}\\p{N}_]";

/** Whole words, then endings; in this order, for later rules would eat earlier ones' input. */
const WHOLE_WORDS: Readonly<Record<string, string>> = {
  "won't": "will not",
  "can't": "can not",
  "let's": "let us",
  "ain't": "aint",
  "y'all": "you all",
  wanna: "want to",
  gotta: "got to",
  gonna: "going to",
  "i'ma": "i am going to",
  imma: "i am going to",
  woulda: "would have",
  coulda: "could have",
  shoulda: "should have",
  "ma'am": "madam",
  // a title's dot follows and becomes a space: a space here keeps "mr.smith" two words all the same
  mr: "mister ",
  mrs: "missus ",
  st: "saint ",
  dr: "doctor ",
  prof: "professor ",
  capt: "captain ",
  gov: "governor ",
  ald: "alderman ",
  gen: "general ",
  sen: "senator ",
  rep: "representative ",
  pres: "president ",
  rev: "reverend ",
  hon: "honorable ",
  asst: "assistant ",
  assoc: "associate ",
  lt: "lieutenant ",
  col: "colonel ",
  jr: "junior ",
  sr: "senior ",
  esq: "esquire ",
};
const ENDINGS: Readonly<Record<string, string>> = {
  "'d been": " had been",
  "'s been": " has been",
  "'d gone": " had gone",
  "'s gone": " has gone",
  "'d done": " had done",
  "'s got": " has got",
  "n't": " not",
  "'re": " are",
  "'s": " is",
  "'d": " would",
  "'ll": " will",
  "'t": " not",
  "'ve": " have",
  "'m": " am",
};
const FILLERS = wholeWord("hmm|mm|mhm|mmm|uh|um");
const EXPANSIONS: readonly (readonly [RegExp, string])[] = [
  ...Object.entries(WHOLE_WORDS).map(([word, text]) => [wholeWord(word), text] as const),
  ...Object.entries(ENDINGS).map(
    ([ending, text]) => [new RegExp(`${ending}(?!${WORD})`, "gu"), text] as const,
  ),
];

/**
 * Whisper's normalizer for English (`whisper/normalizers/english.py` of release
 * 20250625), the common ground of published word error rates:
 * lower case, remarks and fillers deleted, contractions and titles expanded, symbols and diacritics dropped, numbers to
 * digits, British to American spelling. A space may remain at either end.
 */
export function normalizeEnglish(text: string): string {
  let words = removeBracketed(text.toLowerCase()).replace(FILLERS, "").replace(/\s+'/g, "'");
  for (const [pattern, expansion] of EXPANSIONS) words = words.replace(pattern, expansion);
  words = words.replace(/(\d),(\d)/g, "$1$2").replace(/\.([^0-9]|$)/gu, " $1");
  words = normalizeEnglishNumbers(removeSymbolsAndDiacritics(words, ".%$¢€£"));
  return splitWords(words)
    .map((word) => AMERICAN_SPELLING.get(word) ?? word)
    .join(" ")
    .replace(/[.$¢€£]([^0-9])/gu, " $1") // signs that belong to no number
    .replace(/([^0-9])%/gu, "$1 ")
    .replace(/\s+/g, " ");
}

function wholeWord(pattern: string): RegExp {
  return new RegExp(`(?<!${WORD})(?:${pattern})(?!${WORD})`, "gu");
}
