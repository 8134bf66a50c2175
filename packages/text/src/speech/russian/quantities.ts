import {
  BLANK,
  END,
  parseNumber,
  ownStop,
  sentenceStop,
  SPACED_NUMBER,
  wordAfter,
  type WrittenNumber,
} from "../context.js";
import { FRACTION_GLYPHS, FRACTIONS } from "../fractions.js";
import type { Rule } from "../scanner.js";
import { governedCases, numberAgreement, quantityCase } from "./agreement.js";
import {
  analyse,
  counted,
  CURRENCIES,
  quantity,
  SCALES,
  scaledQuantity,
  SECOND,
  UNITS,
  type Currency,
  type Noun,
} from "./nouns.js";
import {
  cardinal,
  decimal,
  digitByDigit,
  digitGroup,
  fractionWords,
  pluralForm,
  type Case,
  type Gender,
} from "./numerals.js";

const NUMBER = `(${SPACED_NUMBER})`;
const SCALE = `(?:${BLANK}{0,2}(тыс|млн|млрд|трлн)${END}\\.?)`;
const DASH = `${BLANK}?[-–—−]${BLANK}?`;

function alternatives(table: Readonly<Record<string, unknown>>): string {
  const signs = Object.keys(table).sort((a, b) => b.length - a.length);
  return signs.map((sign) => sign.replace(/[$.]/g, "\\$&").replace(/ /g, `${BLANK}?`)).join("|");
}
/** Units with an optional dot. A letter may not follow, nor a hyphen with more of the word. */
const UNIT = `(${alternatives(UNITS)})${END}(?!-\\p{L})(\\.?)`;
const CURRENCY = `(${alternatives(CURRENCIES)})${END}(\\.?)`;
const SIGN = "([$€£¥₽₴₸])";

function russianNumber(written: string): WrittenNumber {
  return parseNumber(written, " ");
}

function unitNamed(sign: string): Noun {
  return (
    UNITS[sign] ?? UNITS[sign.replace(/[ \t\u00a0\u2009\u202f]/g, "")] ?? UNITS[sign.replace(/\.\s*/, ". ")]!
  );
}

/** 1502,50 руб. → рубли и копейки; other decimals stay a fraction of the unit. */
function moneyWords(value: WrittenNumber, kase: Case, currency: Currency): string {
  if (value.fraction.length !== 2 || currency.cents === null) return quantity(value, kase, currency.unit);
  const rest = BigInt(value.fraction);
  const main = `${cardinal(value.integer, kase, currency.unit.gender)} ${counted(value.integer, kase, currency.unit)}`;
  if (rest === 0n) return main;
  const cents = `${cardinal(rest, kase, currency.cents.gender)} ${counted(rest, kase, currency.cents)}`;
  return value.integer === 0n ? cents : `${main} ${cents}`;
}

function amountWords(value: WrittenNumber, kase: Case, scale: string | undefined, of: Currency): string {
  if (scale !== undefined) return scaledQuantity(value, kase, SCALES[scale]!, of.unit);
  return moneyWords(value, kase, of);
}

/** Signs that are written with a dot; after the others a dot ends the sentence. */
const DOTTED = new Set(
  "руб р коп долл цент тыс шт чел экз стр час ч мин сек сут дн нед мес гр л.с".split(" "),
);

function stopAfter(match: RegExpExecArray, sign: string): string {
  if (sign === "долл" && wordAfter(match.input, match.index + match[0].length) === "США") return "";
  return DOTTED.has(sign.replace(/\s/g, "")) ? sentenceStop(match) : ownStop(match);
}

export const RUSSIAN_MONEY: readonly Rule[] = [
  {
    kind: "money",
    starts: "symbol",
    pattern: new RegExp(`${SIGN}${BLANK}?${NUMBER}${SCALE}?`, "uy"),
    say(match) {
      const value = russianNumber(match[2]!);
      const kase = quantityCase(match.input, match.index, value.integer);
      return amountWords(value, kase, match[3], CURRENCIES[match[1]!]!);
    },
  },
  {
    kind: "money",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${DASH}${NUMBER}${SCALE}?${BLANK}{0,2}${CURRENCY}`, "uy"),
    say(match) {
      const [, from = "", to = "", scale, sign = ""] = match;
      const of = CURRENCIES[sign]!;
      if (sign === "р" && !isRouble(match)) return null;
      return rangeWords(
        match,
        russianNumber(from),
        russianNumber(to),
        stopAfter(match, sign),
        (value, kase) => amountWords(value, kase, scale, of),
      );
    },
  },
  {
    kind: "money",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${SCALE}?${BLANK}{0,2}${CURRENCY}`, "uy"),
    say(match) {
      const [, written = "", scale, sign = ""] = match;
      if (sign === "р" && !isRouble(match)) return null;
      const value = russianNumber(written);
      const kase = quantityCase(match.input, match.index, value.integer);
      return amountWords(value, kase, scale, CURRENCIES[sign]!) + stopAfter(match, sign);
    },
  },
];

