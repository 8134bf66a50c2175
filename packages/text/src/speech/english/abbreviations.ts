import { BLANK, END, sentenceStop, wordBefore } from "../context.js";
import { parseRoman } from "../roman.js";
import type { Rule } from "../scanner.js";
import { cardinal, ordinal } from "./numerals.js";

/** Titles before a name: the dot never ends a sentence. */
const TITLES: Readonly<Record<string, string>> = {
  Mr: "Mister",
  Mrs: "Missus",
  Ms: "Miz",
  Dr: "Doctor",
  Prof: "Professor",
  St: "Saint",
  Mt: "Mount",
  Ft: "Fort",
  Gen: "General",
  Col: "Colonel",
  Capt: "Captain",
  Lt: "Lieutenant",
  Sgt: "Sergeant",
  Gov: "Governor",
  Sen: "Senator",
  Rep: "Representative",
  Rev: "Reverend",
  Hon: "Honorable",
};

/** After a name: streets and kinds of company. */
const AFTER_NAME: Readonly<Record<string, string>> = {
  St: "Street",
  Ave: "Avenue",
  Blvd: "Boulevard",
  Rd: "Road",
  Ln: "Lane",
  Dr: "Drive",
  Sq: "Square",
  Jr: "Junior",
  Sr: "Senior",
  Inc: "Incorporated",
  Ltd: "Limited",
  Corp: "Corporation",
  Co: "Company",
};

const BEFORE_DIGIT: Readonly<Record<string, string>> = {
  No: "Number",
  no: "number",
  Nos: "Numbers",
  Apt: "Apartment",
  Fig: "Figure",
  fig: "figure",
  Vol: "Volume",
  vol: "volume",
  Ch: "Chapter",
  Sec: "Section",
  p: "page",
  pp: "pages",
};

const FIXED: Readonly<Record<string, string>> = {
  "vs.": "versus",
  "etc.": "et cetera",
  "e.g.": "for example",
  "i.e.": "that is",
  "approx.": "approximately",
  "dept.": "department",
  "est.": "established",
  "a.k.a.": "also known as",
};

function names(table: Readonly<Record<string, string>>): string {
  return Object.keys(table)
    .sort((a, b) => b.length - a.length)
    .join("|")
    .replace(/\./g, "\\.");
}

const NUMBERED = new Set(
  "chapter part section volume book act scene phase type war title article appendix level class stage vol no mark final".split(
    " ",
  ),
);
const RULERS = new Set(
  "henry elizabeth george charles edward william james louis richard philip john paul benedict pius nicholas peter catherine alexander francis leo mary napoleon frederick gregory clement innocent ivan harald olaf christian gustav victor".split(
    " ",
  ),
);

const HOUSE_AND_STREET = /\d\p{L}{0,2} (?:\p{Lu}[\p{L}'’-]{1,20} ){1,2}$/u;

export const ENGLISH_ABBREVIATIONS: readonly Rule[] = [
  {
    kind: "abbreviation",
    starts: "letter",
    pattern: new RegExp(`(${names(AFTER_NAME)})\\.`, "uy"),
    say(match) {
      const name = /(?:^|[ \u00a0])[\p{Lu}\d][\p{L}\d'’-]{0,30},?[ \u00a0]$/u;
      const before = match.input.slice(Math.max(0, match.index - 36), match.index);
      const wordNext = new RegExp(`^${BLANK}{0,2}\\p{Lu}`, "u").test(
        match.input.slice(match.index + match[0].length),
      );
      const isTitle = (match[1] ?? "") in TITLES;
      // "St. Ives" and "Dr. Lee" are read below; "5 Main St." is a street
      if (!name.test(before) || (wordNext && isTitle && !HOUSE_AND_STREET.test(before))) return null;
      return AFTER_NAME[match[1]!]! + sentenceStop(match);
    },
  },
  {
    kind: "abbreviation",
    starts: "letter",
    pattern: new RegExp(`(${names(TITLES)})(?:\\.(?=${BLANK}{0,2}\\p{Lu})|(?=${BLANK}\\p{Lu}))`, "uy"),
    // without its dot only a title that is nothing else
    say: (match) =>
      match[0].includes(".") || /^(?:Mr|Mrs|Ms|Dr|Prof)$/.test(match[1]!) ? TITLES[match[1]!]! : null,
  },
  {
    kind: "abbreviation",
    starts: "letter",
    pattern: new RegExp(`(${names(BEFORE_DIGIT)})\\.(?=${BLANK}{0,2}\\d)`, "uy"),
    say: (match) => BEFORE_DIGIT[match[1]!]!,
  },
  {
    kind: "abbreviation",
    starts: "letter",
    pattern: new RegExp(`(${names(FIXED)})(?!\\p{L})`, "iuy"),
    say: (match) => FIXED[match[1]!.toLowerCase()]! + (/^etc/i.test(match[0]) ? sentenceStop(match) : ""),
  },
  {
    kind: "abbreviation",
    starts: "letter",
    pattern: new RegExp(`vs${END}`, "uy"),
    say: () => "versus",
  },
  {
    kind: "roman",
    starts: "letter",
    first: "IVXLCDM",
    pattern: new RegExp(`([IVXLCDM]{1,15})${END}(?!['’.]\\p{L})`, "uy"),
    say(match) {
      const n = parseRoman(match[1]!);
      const before = wordBefore(match.input, match.index);
      if (n === null || before === "") return null;
      if (NUMBERED.has(before)) return cardinal(n);
      if (RULERS.has(before) && n <= 30) return `the ${ordinal(n)}`;
      return match[1]!.length > 1 && /^[IVX]+$/.test(match[1]!) ? cardinal(n) : null;
    },
  },
];
