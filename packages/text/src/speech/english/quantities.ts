import {
  BLANK,
  COMMA_NUMBER,
  END,
  ownStop,
  parseNumber,
  wordAfter,
  wordBefore,
  type WrittenNumber,
} from "../context.js";
import { FRACTION_GLYPHS, FRACTIONS } from "../fractions.js";
import type { Rule } from "../scanner.js";
import { cardinal, digitByDigit, fractionWords, ordinal } from "./numerals.js";

const NUMBER = `(${COMMA_NUMBER})`;
const SCALE = `(?:${BLANK}?(thousand|million|billion|trillion|[KkMB]|bn|mn)${END})`;
const DASH = `${BLANK}?[–—-]${BLANK}?`;

const SCALES: Readonly<Record<string, string>> = {
  k: "thousand",
  K: "thousand",
  M: "million",
  mn: "million",
  B: "billion",
  bn: "billion",
};

type Unit = readonly [one: string, many: string];

function regular(one: string, tail = ""): Unit {
  return [one + tail, `${one}s${tail}`];
}

/** Units by the sign after a number; case counts. */
const UNITS: Readonly<Record<string, Unit>> = {
  "%": ["percent", "percent"],
  "°C": ["degree Celsius", "degrees Celsius"],
  "°F": ["degree Fahrenheit", "degrees Fahrenheit"],
  "°": ["degree", "degrees"],
  "km²": regular("square kilometer"),
  "m²": regular("square meter"),
  "m³": regular("cubic meter"),
  "km/h": regular("kilometer", " per hour"),
  kmh: regular("kilometer", " per hour"),
  kph: regular("kilometer", " per hour"),
  "m/s": regular("meter", " per second"),
  mph: regular("mile", " per hour"),
  km: regular("kilometer"),
  m: regular("meter"),
  cm: regular("centimeter"),
  mm: regular("millimeter"),
  nm: regular("nanometer"),
  mi: regular("mile"),
  yd: regular("yard"),
  ft: ["foot", "feet"],
  "sq ft": ["square foot", "square feet"],
  kg: regular("kilogram"),
  g: regular("gram"),
  mg: regular("milligram"),
  t: regular("ton"),
  lb: regular("pound"),
  lbs: regular("pound"),
  oz: regular("ounce"),
  l: regular("liter"),
  L: regular("liter"),
  ml: regular("milliliter"),
  mL: regular("milliliter"),
  gal: regular("gallon"),
  ha: regular("hectare"),
  h: regular("hour"),
  hr: regular("hour"),
  hrs: regular("hour"),
  min: regular("minute"),
  mins: regular("minute"),
  sec: regular("second"),
  secs: regular("second"),
  s: regular("second"),
  ms: regular("millisecond"),
  V: regular("volt"),
  kV: regular("kilovolt"),
  mA: regular("milliamp"),
  W: regular("watt"),
  kW: regular("kilowatt"),
  MW: regular("megawatt"),
  kWh: regular("kilowatt-hour"),
  Hz: ["hertz", "hertz"],
  kHz: ["kilohertz", "kilohertz"],
  MHz: ["megahertz", "megahertz"],
  GHz: ["gigahertz", "gigahertz"],
  dB: regular("decibel"),
  J: regular("joule"),
  kJ: regular("kilojoule"),
  Pa: regular("pascal"),
  kPa: regular("kilopascal"),
  kcal: regular("kilocalorie"),
  KB: regular("kilobyte"),
  kB: regular("kilobyte"),
  MB: regular("megabyte"),
  GB: regular("gigabyte"),
  TB: regular("terabyte"),
  Mbps: regular("megabit", " per second"),
  Gbps: regular("gigabit", " per second"),
  px: regular("pixel"),
};

/** Units that are also written with a dot, which ends no sentence where a smaller unit follows: 5 ft. 10 in. */
const DOTTED = new Set(["ft", "lb", "lbs", "hr", "hrs"]);

function stopAfter(match: RegExpExecArray, sign: string): string {
  const end = match.index + match[0].length;
  return DOTTED.has(sign) && /^[ \u00a0]\d/.test(match.input.slice(end, end + 2)) ? "" : ownStop(match);
}

interface Currency {
  readonly unit: Unit;
  readonly cents: Unit | null;
}