/** р is a rouble right after the number, or with its dot where no part of the day follows (12 р. утра). */
function isRouble(match: RegExpExecArray): boolean {
  if (/\dр\.?$/u.test(match[0])) return true;
  const next = wordAfter(match.input, match.index + match[0].length);
  return match[0].endsWith(".") && !/^(?:утра|вечера|дня|ночи)$/u.test(next);
}

/** A range: от трёх до пяти дней, or after a preposition за три-пять дней. */
function rangeWords(
  match: RegExpExecArray,
  from: WrittenNumber,
  to: WrittenNumber,
  stop: string,
  last: (value: WrittenNumber, kase: Case) => string,
): string | null {
  if (!isRange(from, to)) return null;
  const cases = governedCases(match.input, match.index);
  if (cases === "") return `от ${plainWords(from, "g")} до ${last(to, "g")}${stop}`;
  const kase = cases[0] as Case;
  return `${plainWords(from, kase)}-${last(to, kase)}${stop}`;
}

function isRange(from: WrittenNumber, to: WrittenNumber): boolean {
  return !from.padded && !to.padded && Number(asText(from)) < Number(asText(to));
}

function asText(value: WrittenNumber): string {
  return value.fraction === "" ? value.digits : `${value.digits}.${value.fraction}`;
}

function plainWords(value: WrittenNumber, kase: Case, gender?: Gender): string {
  if (value.fraction !== "") return decimal(value.integer, value.fraction, kase);
  return cardinal(value.integer, kase, gender);
}

export const RUSSIAN_UNITS: readonly Rule[] = [
  {
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${DASH}${NUMBER}${SCALE}?${BLANK}{0,2}${UNIT}`, "uy"),
    say(match) {
      const [, from = "", to = "", scale, sign = ""] = match;
      const unit = unitNamed(sign);
      return rangeWords(
        match,
        russianNumber(from),
        russianNumber(to),
        stopAfter(match, sign),
        (value, kase) =>
          scale === undefined
            ? quantity(value, kase, unit)
            : scaledQuantity(value, kase, SCALES[scale]!, unit),
      );
    },
  },
  {
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${SCALE}?${BLANK}{0,2}${UNIT}`, "uy"),
    say(match) {
      const [, written = "", scale, sign = ""] = match;
      const value = russianNumber(written);
      const unit = unitNamed(sign);
      const kase = quantityCase(match.input, match.index, value.integer);
      const words =
        scale === undefined ? quantity(value, kase, unit) : scaledQuantity(value, kase, SCALES[scale]!, unit);
      return words + stopAfter(match, sign);
    },
  },
  {
    // с is a second where it cannot be a preposition
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${BLANK}?с(?=${BLANK}{0,2}(?:[.,;:)!?]|$))`, "uy"),
    say(match) {
      const value = russianNumber(match[1]!);
      return quantity(value, quantityCase(match.input, match.index, value.integer), SECOND);
    },
  },
  {
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${SCALE}`, "uy"),
    say(match) {
      const value = russianNumber(match[1]!);
      const kase = quantityCase(match.input, match.index, value.integer);
      return scaledQuantity(value, kase, SCALES[match[2]!]!, null) + stopAfter(match, match[2]!);
    },
  },
];

/** A house or document number follows: 5/7 is no fraction. */
const HOUSE = /(?:дом\p{L}{0,2}|д\.|корпус|корп\.|№|номер|\p{Lu}\p{Ll}{3,20},?)[ \u00a0]?$/u;

