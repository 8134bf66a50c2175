import { BLANK, END, sentenceStop, wordAfter, wordBefore, type WrittenNumber } from "../context.js";
import type { Rule } from "../scanner.js";
import { FUNCTION_WORDS, governedCases } from "./agreement.js";
import { HOUR, MINUTE, quantity, SECOND, YEAR } from "./nouns.js";
import { ordinal, type Case } from "./numerals.js";

const MONTHS = [
  "января",
  "февраля",
  "марта",
  "апреля",
  "мая",
  "июня",
  "июля",
  "августа",
  "сентября",
  "октября",
  "ноября",
  "декабря",
];
const MONTH = `(${MONTHS.join("|")})`;
const YEAR_TAIL = `(?:${BLANK}{0,2}(?:года|год|г\\.|г)${END})?`;
const DASH = `${BLANK}?[-–—]${BLANK}?`;
/** A verb before a date asks for the genitive: родился пятого мая. */
const VERB = /(?:л|ла|ло|ли|лся|лась|лось|лись|тся|ться|ть|ут|ют|ат|ят|ет|ёт|ит|ем|им)$/u;

/** Case of a day: by the preposition, genitive after a verb, else nominative (пятое мая). */
function dayCase(text: string, index: number): Case {
  const cases = governedCases(text, index);
  if (cases === "ad" || cases === "ap" || cases === "ai") return "n"; // по пятое мая, на пятое мая
  if (cases !== "") return cases[0] as Case;
  const before = wordBefore(text, index);
  return before.length > 3 && VERB.test(before) ? "g" : "n";
}

function dateWords(match: RegExpExecArray, day: number, month: number, year: number | null): string | null {
  const kase = dayCase(match.input, match.index);
  if (day < 1 || day > 31 || month < 1 || month > 12) return null;
  const words = `${ordinal(day, kase, "n")} ${MONTHS[month - 1]!}`;
  return year === null ? words : `${words} ${ordinal(year, "g")} года${sentenceStop(match)}`;
}

/** Case of год from its written form and the preposition before the year. */
function yearCase(text: string, index: number, form: string): Case {
  const before = wordBefore(text, index);
  const cases = governedCases(text, index);
  switch (form) {
    case "год":
      return "n";
    case "года":
      return "g";
    case "годом":
      return "i";
    case "году":
      return cases.startsWith("d") || cases === "ad" ? "d" : "p";
    default: // г.
      if (cases === "ap") return "p";
      if (cases === "") return before === "" || FUNCTION_WORDS.has(before) ? "n" : "g"; // весной 1812 г.
      return cases[0] as Case;
  }
}

const YEARS_FORMS: Readonly<Record<string, Case>> = {
  годы: "n",
  годов: "g",
  годам: "d",
  годами: "i",
  годах: "p",
};

const DECADE_FORMS: Readonly<Record<string, Case>> = { е: "n", м: "d", ми: "i" };

/** With ordinals, where лет goes with cardinals. */
function yearsWord(kase: Case): string {
  return kase === "g" ? "годов" : YEAR.plural[kase];
}

function whole(n: string): WrittenNumber {
  return { integer: BigInt(n), fraction: "", padded: false, digits: n };
}

/** Zero minutes and seconds are not said, zero hours are. */
function clockWords(kase: Case, hour: string, minute: string, second: string | undefined): string | null {
  if (Number(hour) > 24 || Number(minute) > 59 || Number(second ?? 0) > 59) return null;
  const words = [quantity(whole(hour), kase, HOUR)];
  if (Number(minute) > 0 || Number(second ?? 0) > 0) words.push(quantity(whole(minute), kase, MINUTE));
  if (Number(second ?? 0) > 0) words.push(quantity(whole(second!), kase, SECOND));
  return words.join(" ");
}

