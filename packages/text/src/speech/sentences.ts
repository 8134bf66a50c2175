import { isOpening } from "./context.js";
import { isSpeakable } from "./speakable.js";

export interface SplitOptions {
  /** Longest chunk in UTF-16 code units, at least 1; default 300. */
  readonly maxCharacters?: number;
  /** Most words between white space in a chunk, at least 1; default: no limit. */
  readonly maxWords?: number;
}

/** A piece to synthesize at once: `text` is characters `start`…`end` of the input. */
export interface SentenceChunk {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const DEFAULT_MAX_CHARACTERS = 300;

// Full stops and their kin: Latin and Cyrillic, Devanagari danda, Arabic, Urdu, Armenian, Ethiopic, Khmer, Burmese …
const STOPS = /[.!?…‽।॥؟۔։።፧៕။⁇⁈⁉]+/uy;
/** CJK marks end a sentence without a blank after them. */
const WIDE_STOPS = /[。！？｡．…]*[。！？｡．]+[。！？｡．…]*/uy;
const CLOSERS = /["'”’»)\]}」』】〉》）］]{0,8}/uy;
const PARAGRAPH = /[^\S\n]*\n\s*\n\s*|\s*\u2029\s*/uy;
const BLANKS = /\s+/uy;
const ANY_STOP = /[.!?…‽।॥؟۔։።፧៕။⁇⁈⁉。！？｡．\n\u2029]/gu;
const LAST_WORD = /(?:(?<![\p{L}\p{N}])\p{L}\.[ \u00a0]?)?[\p{L}\p{M}-]{1,20}$/u;
/** What goes on with the sentence after a mark: a small letter, also after a dash, or a mark inside it. */
const GOES_ON = /^(?:[-–—]\s{0,2})?[\p{Ll},;:)\]]/u;
const BRACKET_REACH = 200;

/** Abbreviations before a name: a capital letter after their dot starts no sentence. */
const BEFORE_NAME = new Set(
  "mr mrs ms dr prof st mt gen col capt lt sgt gov sen rep rev hon vs messrs mme mlle hr fr dott sig sra srta г ул просп пр пер пл наб бул обл о оз р д м им проф акад доц тов см ср гр e.g i.e т.е т.к т.н".split(
    " ",
  ),
);
/** Abbreviations before a number; also units with a smaller one after them: 5 руб. 20 коп. */
const BEFORE_NUMBER = new Set(
  "no nos nr fig vol ch sec p pp art apt approx ca jan feb mar apr jun jul aug sep sept oct nov dec ft lb lbs hr hrs рис табл гл п пп ст т д кв корп стр см тел вып ок руб долл тыс млн млрд ч час".split(
    " ",
  ),
);

/**
 * Cuts a text into sentences, and sentences over the limits at clause marks, else at white space, else anywhere between
 * characters. Abbreviations, initials, decimals, addresses, ellipses within a sentence, quotes and brackets keep a
 * sentence together; an empty line ends one. Nothing but white space between chunks is left out.
 * @throws RangeError for a limit below 1
 */
export function splitSentences(text: string, options: SplitOptions = {}): SentenceChunk[] {
  const maxCharacters = options.maxCharacters ?? DEFAULT_MAX_CHARACTERS;
  const maxWords = options.maxWords ?? Infinity;
  if (!(maxCharacters >= 1) || !(maxWords >= 1)) {
    throw new RangeError(
      `a chunk needs room: maxCharacters is ${maxCharacters} and maxWords ${maxWords}, expected at least 1`,
    );
  }
  const chunks: SentenceChunk[] = [];
  let start = 0;
  for (const end of [...sentenceEnds(text), text.length]) {
    for (const chunk of fit(text, start, end, maxCharacters, maxWords))
      addChunk(chunks, chunk, text, maxCharacters);
    start = end;
  }
  return chunks;
}

/** Marks alone, such as a line of dots, go with the chunk before them where there is room. */
function addChunk(chunks: SentenceChunk[], chunk: SentenceChunk, text: string, maxCharacters: number): void {
  const last = chunks.at(-1);
  if (last === undefined || chunk.end - last.start > maxCharacters || isSpeakable(chunk.text)) {
    chunks.push(chunk);
  } else {
    const words = text.slice(last.start, chunk.end);
    chunks[chunks.length - 1] = { text: words, start: last.start, end: chunk.end };
  }
}

function sentenceEnds(text: string): number[] {
  const ends: number[] = [];
  let sentence = 0;
  let brackets = new BracketDepth(text);
  ANY_STOP.lastIndex = 0;
  for (let found = ANY_STOP.exec(text); found !== null; found = ANY_STOP.exec(text)) {
    const end = endAt(text, found.index, sentence, brackets);
    ANY_STOP.lastIndex = Math.max(end.next, found.index + 1);
    if (!end.breaks) continue;
    ends.push(end.next);
    sentence = end.next;
    brackets = new BracketDepth(text, sentence);
  }
  return ends;
}