export const RUSSIAN_FRACTIONS: readonly Rule[] = [
  {
    kind: "fraction",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,6})?${BLANK}?([${FRACTION_GLYPHS}])`, "uy"),
    say(match) {
      const [numerator, denominator] = FRACTIONS.get(match[2]!)!;
      const part = fractionWords(numerator, denominator);
      if (match[1] === undefined) return part;
      const one = pluralForm(Number(match[1])) === "one";
      return `${cardinal(BigInt(match[1]), "n", "f")} ${one ? "целая" : "целых"} ${part}`;
    },
  },
  {
    kind: "fraction",
    starts: "digit",
    pattern: /(\d{1,4})\/(\d{1,4})(?![/\d])/uy,
    say(match) {
      const [numerator, denominator] = [Number(match[1]), Number(match[2])];
      const head = match.input.slice(Math.max(0, match.index - 24), match.index);
      if (numerator === 0 || numerator >= denominator || denominator > 100 || HOUSE.test(head)) {
        return `${digitGroup(match[1]!)} дробь ${digitGroup(match[2]!)}`;
      }
      const cases = governedCases(match.input, match.index);
      return fractionWords(numerator, denominator, (cases[0] ?? "n") as Case);
    },
  },
];

export const RUSSIAN_PHONES: readonly Rule[] = [
  phone(
    "symbol",
    new RegExp(
      `(\\+\\d{1,3})[ \\u00a0-]?\\(?(\\d{3})\\)?[ \\u00a0-]?(\\d{3})[ -]?(\\d{2})[ -]?(\\d{2})(?!\\d)`,
      "uy",
    ),
  ),
  phone("digit", /([78])[ \u00a0-]?\(?(\d{3})\)?[ \u00a0-](\d{3})[ -](\d{2})[ -]?(\d{2})(?!\d)/uy),
  phone("symbol", /\((\d{3,5})\)[ \u00a0-]?(\d{1,3})[ -](\d{2})[ -](\d{2})(?!\d)/uy),
  phone("digit", /(\d{3})-(\d{2})-(\d{2})(?![-\d])/uy),
];

function phone(starts: "digit" | "symbol", pattern: RegExp): Rule {
  return {
    kind: "phone",
    starts,
    pattern,
    say: (match) =>
      match
        .slice(1)
        .map((group) => (group.startsWith("+") ? `плюс ${digitGroup(group.slice(1))}` : digitGroup(group)))
        .join(" "),
  };
}

export const RUSSIAN_NUMBERS: readonly Rule[] = [
  {
    kind: "range",
    starts: "digit",
    pattern: new RegExp(
      `${NUMBER}(${DASH})${NUMBER}(?![-–:/]\\d)(?:(${BLANK}{0,2})(\\p{L}{1,30})${END})?`,
      "uy",
    ),
    say(match) {
      const [all, low = "", dash = "", high = "", gap = "", word = ""] = match;
      const [from, to] = [russianNumber(low), russianNumber(high)];
      const end = match.index + all.length;
      const difference = /^.[-−]/u.test(dash) && /^\s{0,3}=/.test(match.input.slice(end, end + 4));
      if (!isRange(from, to) || difference) return null;
      const noun = analyse(word)[0]?.noun;
      const cases = governedCases(match.input, match.index);
      if (cases === "" && (word === "" || noun !== undefined)) {
        const last = noun === undefined ? plainWords(to, "g") : quantity(to, "g", noun);
        return `от ${plainWords(from, "g", noun?.gender)} до ${last}`;
      }
      const { kase, gender } = numberAgreement(match.input, match.index, to.integer, word, "");
      // The noun after a range is not known here and stays as written: only after 5 and more is it a genitive plural.
      if (cases === "" && kase === "n" && pluralForm(to.integer) === "many") {
        return `от ${plainWords(from, "g")} до ${plainWords(to, "g")}${gap}${word}`;
      }
      return `${plainWords(from, kase, gender)}-${plainWords(to, kase, gender)}${gap}${word}`;
    },
  },
  {
    kind: "number",
    starts: "digit",
    pattern: new RegExp(NUMBER, "uy"),
    say(match) {
      const value = russianNumber(match[0]);
      const end = match.index + match[0].length;
      if (value.fraction !== "") {
        const cases = governedCases(match.input, match.index);
        return decimal(value.integer, value.fraction, (cases[0] ?? "n") as Case);
      }
      if (value.padded) return digitGroup(value.digits);
      const next = wordAfter(match.input, end);
      const afterNext =
        next === "" ? "" : wordAfter(match.input, match.input.indexOf(next, end) + next.length);
      const { kase, gender } = numberAgreement(match.input, match.index, value.integer, next, afterNext);
      return cardinal(value.integer, kase, gender);
    },
  },
  {
    // longer than any amount: digits one by one
    kind: "number",
    starts: "digit",
    pattern: /[0-9]+/uy,
    say: (match) => digitByDigit(match[0]),
  },
];
