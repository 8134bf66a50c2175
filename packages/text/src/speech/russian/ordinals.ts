import { BLANK, END, sentenceStop, wordBefore } from "../context.js";
import { parseRoman } from "../roman.js";
import type { Rule } from "../scanner.js";
import { governedCases } from "./agreement.js";
import { analyse, CENTURY } from "./nouns.js";
import { cardinal, compoundPrefix, ordinal, type Case, type OrdinalGender } from "./numerals.js";

const ENDINGS =
  "ого|его|ому|ему|ыми|ими|ый|ий|ой|ая|ое|ее|ые|ие|ом|ем|ых|их|ым|им|ую|ей|го|му|ми|ти|ья|ье|ьи|й|я|е|м|х|ю";

/** Case and gender that a written ending such as -го stands for, or null where it is a cardinal's (5-ти). */
function endingForm(ending: string, n: number, cases: string, next: string): [Case, OrdinalGender] | null {
  switch (ending) {
    case "й":
    case "ый":
    case "ий":
      return ["n", "m"];
    case "ой":
    case "ей":
      return /[ыиейю]$/u.test(next) && cases !== "" && !/й$/u.test(next)
        ? [/[ыи]$/u.test(next) && cases.startsWith("g") ? "g" : "p", "f"]
        : ["n", "m"];
    case "я":
    case "ая":
    case "ья":
      return ["n", "f"];
    case "е": {
      const known = analyse(next).filter((form) => form.kase === "n");
      const plural = known[0]?.plural ?? /[ыиа]$/u.test(next);
      return plural || (next === "" && n % 10 === 0 && n >= 20) ? ["n", "pl"] : ["n", "n"];
    }
    case "ое":
    case "ее":
    case "ье":
      return ["n", "n"];
    case "ые":
    case "ие":
    case "ьи":
      return ["n", "pl"];
    case "го":
    case "ого":
    case "его":
      return ["g", "m"];
    case "му":
    case "ому":
    case "ему":
      return ["d", "m"];
    case "ом":
    case "ем":
      return ["p", "m"];
    case "ым":
    case "им":
      return cases === "d" ? ["d", "pl"] : ["i", "m"];
    case "м":
      if (cases === "d") return ["d", "pl"];
      return cases === "ap" || cases === "p" || /[еу]$/u.test(next) ? ["p", "m"] : ["i", "m"];
    case "х":
      return n >= 2 && n <= 4 ? null : ["g", "pl"];
    case "ых":
    case "их":
      return ["g", "pl"];
    case "ми":
      return n <= 4 ? null : ["i", "pl"];
    case "ыми":
    case "ими":
      return ["i", "pl"];
    case "ю":
    case "ую":
      return /ами$|ями$/u.test(next) ? null : ["a", "f"];
    default: // -ти
      return null;
  }
}

const CARDINAL_CASES: Readonly<Record<string, Case>> = { х: "g", ти: "g", ми: "i", ю: "i", м: "d" };

export const RUSSIAN_ORDINALS: readonly Rule[] = [
  {
    kind: "ordinal",
    starts: "digit",
    pattern: new RegExp(`(\\d{1,15})-(${ENDINGS})${END}(?!-)(?:(?=${BLANK}{1,2}(\\p{L}{1,30})))?`, "uy"),
    say(match) {
      const [, digits = "", ending = "", next = ""] = match;
      const cases = governedCases(match.input, match.index);
      const form = endingForm(ending, Number(digits), cases, next.toLowerCase());
      if (form === null) return cardinal(BigInt(digits), CARDINAL_CASES[ending] ?? "g");
      return ordinal(BigInt(digits), ...form);
    },
  },
  {
    // 10-летний, 100-летие, 5-этажный
    kind: "ordinal",
    starts: "digit",
    pattern: /(\d{1,4})-([а-яё]{4,40})/uy,
    say(match) {
      const n = Number(match[1]);
      return n >= 1 && n <= 1000 ? `${compoundPrefix(n)}${match[2]!}` : null;
    },
  },
];

const ROMAN = "[IVXLCDM]{1,15}";
const CENTURY_FORMS: Readonly<Record<string, Case>> = {
  век: "n",
  века: "g",
  веку: "d",
  веком: "i",
  веке: "p",
};
const CENTURIES_FORMS: Readonly<Record<string, Case>> = {
  века: "n",
  веков: "g",
  векам: "d",
  веками: "i",
  веках: "p",
};
const FEMININE_RULERS =
  /^(?:екатерин|елизавет|анн|мари|виктори|изабелл|маргарит|софи|тамар|христин|кристин|беатрис)/;

