import type { Rule } from "./scanner.js";

/** Words of a language for symbols, and for the signs whose reading depends on what is beside them. */
export interface SymbolWords extends Readonly<Record<string, string>> {
  readonly minus: string;
  readonly about: string;
  readonly slash: string;
  readonly times: string;
}

const TYPOGRAPHY: Readonly<Record<string, string>> = {
  "“": '"',
  "”": '"',
  "„": '"',
  "«": '"',
  "»": '"',
  "‘": "'",
  "’": "'",
  "…": "...",
  "\u2011": "-", // a hyphen without a break
};
/** Marks of layout, code and mark-up: they separate words and are not said. */
const SEPARATORS = new Set(["_", "*", "\\", "|", "^", "`", "~", "/", "•", "·", "#", "<", ">"]);
/** Emoji, pictures, modifiers, controls, private characters, marks without a letter. */
const SILENT = /^[\p{So}\p{Sk}\p{C}\p{M}]$/u;
const DIGIT = /\p{N}/u;
const ALPHANUMERIC = /[\p{L}\p{N}]/u;

/** Rules for single symbols. They come last: what a number or an abbreviation uses has been read before. */
export function symbolRules(words: SymbolWords): readonly Rule[] {
  return [
    {
      kind: "symbol",
      starts: "symbol",
      pattern: /./suy,
      say(match) {
        const symbol = match[0];
        const { before, after } = neighbours(match);
        return signWord(symbol, before, after, match, words) ?? plainWord(symbol, after, words);
      },
    },
  ];
}

function neighbours(match: RegExpExecArray): { before: string; after: string } {
  return {
    before: match.input[match.index - 1] ?? "",
    after: match.input[match.index + match[0].length] ?? "",
  };
}

/** Signs that mean something beside a digit only. */
function signWord(
  symbol: string,
  before: string,
  after: string,
  match: RegExpExecArray,
  words: SymbolWords,
): string | null {
  switch (symbol) {
    case "-":
    case "–":
    case "−":
      if (/[\d$€£¥₽]/.test(after)) {
        return ALPHANUMERIC.test(before) ? " " : words.minus;
      }
      // "5 - 3" but not the dash of a sentence
      return symbol !== "–" && isBetweenSpacedDigits(match) ? words.minus : null;
    case "№":
      return before === "№" ? "" : null;
    case ":":
      return DIGIT.test(before) && DIGIT.test(after) ? " " : null;
    case "~":
      return DIGIT.test(after) ? words.about : null;
    case "*":
      return DIGIT.test(before) && DIGIT.test(after) ? words.times : null;
    case "/":
      return DIGIT.test(before) && after !== "" && after !== " " ? words.slash : null;
    case "#":
      return DIGIT.test(after) ? words["#"]! : null;
    case "<":
    case ">":
      return (before === " " && after === " ") || DIGIT.test(after) ? words[symbol]! : null;
    default:
      return null;
  }
}

function isBetweenSpacedDigits(match: RegExpExecArray): boolean {
  const around = match.input.slice(Math.max(0, match.index - 2), match.index + 3);
  return /^\d [-−] \d$/u.test(around);
}

function plainWord(symbol: string, after: string, words: SymbolWords): string | null {
  if (SEPARATORS.has(symbol)) return ALPHANUMERIC.test(after) || SEPARATORS.has(after) ? " " : "";
  return TYPOGRAPHY[symbol] ?? words[symbol] ?? (SILENT.test(symbol) ? "" : null);
}
