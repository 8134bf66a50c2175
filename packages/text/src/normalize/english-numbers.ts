import { splitWords } from "../whitespace.js";
import { NUMBER_PREFIXES, NUMBER_WORDS, type NumberWord } from "./number-words.js";

type NumericWord = Extract<NumberWord, { value: bigint }>;

const NUMERAL = /^\d+(?:\.\d+)?$/;
const WORD = "[\\p{L}\\p{N}_]"; // a word boundary beside a letter is `(?<!WORD)` or `(?!WORD)`
const AND_A_HALF = new RegExp(`(?<!${WORD})and\\s+a\\s+half(?!${WORD})`, "u");
const NUMERAL_SUFFIX = new RegExp(`([0-9])\\s+(st|nd|rd|th|s)(?!${WORD})`, "gu");
const CURRENCY_AND_CENTS = new RegExp(`([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})(?!${WORD})`, "gu");
const ONLY_CENTS = new RegExp(`[€£$]0.([0-9]{1,2})(?!${WORD})`, "gu");
const LONE_ONE = new RegExp(`(?<!${WORD})1(s?)(?!${WORD})`, "gu");

/**
 * Spelled-out English numbers to digits (the number part of Whisper's `whisper/normalizers/english.py`): successive
 * digits are joined (`one oh one` is 101), suffixes stay (`1960s`, `3rd`), currencies go first (`$205`), `1` alone is
 * written `one`. Expects lower case without punctuation other than `. % $ ¢ € £`.
 */
export function normalizeEnglishNumbers(text: string): string {
  const digits = new NumberReader(splitWords(spellHalves(text))).read().join(" ");
  return digits
    .replace(
      CURRENCY_AND_CENTS,
      (_, currency: string, whole: string, cents: string) => `${currency}${whole}.${cents.padStart(2, "0")}`,
    )
    .replace(ONLY_CENTS, (_, cents: string) => `¢${Number(cents)}`)
    .replace(LONE_ONE, "one$1");
}

function spellHalves(text: string): string {
  const parts = text.split(AND_A_HALF);
  const joined = parts.flatMap((part, i) => {
    const last = splitWords(part).at(-1);
    if (last === undefined) return [];
    if (i === parts.length - 1) return [part];
    const word = NUMBER_WORDS.get(last);
    const numeric = word !== undefined && (canFollowPoint(word) || isPlain(word, "multiplier"));
    return [part, numeric ? "point five" : "and a half"];
  });
  return joined
    .join(" ")
    .replace(/([a-z])([0-9])/g, "$1 $2")
    .replace(/([0-9])([a-z])/g, "$1 $2")
    .replace(NUMERAL_SUFFIX, "$1$2");
}

