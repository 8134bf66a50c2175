/** Any of these may stand between two words or between the thousands of a number; no line break. */
export const BLANK = "[ \\t\\u00a0\\u2009\\u202f]";
/** Not followed by a letter or digit. JavaScript's \b knows ASCII alone. */
export const END = "(?![\\p{L}\\p{M}\\p{N}_])";
/**
 * A whole number as written, thousands grouped by blanks, and its decimals. One longer than 18 digits is a row of
 * digits rather than an amount.
 */
export const SPACED_NUMBER = `(?:\\d{1,3}(?:${BLANK}\\d{3}){1,5}(?!\\d)|\\d{1,18}(?!\\d))(?:[.,]\\d{1,20}(?![.,]?\\d))?`;
export const COMMA_NUMBER =
  "(?:\\d{1,3}(?:,\\d{3}){1,5}(?![,]?\\d)|\\d{1,18}(?!\\d))(?:\\.\\d{1,20}(?![.,]?\\d))?";

const REACH = 40; // characters to look at for a neighbouring word: enough for any, and a bound on the work
const LAST_WORD = /([\p{L}\p{M}]+(?:-[\p{L}\p{M}]+)*)[ \t\u00a0]*[-−–+±~"«(]?$/u;
const NEXT_WORD = /[ \t\u00a0]{0,4}(\p{L}[\p{L}\p{M}]{0,40})/uy;
const GOES_ON = /[ \t\u00a0]{0,2}[\p{Ll},;:)]/uy;
const NEXT_SENTENCE = /(?:["»”')\]]|\s){1,4}\p{Lu}/uy;
const OPENING_REACH = 80;
/** Russian words that say when, from a sentence's beginning to the dot of г. or в. */
const OPENING = new RegExp(
  '[.!?…\\n]\\s{0,4}["«(]{0,2}(?:Во?|Ко?|Со?|До|По|На|От|После|Около|Перед|Весной|Летом|Осенью|Зимой)[ \\u00a0]' +
    "(?:(?:\\d{1,2}|(?:янв|фев|март|апр|ма[йяе]|июн|июл|авг|сент|окт|ноя|дек|начал|середин|конц|половин|перв|втор|рубеж)\\p{L}{0,9})[ \\u00a0]){0,3}" +
    "(?:\\d{1,4}|[IVXLCDM]{1,9})(?:[-–—](?:\\d{1,4}|[IVXLCDM]{1,9}|\\p{Ll}{1,2}))?[ \\u00a0]?(?:гг?|вв?)$",
  "u",
);

/** The word before `index` in lower case, "" where there is none or punctuation is between. A sign is no punctuation. */
export function wordBefore(text: string, index: number): string {
  return LAST_WORD.exec(text.slice(Math.max(0, index - REACH), index))?.[1]?.toLowerCase() ?? "";
}

/** The last two words before `index` with a blank between, in lower case. */
export function wordsBefore(text: string, index: number): string {
  const before = text.slice(Math.max(0, index - REACH), index);
  return (/([\p{L}]+[ \u00a0]+[\p{L}]+)[ \u00a0]*$/u.exec(before)?.[1] ?? "")
    .replace(/[ \u00a0]+/g, " ")
    .toLowerCase();
}

/** The word after `index` as written, "" where something other than blanks comes first. */
export function wordAfter(text: string, index: number): string {
  NEXT_WORD.lastIndex = index;
  return NEXT_WORD.exec(text)?.[1] ?? "";
}

/** Whether a sentence has but said when, so that the dot at `dot` cannot end it: В 1812 г. Наполеон … */
export function isOpening(text: string, dot: number): boolean {
  const from = Math.max(0, dot - OPENING_REACH);
  return OPENING.test((from === 0 ? "\n" : "") + text.slice(from, dot));
}

/** "." where an abbreviation's dot also ends a sentence inside the text: a capital letter follows. Else "". */
export function sentenceStop(match: RegExpExecArray): string {
  const end = match.index + match[0].length;
  if (!match[0].endsWith(".") || isOpening(match.input, end - 1)) return "";
  NEXT_SENTENCE.lastIndex = end;
  return NEXT_SENTENCE.test(match.input) ? "." : "";
}

/** "." where a dot follows something that is written without one, so that it ends a sentence. Else "". */
export function ownStop(match: RegExpExecArray): string {
  if (!match[0].endsWith(".")) return "";
  GOES_ON.lastIndex = match.index + match[0].length;
  return GOES_ON.test(match.input) ? "" : ".";
}

export interface WrittenNumber {
  readonly integer: bigint;
  /** Digits after the decimal mark, "" for a whole number. */
  readonly fraction: string;
  /** The whole part has leading zeros, so it is a code rather than an amount. */
  readonly padded: boolean;
  readonly digits: string;
}

/** Takes a number as matched by `SPACED_NUMBER` or, with "," as the grouping mark, by `COMMA_NUMBER`. */
export function parseNumber(written: string, grouping: " " | ","): WrittenNumber {
  const plain = written.replace(grouping === "," ? /,/g : /[ \t\u00a0\u2009\u202f]/g, "");
  const [digits = "", fraction = ""] = plain.split(/[.,]/);
  return { integer: BigInt(digits), fraction, padded: /^0\d/.test(digits), digits };
}