/** Case of в. after a century's number: genitive after another noun (конец XIX в.). */
function abbreviatedCase(match: RegExpExecArray, cases: string): Case {
  if (cases === "") return wordBefore(match.input, match.index) === "" ? "n" : "g";
  return cases === "ap" ? "p" : (cases[0] as Case);
}

/** Case and gender of a ruler's number from the name before it: Петра I, Екатерине II. */
function rulerForm(name: string, cases: string): [Case, OrdinalGender] {
  const last = name.at(-1)!;
  if (FEMININE_RULERS.test(name)) {
    if (/[ая]/u.test(last)) return ["n", "f"];
    if (/[ую]/u.test(last)) return ["a", "f"];
    return ["g", "f"]; // the oblique cases of a feminine ordinal are alike
  }
  if (/[ая]/u.test(last)) return ["g", "m"];
  if (/[ую]/u.test(last)) return ["d", "m"];
  if (/[ое]м$/u.test(name) && cases !== "") return ["i", "m"];
  return [last === "е" ? "p" : "n", "m"];
}

export const RUSSIAN_ROMANS: readonly Rule[] = [
  {
    kind: "roman",
    starts: "letter",
    first: "IVXLCDM",
    pattern: new RegExp(
      `(${ROMAN})(?:${BLANK}?[-–—]${BLANK}?(${ROMAN}))?${BLANK}{0,2}(вв?\\.|век(?:а|у|ом|е|ов|ам|ами|ах)?${END})`,
      "uy",
    ),
    say(match) {
      const [, first = "", second, form = ""] = match;
      const n = parseRoman(first);
      const m = second === undefined ? null : parseRoman(second);
      if (n === null || (second !== undefined && m === null)) return null;
      const cases = governedCases(match.input, match.index);
      if (m === null) {
        const kase = form.endsWith(".") ? abbreviatedCase(match, cases) : CENTURY_FORMS[form];
        if (kase === undefined) return null;
        return `${ordinal(n, kase)} ${CENTURY.singular[kase]}${sentenceStop(match)}`;
      }
      const kase = form.endsWith(".") ? abbreviatedCase(match, cases) : (CENTURIES_FORMS[form] ?? "n");
      return `${ordinal(n, kase)} — ${ordinal(m, kase)} ${CENTURY.plural[kase]}${sentenceStop(match)}`;
    },
  },
  {
    // глава IV, Пётр I: by the word before
    kind: "roman",
    starts: "letter",
    first: "IVXLCDM",
    pattern: new RegExp(`(${ROMAN})${END}(?![.']\\p{L})`, "uy"),
    say(match) {
      const n = parseRoman(match[1]!);
      if (n === null) return null;
      const before = wordBefore(match.input, match.index);
      const known = analyse(before)[0];
      const cases = governedCases(match.input, match.index);
      if (known !== undefined) return ordinal(n, known.kase, known.plural ? "pl" : known.noun.gender);
      const head = match.input.slice(Math.max(0, match.index - 40), match.index).trimEnd();
      const name = /(\p{Lu}[\p{Ll}\p{M}]{2,})$/u.exec(head)?.[1] ?? "";
      if (/^[А-ЯЁ]/u.test(name) && n <= 30 && cases === "") {
        const [kase, gender] = rulerForm(name.toLowerCase(), governedCases(head, head.length - name.length));
        return ordinal(n, kase, gender);
      }
      return agreeingRoman(match, n, cases);
    },
  },
];

/** XX съезд, II мировая, в XIX столетии: two letters at least, with a Russian noun or adjective after them. */
function agreeingRoman(match: RegExpExecArray, n: number, cases: string): string | null {
  const end = match.index + match[0].length;
  const next = /^[ \u00a0]([а-яё]{3,30})/u.exec(match.input.slice(end, end + 32))?.[1];
  if (next === undefined || (match[0].length === 1 && !/^[IVX]$/.test(match[0]))) return null;
  const known = analyse(next).find((form) => cases === "" || cases.includes(form.kase));
  if (known !== undefined) return ordinal(n, known.kase, known.plural ? "pl" : known.noun.gender);
  if (match[0].length === 1 && /^[CDLM]$/.test(match[0])) return null;
  if (/(?:ая|я|а)$/u.test(next)) return ordinal(n, "n", "f");
  if (/(?:ое|е|о)$/u.test(next) && cases === "") return ordinal(n, "n", "n");
  if (/(?:ую|у|ю)$/u.test(next) && cases !== "d") return ordinal(n, "a", "f");
  if (/[еи]$/u.test(next) && cases === "ap") return ordinal(n, "p", "m");
  if (/[бвгджзклмнпрстфхцчшщй]$/u.test(next) && cases === "") return ordinal(n, "n", "m");
  return null;
}