/** Reads words from left to right, gathering the number at hand until a word ends it. */
class NumberReader {
  readonly #words: readonly string[];
  readonly #out: string[] = [];
  /** The number at hand: a whole number that can still grow by arithmetic, or digits that only grow at the end. */
  #value: bigint | string | null = null;
  #prefix = "";

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  read(): string[] {
    for (let i = 0; i < this.#words.length; i++) {
      if (this.#consumesNext(i)) i++;
    }
    this.#endNumber();
    return this.#out;
  }

  /** Takes a word; true if it used the next one too. */
  #consumesNext(i: number): boolean {
    const current = this.#words[i]!;
    const prefixed = NUMBER_PREFIXES.has(current[0]!);
    const numeral = prefixed ? current.slice(1) : current;
    if (NUMERAL.test(numeral)) {
      this.#takeNumeral(current, numeral, prefixed);
      return false;
    }
    const word = NUMBER_WORDS.get(current);
    const previous = NUMBER_WORDS.get(this.#words[i - 1] ?? "");
    const next = NUMBER_WORDS.get(this.#words[i + 1] ?? "");
    const numberFollows = next !== undefined || NUMERAL.test(this.#words[i + 1] ?? "");
    switch (word?.kind) {
      case undefined:
        this.#endNumber();
        this.#emit(current);
        return false;
      case "zero":
        this.#value = this.#digits() + "0";
        return false;
      case "unit":
      case "ten":
        this.#takeSmall(word, previous);
        return false;
      case "multiplier":
        this.#takeMultiplier(word);
        return false;
      case "sign":
        this.#endNumber();
        if (numberFollows) this.#prefix = word.symbol;
        else this.#emit(current);
        return false;
      case "currency":
        if (this.#value === null) this.#emit(current);
        else {
          this.#prefix = word.symbol;
          this.#endNumber();
        }
        return false;
      case "percent":
        this.#emit(this.#value === null ? current : `${this.#value}%`);
        return false;
      case "per": {
        const percent = this.#value !== null && this.#words[i + 1] === "cent";
        if (percent) this.#emit(`${this.#value}%`);
        else this.#giveUp(current);
        return percent;
      }
      case "and": // left out of "two hundred and five"
        if (!numberFollows || !isPlain(previous, "multiplier")) this.#giveUp(current);
        return false;
      case "double":
      case "triple": {
        const digit = next?.kind === "zero" ? "0" : isPlain(next, "unit") ? String(next.value) : null;
        if (digit === null) this.#giveUp(current);
        else this.#value = this.#digits() + digit.repeat(word.kind === "double" ? 2 : 3);
        return digit !== null;
      }
      case "point":
        if (!numberFollows) this.#giveUp(current);
        else if (next === undefined || canFollowPoint(next)) this.#value = `${this.#digits()}.`;
        return false;
    }
  }

  #takeNumeral(current: string, numeral: string, prefixed: boolean): void {
    if (typeof this.#value === "string" && this.#value.endsWith(".")) {
      this.#value += current; // decimals, parts of an address
      return;
    }
    this.#endNumber();
    if (prefixed) this.#prefix = current[0]!;
    this.#value = times(numeral, 1n) ?? numeral;
  }

  /** one to nineteen and the tens, with their ordinals and plurals. */
  #takeSmall({ kind, value, suffix }: NumericWord, previous: NumberWord | undefined): void {
    const before = this.#value;
    const room = kind === "unit" && value < 10n ? 10n : 100n; // five fits into twenty, fifteen and twenty into hundred
    let number: bigint | string;
    if (before === null) number = value;
    else if (typeof before === "string" || (kind === "unit" && isPlain(previous, "unit"))) {
      const fills = typeof before === "string" && room === 10n && isPlain(previous, "ten");
      number = (fills ? before.slice(0, -1) : String(before)) + String(value);
    } else number = before % room === 0n ? before + value : `${before}${value}`;
    this.#continue(number, suffix);
  }

  #takeMultiplier({ value: multiplier, suffix }: NumericWord): void {
    const before = this.#value;
    let number = multiplier;
    if (typeof before === "string" || (before === 0n && suffix === "")) {
      const product = times(String(before), multiplier);
      if (product === null) this.#endNumber();
      else number = product;
    } else if (before !== null) {
      const residual = before % 1000n; // "one million two hundred thousand": the hundreds alone are multiplied
      number = before - residual + residual * multiplier;
    }
    this.#continue(number, suffix);
  }

  #continue(number: bigint | string, suffix: string): void {
    if (suffix === "") this.#value = number;
    else this.#emit(`${number}${suffix}`);
  }

  #digits(): string {
    return this.#value === null || this.#value === 0n ? "" : String(this.#value);
  }

  #giveUp(current: string): void {
    this.#endNumber();
    this.#emit(current);
  }

  #endNumber(): void {
    if (this.#value !== null) this.#emit(String(this.#value));
  }

  #emit(word: string): void {
    this.#out.push(this.#prefix + word);
    this.#prefix = "";
    this.#value = null;
  }
}

/** The product of decimal digits and a whole number, or null where it is not whole or the digits are no number. */
function times(digits: string, factor: bigint): bigint | null {
  const match = /^(\d*)(?:\.(\d*))?$/.exec(digits);
  if (match === null || !/\d/.test(digits)) return null;
  const decimals = match[2] ?? "";
  const scale = 10n ** BigInt(decimals.length);
  const product = BigInt(match[1]! + decimals) * factor;
  return product % scale === 0n ? product / scale : null;
}

/** A cardinal of a kind: no suffix. */
function isPlain(word: NumberWord | undefined, kind: NumericWord["kind"]): word is NumericWord {
  return word?.kind === kind && (word as NumericWord).suffix === "";
}

function canFollowPoint(word: NumberWord): boolean {
  return word.kind === "zero" || isPlain(word, "unit") || isPlain(word, "ten");
}
