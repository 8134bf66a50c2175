import { BLANK, END, sentenceStop, wordAfter } from "../context.js";
import type { Rule } from "../scanner.js";
import { governedCases } from "./agreement.js";
import { indeclinable, noun, type Noun } from "./nouns.js";
import type { Case } from "./numerals.js";

const CAPITAL = `(?=${BLANK}{0,2}["«]?\\p{Lu})`;
const DIGIT = `(?=${BLANK}{0,2}\\d)`;
const ANYTHING = "";

interface NounAbbreviation {
  readonly short: string;
  readonly noun: Noun;
  /** What must follow for it to be this word. */
  readonly before: string;
}

/** Abbreviated nouns, declined by the preposition before them (на ул. Ленина is на улице). */
const NOUNS: readonly NounAbbreviation[] = [
  { short: "г", noun: noun("город", "m"), before: CAPITAL },
  { short: "ул", noun: noun("улиц", "f"), before: ANYTHING },
  { short: "просп", noun: noun("проспект", "m"), before: ANYTHING },
  { short: "пр", noun: noun("проспект", "m"), before: CAPITAL },
  { short: "пер", noun: noun("переулк", "m"), before: CAPITAL },
  { short: "пл", noun: noun("площад", "fь"), before: CAPITAL },
  { short: "наб", noun: indeclinable("набережная", "f"), before: CAPITAL },
  { short: "бул", noun: noun("бульвар", "m"), before: CAPITAL },
  { short: "ш", noun: indeclinable("шоссе", "n"), before: CAPITAL },
  { short: "обл", noun: noun("област", "fь"), before: ANYTHING },
  { short: "о", noun: noun("остров", "m"), before: CAPITAL },
  { short: "оз", noun: noun("озер", "nо"), before: CAPITAL },
  { short: "р", noun: noun("рек", "fк"), before: CAPITAL },
  { short: "д", noun: noun("дом", "m"), before: DIGIT },
  { short: "корп", noun: noun("корпус", "m"), before: DIGIT },
  { short: "кв", noun: noun("квартир", "f"), before: DIGIT },
  { short: "рис", noun: noun("рисунк", "m"), before: DIGIT },
  { short: "табл", noun: noun("таблиц", "f"), before: DIGIT },
  { short: "гл", noun: noun("глав", "f"), before: DIGIT },
  { short: "п", noun: noun("пункт", "m"), before: DIGIT },
  { short: "пп", noun: noun("пункт", "m"), before: DIGIT },
  { short: "ст", noun: noun("стать", "fя"), before: DIGIT },
  { short: "т", noun: noun("том", "m"), before: DIGIT },
  { short: "тел", noun: noun("телефон", "m"), before: ANYTHING },
  { short: "проф", noun: noun("профессор", "m"), before: CAPITAL },
  { short: "акад", noun: noun("академик", "m"), before: CAPITAL },
  { short: "доц", noun: noun("доцент", "m"), before: CAPITAL },
];
/** Nouns with a vowel that the nominative alone has. */
const NOMINATIVES: Readonly<Record<string, string>> = { переулк: "переулок", рисунк: "рисунок" };

function nounRule({ short, noun: of, before }: NounAbbreviation): Rule {
  return {
    kind: "abbreviation",
    starts: "letter",
    first: short[0]! + short[0]!.toUpperCase(),
    pattern: new RegExp(`[${short[0]}${short[0]!.toUpperCase()}]${short.slice(1)}\\.${before}`, "uy"),
    say(match) {
      const form = of.singular[abbreviatedCase(match)];
      return capitalLike(match[0], NOMINATIVES[form] ?? form);
    },
  };
}

/** The case by the preposition: in place (в городе Туле) unless the name after it shows direction (в город Тулу). */
function abbreviatedCase(match: RegExpExecArray): Case {
  const cases = governedCases(match.input, match.index);
  const name = wordAfter(match.input, match.index + match[0].length);
  if (cases === "ap") return /[ую]$/u.test(name) ? "a" : "p";
  if (cases === "ad") return "d";
  if (cases === "ai" || cases === "gi") return /(?:ой|ей|ом|ем|ым)$/u.test(name) ? "i" : (cases[0] as Case);
  return (cases[0] ?? "n") as Case;
}

function capitalLike(written: string, words: string): string {
  return /^\p{Lu}/u.test(written) ? words[0]!.toUpperCase() + words.slice(1) : words;
}

/** Abbreviations that are always said alike. A blank may stand between their parts; "$" closes a sentence if it can. */
const FIXED: readonly (readonly [pattern: string, words: string])[] = [
  ["до н\\.~э\\.$", "до нашей эры"],
  ["н\\.~э\\.$", "нашей эры"],
  ["и~т\\.~д\\.$", "и так далее"],
  ["и~т\\.~п\\.$", "и тому подобное"],
  ["и~др\\.$", "и другие"],
  ["и~пр\\.$", "и прочее"],
  ["в~т\\.~ч\\.", "в том числе"],
  ["т\\.~е\\.", "то есть"],
  ["т\\.~к\\.", "так как"],
  ["т\\.~н\\.", "так называемый"],
  ["т\\.~о\\.", "таким образом"],
  ["см\\.", "смотри"],
  ["ср\\.", "сравни"],
  ["им\\.", "имени"],
  ["ок\\.", "около"],
  ["напр\\.", "например"],
  ["г-н!", "господин"],
  ["г-на!", "господина"],
  ["г-ну!", "господину"],
  ["г-ном!", "господином"],
  ["г-жа!", "госпожа"],
  ["г-жи!", "госпожи"],
  ["г-же!", "госпоже"],
  ["г-жу!", "госпожу"],
  ["г-жой!", "госпожой"],
  ["р-н!", "район"],
  ["р-не!", "районе"],
  ["р-на!", "района"],
  ["руб\\.$", "рублей"],
  ["тыс\\.$", "тысяч"],
  ["млн!", "миллионов"],
  ["млрд!", "миллиардов"],
  ["гг\\.$", "годы"],
];

function fixedRule([source, words]: readonly [string, string]): Rule {
  const closes = source.endsWith("$");
  const body = source.replace(/[$]$/, "").replace(/!$/, END).replace(/~/g, `${BLANK}{0,2}`);
  return {
    kind: "abbreviation",
    starts: "letter",
    first: source[0]! + source[0]!.toUpperCase(),
    pattern: new RegExp(`(?:${body})(?!\\p{L})`, "iuy"),
    say: (match) => capitalLike(match[0], words) + (closes ? sentenceStop(match) : ""),
  };
}

const ADDRESS = /(?:^|[^\p{L}])(?:ул|пер|пр|просп|пл|д|корп|наб|бул|ш)\./u;

export const RUSSIAN_ABBREVIATIONS: readonly Rule[] = [
  ...FIXED.map(fixedRule),
  {
    // стр. 1: a building in an address, else a page
    kind: "abbreviation",
    starts: "letter",
    first: "сС",
    pattern: new RegExp(`[сС]тр\\.${DIGIT}`, "uy"),
    say(match) {
      const line = match.input.slice(Math.max(0, match.index - 80), match.index);
      const building = ADDRESS.test(line) || !/(?:^|[^\p{L}])(?:см\.|на|из|с|со|в|до|по)\s*$/iu.test(line);
      const of = building ? noun("строени", "nие") : noun("страниц", "f");
      return capitalLike(match[0], of.singular[abbreviatedCase(match)]);
    },
  },
  ...NOUNS.map(nounRule),
];
