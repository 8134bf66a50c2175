/** A language whose text is rewritten before it is spoken. */
export type NormalizedLanguage = "ru" | "en";

const NAMES: Readonly<Record<string, NormalizedLanguage>> = {
  ru: "ru",
  rus: "ru",
  russian: "ru",
  en: "en",
  eng: "en",
  english: "en",
};

/** The language of a code, BCP 47 tag or English name ("ru", "ru-RU", "Russian"), null for all but these two. */
export function normalizedLanguage(name: string): NormalizedLanguage | null {
  return NAMES[name.trim().toLowerCase().split(/[-_]/)[0]!] ?? null;
}

const WORD = /\p{L}[\p{L}\p{M}'’]*/gu;
const CYRILLIC = /^\p{Script=Cyrillic}/u;
const LATIN = /^\p{Script=Latin}/u;
const NOT_RUSSIAN = /[^а-яё\u0300\u0301\u0306\u0308'’]/iu; // ґ, ј, ў, ә …: another language in Cyrillic letters
const NOT_ENGLISH = /[^a-z\u0300\u0301'’éèêïöôç]/iu;

/** Frequent short words that tell the languages in Latin letters apart; those that two share are left out. */
const ENGLISH_WORDS = new Set(
  "the of and to is are was were be been with for from this that these those it you he she we they have has had not at by what which who will would can there".split(
    " ",
  ),
);
const OTHER_LATIN_WORDS = new Set(
  "der die das und ist nicht ein eine mit auf für ich sie wir le la les des est une dans pour avec que qui el los las en es por con una del il di che per non sono della um uma não com os as het een niet van och att det som jest nie się".split(
    " ",
  ),
);

/**
 * The language of a whole text: the script that most letters have, if the text looks like Russian or English in it.
 * Null for other languages and for a text without letters.
 */
export function detectLanguage(text: string): NormalizedLanguage | null {
  let [cyrillic, latin, other] = [0, 0, 0];
  let [foreignCyrillic, foreignLatin, english] = [0, 0, 0];
  for (const [word] of text.matchAll(WORD)) {
    if (CYRILLIC.test(word)) {
      cyrillic += word.length;
      if (NOT_RUSSIAN.test(word)) foreignCyrillic += word.length;
    } else if (LATIN.test(word)) {
      latin += word.length;
      const lower = word.toLowerCase();
      if (NOT_ENGLISH.test(word) || OTHER_LATIN_WORDS.has(lower)) foreignLatin += word.length;
      else if (ENGLISH_WORDS.has(lower)) english += word.length;
    } else {
      other += word.length;
    }
  }
  if (other * 2 > cyrillic + latin) return null; // an ideograph is a word
  if (cyrillic >= latin) return cyrillic > 0 && foreignCyrillic * 20 < cyrillic ? "ru" : null;
  return foreignLatin * 20 < latin || english > foreignLatin ? "en" : null;
}

const PHRASE_WORDS = 3;
const SMALL_WORD = /^\p{Ll}{2}/u; // a row of names has none
const LAST_MARK = /^.*[.,;:!?()"«»“”—\n]/su;

/** Characters from `start` up to the next run are read in `language`. */
export interface LanguageRun {
  readonly start: number;
  readonly language: NormalizedLanguage;
}

/**
 * Runs of one language in a text that is mainly in `base`. A few words of the other script are names and stay within the
 * run; a phrase of at least three in a row is read in its own language, with the numbers inside it. A number between two
 * runs goes with the words that follow it, unless a mark comes between.
 */
export function languageRuns(text: string, base: NormalizedLanguage): LanguageRun[] {
  const runs: LanguageRun[] = [{ start: 0, language: base }];
  const foreign = base === "ru" ? LATIN : CYRILLIC;
  const other: NormalizedLanguage = base === "ru" ? "en" : "ru";
  let phrase: { gap: number; start: number; end: number; words: string[] } | null = null;
  let lastEnd = 0;
  const close = (): void => {
    if (phrase === null) return;
    const { gap, start, end, words } = phrase;
    const small = words.filter((word) => SMALL_WORD.test(word)).length;
    if (words.length >= PHRASE_WORDS && small >= 2 && detectLanguage(words.join(" ")) === other) {
      const mark = LAST_MARK.exec(text.slice(gap, start))?.[0].length ?? 0;
      runs.push({ start: gap + mark, language: other }, { start: end, language: base });
    }
    phrase = null;
  };
  for (const match of text.matchAll(WORD)) {
    const end = match.index + match[0].length;
    if (foreign.test(match[0])) {
      phrase ??= { gap: lastEnd, start: match.index, end, words: [] };
      phrase.end = end;
      phrase.words.push(match[0]);
    } else {
      close();
    }
    lastEnd = end;
  }
  if (phrase !== null) phrase.end = text.length;
  close();
  return runs;
}