export const RUSSIAN_DATES: readonly Rule[] = [
  {
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2})([./])(\\d{1,2})\\2(\\d{4})(?![./]?\\d)${YEAR_TAIL}`, "uy"),
    say: (match) => dateWords(match, Number(match[1]), Number(match[3]), Number(match[4])),
  },
  {
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{4})-(\\d{2})-(\\d{2})(?!-?\\d)${YEAR_TAIL}`, "uy"),
    say: (match) => dateWords(match, Number(match[3]), Number(match[2]), Number(match[1])),
  },
  {
    // с 1 по 9 мая; the preposition с stands before the match
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2})${BLANK}+по${BLANK}+(?=\\d{1,2}${BLANK}+${MONTH}${END})`, "uy"),
    say(match) {
      const day = Number(match[1]);
      return day >= 1 && day <= 31 ? `${ordinal(day, "g", "n")} по ` : null;
    },
  },
  {
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2})${DASH}(\\d{1,2})${BLANK}+${MONTH}${END}`, "uy"),
    say(match) {
      const [first, last] = [Number(match[1]), Number(match[2])];
      if (first < 1 || first >= last || last > 31) return null;
      const from = wordBefore(match.input, match.index) === "с" ? "" : "с ";
      return `${from}${ordinal(first, "g", "n")} по ${ordinal(last, "n", "n")} ${match[3]!}`;
    },
  },
  {
    kind: "date",
    starts: "digit",
    pattern: new RegExp(
      `(\\d{1,2})${BLANK}+${MONTH}${END}(?:${BLANK}+(\\d{4})(?![.,:]?\\d)${YEAR_TAIL})?`,
      "iuy",
    ),
    say(match) {
      const month = MONTHS.indexOf(match[2]!.toLowerCase()) + 1;
      const year = match[3] === undefined ? null : Number(match[3]);
      return dateWords(match, Number(match[1]), month, year);
    },
  },
  {
    // 1941–1945 гг.
    kind: "date",
    starts: "digit",
    pattern: new RegExp(
      `(\\d{4})${DASH}(\\d{4})(?:${BLANK}{0,2}(?:(гг\\.?|г\\.г\\.|годы|годов|годам|годами|годах)${END}|(?=[)\\],;])))`,
      "uy",
    ),
    say(match) {
      const [first, last] = [Number(match[1]), Number(match[2])];
      if (first >= last || first < 1000) return null;
      const cases = governedCases(match.input, match.index);
      const kase = YEARS_FORMS[match[3] ?? ""] ?? (cases === "ap" ? "p" : ((cases[0] ?? "n") as Case));
      const years = `${ordinal(first, kase)} — ${ordinal(last, kase)}`;
      if (match[3] === undefined) return years;
      return `${years} ${yearsWord(kase)}${sentenceStop(match)}`;
    },
  },
  {
    // в 1990-х гг.
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,3}0)-(е|х|м|ми)${BLANK}{0,2}гг\\.`, "uy"),
    say(match) {
      const [, decade = "", ending = ""] = match;
      const place = governedCases(match.input, match.index) === "ap";
      const kase = ending === "х" ? (place ? "p" : "g") : DECADE_FORMS[ending]!;
      return `${ordinal(Number(decade), kase, "pl")} ${yearsWord(kase)}${sentenceStop(match)}`;
    },
  },
  {
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,4})${BLANK}{0,2}(году|годом|года|год|г\\.)${END}`, "uy"),
    say(match) {
      const [, digits = "", form = ""] = match;
      const year = Number(digits);
      const kase = yearCase(match.input, match.index, form);
      // 21 год and 2 года are ages or spans, 4 г. is a mass
      const ordinalYear = year >= 1000 || (form === "году" && year >= 10) || (form === "г." && year >= 300);
      return ordinalYear ? `${ordinal(year, kase)} ${YEAR.singular[kase]}${sentenceStop(match)}` : null;
    },
  },
  {
    // в 1945, with nothing counted after it
    kind: "date",
    starts: "digit",
    pattern: new RegExp(`(1[1-9]\\d{2}|20\\d{2})(?![.,:/]?\\d)${END}(?!${BLANK}{0,2}[-–—%°$€₽])`, "uy"),
    say(match) {
      if (!/^во?$/u.test(wordBefore(match.input, match.index))) return null;
      const next = wordAfter(match.input, match.index + match[0].length).toLowerCase();
      return next === "" || FUNCTION_WORDS.has(next) ? ordinal(Number(match[1]), "p") : null;
    },
  },
];

export const RUSSIAN_TIMES: readonly Rule[] = [
  {
    kind: "time",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2}):(\\d{2})${DASH}(\\d{1,2}):(\\d{2})(?![:\\d])`, "uy"),
    say(match) {
      const from = clockWords("g", match[1]!, match[2]!, undefined);
      const to = clockWords("g", match[3]!, match[4]!, undefined);
      if (from === null || to === null) return null;
      return wordBefore(match.input, match.index) === "с" ? `${from} до ${to}` : `с ${from} до ${to}`;
    },
  },
  {
    kind: "time",
    starts: "digit",
    pattern: /(\d{1,2}):(\d{2})(?::(\d{2}))?(?![:\d])/uy,
    say(match) {
      const cases = governedCases(match.input, match.index);
      return clockWords((cases[0] ?? "n") as Case, match[1]!, match[2]!, match[3]);
    },
  },
];