const DOLLAR: Currency = { unit: regular("dollar"), cents: regular("cent") };
const EURO: Currency = { unit: regular("euro"), cents: regular("cent") };
const POUND: Currency = { unit: regular("pound"), cents: ["penny", "pence"] };
const YEN: Currency = { unit: ["yen", "yen"], cents: null };
const ROUBLE: Currency = { unit: regular("ruble"), cents: regular("kopeck") };
const RUPEE: Currency = { unit: regular("rupee"), cents: ["paisa", "paise"] };
const CURRENCIES: Readonly<Record<string, Currency>> = {
  $: DOLLAR,
  US$: DOLLAR,
  USD: DOLLAR,
  "€": EURO,
  EUR: EURO,
  "£": POUND,
  GBP: POUND,
  "¥": YEN,
  JPY: YEN,
  "₽": ROUBLE,
  RUB: ROUBLE,
  "₹": RUPEE,
  INR: RUPEE,
  "¢": { unit: regular("cent"), cents: null },
};

function alternatives(table: Readonly<Record<string, unknown>>): string {
  return Object.keys(table)
    .sort((a, b) => b.length - a.length)
    .map((sign) => sign.replace(/\$/g, "\\$"))
    .join("|");
}
const UNIT = `(${alternatives(UNITS)})(?!['’]\\p{L})${END}`;
const SIGN = "([$€£¥₽₹])";

function englishNumber(written: string): WrittenNumber {
  return parseNumber(written, ",");
}

export function numberWords({ integer, fraction, padded, digits }: WrittenNumber): string {
  if (fraction !== "") return `${cardinal(integer)} point ${digitByDigit(fraction)}`;
  return padded ? digitByDigit(digits) : cardinal(integer);
}

function isOne(value: WrittenNumber): boolean {
  return value.integer === 1n && value.fraction === "";
}

function quantity(value: WrittenNumber, scale: string | undefined, unit: Unit): string {
  if (scale !== undefined) return `${numberWords(value)} ${SCALES[scale] ?? scale} ${unit[1]}`;
  return `${numberWords(value)} ${isOne(value) ? unit[0] : unit[1]}`;
}

/** $3.05 is three dollars and five cents, $1.5 million stays a decimal. */
function moneyWords(value: WrittenNumber, scale: string | undefined, { unit, cents }: Currency): string {
  if (scale !== undefined || cents === null || value.fraction.length !== 2) {
    return quantity(value, scale, unit);
  }
  const rest = Number(value.fraction);
  const whole = quantity({ ...value, fraction: "" }, undefined, unit);
  if (rest === 0) return whole;
  const small = `${cardinal(rest)} ${rest === 1 ? cents[0] : cents[1]}`;
  return value.integer === 0n ? small : `${whole} and ${small}`;
}

function isRange(from: WrittenNumber, to: WrittenNumber): boolean {
  const size = (value: WrittenNumber): number => Number(`${value.digits}.${value.fraction || "0"}`);
  return !from.padded && !to.padded && size(from) < size(to);
}

export const ENGLISH_PHONES: readonly Rule[] = [
  phone("symbol", /(\+\d{1,3})[ -]\(?(\d{3})\)?[ -]?(\d{3})[ -](\d{4})(?!\d)/uy),
  phone("symbol", /\((\d{3})\)[ -]?(\d{3})[ -](\d{4})(?!\d)/uy),
  phone("digit", /(?:(1)[ -])?\(?(\d{3})\)?[ -](\d{3})-(\d{4})(?!-?\d)/uy),
  {
    ...phone("digit", /(\d{3})-(\d{4})(?!-?\d)(?![.,]\d)(?![ \u00a0]?[%$€£])/uy),
    say(match) {
      const next = wordAfter(match.input, match.index + match[0].length);
      const counted = /^\p{Ll}/u.test(next) && !AFTER_PHONE.has(next);
      const numbered = /^(?:pages?|lines?|rooms?|items?|between|from|years?)$/.test(
        wordBefore(match.input, match.index),
      );
      return counted || numbered ? null : phoneWords(match);
    },
  },
];

const AFTER_PHONE = new Set("or and to for now today at is if when please from any with in".split(" "));

function phoneWords(match: RegExpExecArray): string {
  return match
    .slice(1)
    .filter((group: string | undefined) => group !== undefined)
    .map((group) => (group.startsWith("+") ? `plus ${digitByDigit(group.slice(1))}` : digitByDigit(group)))
    .join(", ");
}

function phone(starts: "digit" | "symbol", pattern: RegExp): Rule {
  return {
    kind: "phone",
    starts,
    pattern,
    say: phoneWords,
  };
}

