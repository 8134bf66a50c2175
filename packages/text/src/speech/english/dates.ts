import { BLANK, END, wordAfter, wordBefore } from "../context.js";
import type { Rule } from "../scanner.js";
import { cardinal, decadeWords, ordinal, yearWords } from "./numerals.js";

/** Which of day and month comes first in a date in figures. */
export type DateOrder = "mdy" | "dmy";

const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const MONTH = `(${MONTHS.map((name) => (name.length > 4 ? `${name}|${name.slice(0, 3)}\\.?` : name)).join("|")}|Sept\\.?)`;
const ORDINAL = "(?:st|nd|rd|th)?";

function dateWords(month: number, day: number, year: number | null): string | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null;
  const words = `${MONTHS[month - 1]!} ${ordinal(day)}`;
  return year === null ? words : `${words}, ${yearWords(year)}`;
}

function monthNumber(name: string): number {
  return MONTHS.findIndex((month) => month.startsWith(name.slice(0, 3))) + 1;
}

const BEFORE_YEAR = new Set(
  "in since by from until till before after during of year circa around early late mid summer autumn fall winter spring between and to".split(
    " ",
  ),
);
const SURE_YEAR = new Set(["in", "since", "until", "till", "during", "year", "circa"]);
/** Words that do not make a year into a count of something. */
const AFTER_YEAR = new Set(
  "and or to the a an in on at by with for from when as but was is were are it he she they we i after before until while because which who that there our my his her their".split(
    " ",
  ),
);

export function englishDates(order: DateOrder): readonly Rule[] {
  return [
    {
      kind: "date",
      starts: "digit",
      pattern: /(\d{4})-(\d{2})-(\d{2})(?!-?\d)/uy,
      say: (match) => dateWords(Number(match[2]), Number(match[3]), Number(match[1])),
    },
    {
      kind: "date",
      starts: "digit",
      pattern: /(\d{1,2})([./])(\d{1,2})\2(\d{4})(?![./]?\d)/uy,
      say(match) {
        const [first, second, year] = [Number(match[1]), Number(match[3]), Number(match[4])];
        // a number above 12 is the day wherever it stands; points are European
        const monthFirst = second > 12 || (first <= 12 && order === "mdy" && match[2] === "/");
        return monthFirst ? dateWords(first, second, year) : dateWords(second, first, year);
      },
    },
    {
      kind: "date",
      starts: "letter",
      pattern: new RegExp(`${MONTH}${BLANK}(\\d{1,2})${BLANK}?[-–]${BLANK}?(\\d{1,2})${END}(?![-–/:])`, "uy"),
      say(match) {
        const [from, to] = [Number(match[2]), Number(match[3])];
        if (from < 1 || from >= to || to > 31) return null;
        return `${MONTHS[monthNumber(match[1]!) - 1]!} ${ordinal(from)} to ${ordinal(to)}`;
      },
    },
    {
      kind: "date",
      starts: "letter",
      pattern: new RegExp(
        `${MONTH}${BLANK}{1,2}(\\d{1,2})${ORDINAL}${END}(?:,?${BLANK}{1,2}(\\d{4})(?![.,:]?\\d))?`,
        "uy",
      ),
      say(match) {
        const year = match[3] === undefined ? null : Number(match[3]);
        return dateWords(monthNumber(match[1]!), Number(match[2]), year);
      },
    },
    {
      kind: "date",
      starts: "digit",
      pattern: new RegExp(
        `(\\d{1,2})${ORDINAL}${BLANK}(?:of${BLANK})?${MONTH}${END}(?:,?${BLANK}{1,2}(\\d{4})(?![.,:]?\\d))?`,
        "uy",
      ),
      say(match) {
        const month = monthNumber(match[2]!);
        const year = match[3] === undefined ? null : Number(match[3]);
        // "the 3rd of March" keeps its order
        if (wordBefore(match.input, match.index) !== "the") return dateWords(month, Number(match[1]), year);
        const day = Number(match[1]);
        if (day < 1 || day > 31) return null;
        const words = `${ordinal(day)} of ${MONTHS[month - 1]!}`;
        return year === null ? words : `${words}, ${yearWords(year)}`;
      },
    },
    {
      kind: "date",
      starts: "letter",
      pattern: new RegExp(`${MONTH}${BLANK}(\\d{4})(?![.,:]?\\d)`, "uy"),
      say: (match) => `${MONTHS[monthNumber(match[1]!) - 1]!} ${yearWords(Number(match[2]))}`,
    },
    {
      kind: "date",
      starts: "digit",
      pattern: new RegExp(`(\\d{0,3}0)['’]?s${END}`, "uy"),
      say(match) {
        const decade = Number(match[1]);
        return decade >= 1000 || (decade >= 20 && decade < 100) ? decadeWords(decade) : null;
      },
    },
    {
      kind: "date",
      starts: "digit",
      pattern: new RegExp(`(1\\d{3}|20\\d{2})[–-](1\\d{3}|20\\d{2})(?![-–]?\\d)`, "uy"),
      say(match) {
        const [from, to] = [Number(match[1]), Number(match[2])];
        const next = wordAfter(match.input, match.index + match[0].length);
        return from < to && from >= 1100 && !isCounted(next)
          ? `${yearWords(from)} to ${yearWords(to)}`
          : null;
      },
    },
    {
      kind: "date",
      starts: "digit",
      pattern: new RegExp(`(1[1-9]\\d{2}|20\\d{2})(?![.,:/-]?\\d)${END}(?!${BLANK}?[%°])`, "uy"),
      say(match) {
        const before = wordBefore(match.input, match.index);
        if (!BEFORE_YEAR.has(before)) return null;
        const next = wordAfter(match.input, match.index + match[0].length);
        if (SURE_YEAR.has(before) ? /s$/.test(next) && isCounted(next) : isCounted(next)) return null;
        return yearWords(Number(match[1]));
      },
    },
  ];
}

function isCounted(next: string): boolean {
  return next !== "" && !/^\p{Lu}/u.test(next) && !AFTER_YEAR.has(next);
}

/** Said after the minutes or instead of "o'clock", as written but without dots. */
const HALF_DAY = `(?:${BLANK}?([AaPp])\\.?([Mm])(?:\\.(?=${BLANK}?[\\p{Ll}\\d,;)])|${END}))`;

function halfDay(match: RegExpExecArray, first: number): string {
  return match[first] === undefined ? "" : ` ${match[first]}${match[first + 1]!}`;
}

export const ENGLISH_TIMES: readonly Rule[] = [
  {
    kind: "time",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2}):(\\d{2})(?::(\\d{2}))?(?![:\\d])${HALF_DAY}?`, "uy"),
    say(match) {
      const [hour, minute, second] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
      if (hour > 24 || minute > 59 || second > 59) return null;
      const half = halfDay(match, 4);
      const seconds = second === 0 ? "" : ` and ${cardinal(second)} second${second === 1 ? "" : "s"}`;
      if (minute > 0) {
        return `${cardinal(hour)} ${minute < 10 ? "oh " : ""}${cardinal(minute)}${seconds}${half}`;
      }
      if (half !== "") return `${cardinal(hour)}${seconds}${half}`;
      if (hour === 0 || hour === 24) return `midnight${seconds}`;
      return hour <= 12 ? `${cardinal(hour)} o'clock${seconds}` : `${cardinal(hour)} hundred${seconds}`;
    },
  },
  {
    kind: "time",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,2})${HALF_DAY}`, "uy"),
    say: (match) => (Number(match[1]) <= 12 ? `${cardinal(Number(match[1]))}${halfDay(match, 2)}` : null),
  },
];
