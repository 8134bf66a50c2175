/** What a rule reads; the names by which a caller switches rules off. */
export type RuleKind =
  | "dictionary"
  | "protect"
  | "phone"
  | "date"
  | "time"
  | "money"
  | "unit"
  | "ordinal"
  | "roman"
  | "fraction"
  | "range"
  | "number"
  | "abbreviation"
  | "symbol";

/**
 * One kind of written thing and how it is read. `pattern` is sticky: the scanner tries it where a word, a number or a
 * symbol begins, first rule first. Every repetition in it must be bounded or take what it matches for good, so that a
 * text is read in time proportional to its length.
 */
export interface Rule {
  readonly kind: RuleKind;
  readonly starts: "digit" | "letter" | "symbol" | "any";
  /** The characters that `pattern` can begin with, where they are few: it is not tried at others. */
  readonly first?: string;
  readonly pattern: RegExp;
  /** The words to say for the whole match, "" or " " to leave it out, null where it is something else after all. */
  say(match: RegExpExecArray): string | null;
}

/** Characters `start`…`end` of the original are said as characters `spokenStart`…`spokenEnd` of the result. */
export interface SpokenSpan {
  readonly start: number;
  readonly end: number;
  readonly spokenStart: number;
  readonly spokenEnd: number;
}

export interface Scanned {
  readonly text: string;
  /** The changed stretches in order; what is between two of them is the same in both texts. */
  readonly spans: readonly SpokenSpan[];
}

const DIGITS = /[0-9]+|\p{N}/uy;
const LETTERS = /\p{L}[\p{L}\p{M}]*/uy;
const SPACES = /\s+/uy;
const ALPHANUMERIC_END = /[\p{L}\p{N}]$/u;
const ALPHANUMERIC_START = /^[\p{L}\p{N}]/u;

/** Rules by what begins with which character. */
export class RuleIndex {
  readonly #general: Readonly<Record<string, readonly Rule[]>>;
  readonly #byFirst = new Map<string, readonly Rule[]>();

  constructor(rules: readonly Rule[]) {
    const select = (starts: string, character: string): readonly Rule[] =>
      rules.filter(
        (rule) =>
          (rule.starts === starts || rule.starts === "any") && (rule.first?.includes(character) ?? true),
      );
    this.#general = {
      digit: select("digit", "\0"),
      letter: select("letter", "\0"),
      symbol: select("symbol", "\0"),
    };
    for (const { first, starts } of rules) {
      for (const character of first ?? "") this.#byFirst.set(character, select(starts, character));
    }
  }

  at(character: string, starts: "digit" | "letter" | "symbol"): readonly Rule[] {
    return this.#byFirst.get(character) ?? this.#general[starts]!;
  }
}

/** Reads a text from left to right, once: what a rule has said is never read again. */
export function scan(text: string, rulesAt: (index: number) => RuleIndex): Scanned {
  const out = new SpokenBuilder(text);
  let index = 0;
  while (index < text.length) {
    const spaces = matchAt(SPACES, text, index);
    if (spaces !== null) {
      out.space(index, (index += spaces.length));
      continue;
    }
    const digits = matchAt(DIGITS, text, index);
    const letters = digits === null ? matchAt(LETTERS, text, index) : null;
    const starts = digits !== null ? "digit" : letters !== null ? "letter" : "symbol";
    let end = -1;
    for (const rule of rulesAt(index).at(text[index]!, starts)) {
      rule.pattern.lastIndex = index;
      const match = rule.pattern.exec(text);
      const words = match === null ? null : rule.say(match);
      if (words === null || match![0] === "") continue;
      end = index + match![0].length;
      if (words === " ") out.space(index, end);
      else out.say(index, end, words);
      break;
    }
    if (end < 0) {
      end = index + (digits ?? letters ?? String.fromCodePoint(text.codePointAt(index)!)).length;
      out.keep(index, end);
    }
    index = end;
  }
  return out.finish();
}

export function matchAt(pattern: RegExp, text: string, index: number): string | null {
  pattern.lastIndex = index;
  return pattern.exec(text)?.[0] ?? null;
}

class SpokenBuilder {
  readonly #source: string;
  readonly #parts: string[] = [];
  readonly #spans: SpokenSpan[] = [];
  #length = 0;
  #last = ""; // the last part that is not empty
  #spoken = false; // whether a rule made it
  #pendingSpace: { start: number; end: number } | null = null;

  constructor(source: string) {
    this.#source = source;
  }

  /** White space is held back until something follows, so that none is doubled or left at the ends. */
  space(start: number, end: number): void {
    this.#pendingSpace = { start: this.#pendingSpace?.start ?? start, end };
  }

  keep(start: number, end: number): void {
    this.#append(start, end, this.#source.slice(start, end), false);
  }

  say(start: number, end: number, words: string): void {
    if (words === "") {
      const pending = this.#pendingSpace;
      if (pending !== null) this.#pendingSpace = { start: pending.start, end };
      else this.#push(start, end, "");
      return;
    }
    const same = words === this.#source.slice(start, end);
    this.#append(start, end, words, !same);
  }

  #append(start: number, end: number, words: string, spoken: boolean): void {
    const pending = this.#pendingSpace;
    this.#pendingSpace = null;
    if (pending !== null) this.#push(pending.start, pending.end, this.#length === 0 ? "" : " ");
    else if (
      (spoken || this.#spoken) &&
      ALPHANUMERIC_END.test(this.#last) &&
      ALPHANUMERIC_START.test(words)
    ) {
      words = ` ${words}`; // "A4" is read as two words
    }
    this.#push(start, end, words);
    this.#last = words;
    this.#spoken = spoken;
  }

  #push(start: number, end: number, words: string): void {
    const spokenStart = this.#length;
    this.#parts.push(words);
    this.#length += words.length;
    if (words !== this.#source.slice(start, end)) {
      this.#spans.push({ start, end, spokenStart, spokenEnd: this.#length });
    }
    if (words !== "") {
      this.#last = words;
      this.#spoken = false;
    }
  }

  finish(): Scanned {
    const pending = this.#pendingSpace;
    if (pending !== null) this.#push(pending.start, pending.end, "");
    return { text: this.#parts.join(""), spans: this.#spans };
  }
}