export const ENGLISH_MONEY: readonly Rule[] = [
  {
    kind: "money",
    starts: "symbol",
    pattern: new RegExp(`${SIGN}${BLANK}?${NUMBER}${DASH}\\1?${NUMBER}${SCALE}?`, "uy"),
    say(match) {
      const [from, to] = [englishNumber(match[2]!), englishNumber(match[3]!)];
      if (!isRange(from, to)) return null;
      return `${numberWords(from)} to ${moneyWords(to, match[4], CURRENCIES[match[1]!]!)}`;
    },
  },
  {
    kind: "money",
    starts: "symbol",
    pattern: new RegExp(`${SIGN}${BLANK}?${NUMBER}${SCALE}?`, "uy"),
    say: (match) => moneyWords(englishNumber(match[2]!), match[3], CURRENCIES[match[1]!]!),
  },
  {
    kind: "money",
    starts: "letter",
    pattern: new RegExp(`US\\$${NUMBER}${SCALE}?`, "uy"),
    say: (match) => moneyWords(englishNumber(match[1]!), match[2], DOLLAR),
  },
  {
    kind: "money",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${SCALE}?${BLANK}?(${alternatives(CURRENCIES)})${END}`, "uy"),
    say: (match) => moneyWords(englishNumber(match[1]!), match[2], CURRENCIES[match[3]!]!),
  },
];

export const ENGLISH_UNITS: readonly Rule[] = [
  {
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${DASH}${NUMBER}${BLANK}{0,2}${UNIT}(\\.?)`, "uy"),
    say(match) {
      const [from, to] = [englishNumber(match[1]!), englishNumber(match[2]!)];
      if (!isRange(from, to)) return null;
      return `${numberWords(from)} to ${quantity(to, undefined, UNITS[match[3]!]!)}${stopAfter(match, match[3]!)}`;
    },
  },
  {
    kind: "unit",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}${BLANK}{0,2}${UNIT}(\\.?)`, "uy"),
    say(match) {
      const value = englishNumber(match[1]!);
      if (/\ds$/.test(match[0])) return `${numberWords(value).replace(/^one /, "")}s`; // 100s of people
      return quantity(value, undefined, UNITS[match[2]!]!) + stopAfter(match, match[2]!);
    },
  },
];

export const ENGLISH_FRACTIONS: readonly Rule[] = [
  {
    kind: "fraction",
    starts: "digit",
    pattern: new RegExp(`(?:(\\d{1,6})${BLANK}?)?([${FRACTION_GLYPHS}])`, "uy"),
    say(match) {
      const part = fractionWords(...FRACTIONS.get(match[2]!)!);
      if (match[1] === undefined) return part;
      return `${cardinal(BigInt(match[1]))} and ${part.replace(/^one (?=half|quarter)/, "a ")}`;
    },
  },
  {
    kind: "fraction",
    starts: "digit",
    pattern: new RegExp(`(?:(\\d{1,6})${BLANK})?(\\d{1,4})/(\\d{1,4})(?![/\\d])`, "uy"),
    say(match) {
      const [numerator, denominator] = [Number(match[2]), Number(match[3])];
      const whole = match[1] === undefined ? "" : `${cardinal(BigInt(match[1]))} `;
      if (numerator === 0 || numerator >= denominator || denominator > 100) {
        return `${whole}${cardinal(numerator)} slash ${cardinal(denominator)}`;
      }
      return `${whole === "" ? "" : `${whole}and `}${fractionWords(numerator, denominator)}`;
    },
  },
];

export const ENGLISH_NUMBERS: readonly Rule[] = [
  {
    kind: "ordinal",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,3}(?:,\\d{3}){1,5}|\\d{1,18})(?:st|nd|rd|th)${END}`, "uy"),
    say: (match) => ordinal(englishNumber(match[1]!).integer),
  },
  {
    kind: "range",
    starts: "digit",
    pattern: new RegExp(`${NUMBER}(${DASH})${NUMBER}(?![-–:/]\\d)`, "uy"),
    say(match) {
      const [from, to] = [englishNumber(match[1]!), englishNumber(match[3]!)];
      const end = match.index + match[0].length;
      const difference = /^.-/u.test(match[2]!) && /^\s{0,3}=/.test(match.input.slice(end, end + 4));
      return isRange(from, to) && !difference ? `${numberWords(from)} to ${numberWords(to)}` : null;
    },
  },
  {
    kind: "number",
    starts: "digit",
    pattern: new RegExp(NUMBER, "uy"),
    say: (match) => numberWords(englishNumber(match[0])),
  },
  {
    kind: "number",
    starts: "symbol",
    pattern: /(?<![\p{L}\p{N}])\.(\d{1,20})(?![.,]?\d)/uy,
    say: (match) => `point ${digitByDigit(match[1]!)}`,
  },
  {
    // longer than any amount: digits one by one
    kind: "number",
    starts: "digit",
    pattern: /[0-9]+/uy,
    say: (match) => digitByDigit(match[0]),
  },
];