/** Whether a sentence ends with the mark at `index`, and where to go on. */
function endAt(
  text: string,
  index: number,
  sentence: number,
  brackets: BracketDepth,
): { breaks: boolean; next: number } {
  const paragraph = lengthAt(PARAGRAPH, text, index);
  if (paragraph > 0) return { breaks: true, next: index + paragraph };
  const wide = lengthAt(WIDE_STOPS, text, index);
  if (wide > 0) {
    const next = index + wide + lengthAt(CLOSERS, text, index + wide);
    return { breaks: !brackets.closesSoon(index, next), next };
  }
  const marks = lengthAt(STOPS, text, index);
  const after = index + marks + lengthAt(CLOSERS, text, index + marks);
  const blanks = lengthAt(BLANKS, text, after);
  const following = text.slice(after + blanks, after + blanks + 4);
  if (marks === 0 || blanks === 0 || following === "") return { breaks: false, next: after };
  const breaks =
    !GOES_ON.test(following) &&
    !(text[index] === "." && marks === 1 && isAbbreviation(text, index, sentence, following)) &&
    !brackets.closesSoon(index, after);
  return { breaks, next: after };
}

function lengthAt(pattern: RegExp, text: string, index: number): number {
  pattern.lastIndex = index;
  return pattern.exec(text)?.[0].length ?? 0;
}

function isAbbreviation(text: string, dot: number, sentence: number, following: string): boolean {
  const head = text.slice(Math.max(sentence, dot - 30), dot);
  if (/^\s*\d{1,3}$/u.test(head)) return true; // the number of a list's item
  const written = LAST_WORD.exec(head)?.[0];
  if (written === undefined) return false;
  if (isOpening(text, dot)) return true;
  const word = written.toLowerCase().replace(/[ \u00a0]/g, "");
  const afterNumber = /\d[ \u00a0]?$/u.test(head.slice(0, head.length - written.length));
  if (/^\p{Nd}/u.test(following)) return BEFORE_NUMBER.has(word) || BEFORE_NAME.has(word);
  if (word === "долл") return following.startsWith("США");
  if (afterNumber) return false; // это было в 1990 г. Потом …
  const initial = /^(?:\p{Lu}\.[ \u00a0]?)?\p{Lu}$/u.test(written) && written !== "I";
  return initial || BEFORE_NAME.has(word);
}

/** Counts brackets from a sentence's start, once. */
class BracketDepth {
  readonly #text: string;
  #index: number;
  #depth = 0;

  constructor(text: string, start = 0) {
    this.#text = text;
    this.#index = start;
  }

  /** True if a bracket is open at `index` and closed soon after `from`; one never closed holds nothing together. */
  closesSoon(index: number, from: number): boolean {
    for (; this.#index < index; this.#index++) {
      const character = this.#text[this.#index]!;
      if ("([（「『".includes(character)) this.#depth++;
      else if (")]）」』".includes(character)) this.#depth = Math.max(0, this.#depth - 1);
    }
    if (this.#depth === 0 || /[)\]）」』]/u.test(this.#text.slice(index, from))) return false;
    return /[)\]）」』]/u.test(this.#text.slice(from, from + BRACKET_REACH));
  }
}

const CLAUSE_MARK = /[,;:،；：，、—–]/u;
const WIDE_CLAUSE_MARK = /[；：，、]/u;
const SPACE = /\s/u;
/** Parts of one character as a reader sees it: marks, joiners, emoji modifiers, the second half of a pair. */
const CONTINUES = /^[\p{M}\u200d\ufe0f\udc00-\udfff]|^[\u{1f3fb}-\u{1f3ff}]/u;

/** The chunks of one sentence. */
function fit(
  text: string,
  start: number,
  end: number,
  maxCharacters: number,
  maxWords: number,
): SentenceChunk[] {
  const chunks: SentenceChunk[] = [];
  let from = skipSpace(text, start, end);
  const last = trimEnd(text, from, end);
  while (from < last) {
    const limit = reach(text, from, last, maxCharacters, maxWords);
    const cut = limit === last ? last : cutBefore(text, from, limit);
    const stop = trimEnd(text, from, cut);
    chunks.push({ text: text.slice(from, stop), start: from, end: stop });
    from = skipSpace(text, cut, last);
  }
  return chunks;
}

function skipSpace(text: string, from: number, end: number): number {
  while (from < end && SPACE.test(text[from]!)) from++;
  return from;
}

function trimEnd(text: string, from: number, end: number): number {
  while (end > from && SPACE.test(text[end - 1]!)) end--;
  return end;
}

/** How far a chunk from `from` can go within both limits. */
function reach(text: string, from: number, last: number, maxCharacters: number, maxWords: number): number {
  const limit = Math.min(last, from + maxCharacters);
  if (maxWords === Infinity) return limit;
  let words = 0;
  for (let i = from; i < limit; i++) {
    if (!SPACE.test(text[i]!) && (i === from || SPACE.test(text[i - 1]!)) && ++words > maxWords) return i;
  }
  return limit;
}

/** The last clause mark in the second half of the room, else the last space, else a border of characters. */
function cutBefore(text: string, from: number, limit: number): number {
  const half = from + (limit - from) / 2;
  for (let i = limit - 1; i >= half; i--) {
    if (WIDE_CLAUSE_MARK.test(text[i]!) || (CLAUSE_MARK.test(text[i]!) && SPACE.test(text[i + 1] ?? " "))) {
      return i + 1;
    }
  }
  for (let i = limit; i > from; i--) {
    if (SPACE.test(text[i]!)) return i;
  }
  let cut = limit;
  while (cut > from && CONTINUES.test(text.slice(cut, cut + 2))) cut--;
  return cut > from ? cut : surrogateEnd(text, limit);
}

/** A limit inside the only character there is room for: a pair is still not torn. */
function surrogateEnd(text: string, limit: number): number {
  return /^[\udc00-\udfff]/.test(text.slice(limit, limit + 1)) ? limit + 1 : limit;
}
