import { stripSpace } from "./whitespace.js";

// Scripts written without spaces between words, and the punctuation that goes with them. Hangul has spaces.
const CJK =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Bopomofo}\\u3000-\\u303f\\u30fb\\u30fc\\uff01-\\uff60";
const CJK_CHARACTER = new RegExp(`[${CJK}]`, "u");

/**
 * Joins the texts of a recording's pieces: one space between them, none between CJK characters or punctuation. White
 * space at the pieces' ends is dropped, and so are blank pieces.
 */
export function joinTexts(pieces: Iterable<string>): string {
  let joined = "";
  for (const piece of pieces) {
    const text = stripSpace(piece);
    if (text === "") continue;
    const before = Array.from(joined.slice(-2)).at(-1) ?? "";
    const after = String.fromCodePoint(text.codePointAt(0)!);
    const glued = joined === "" || (CJK_CHARACTER.test(before) && CJK_CHARACTER.test(after));
    joined += glued ? text : ` ${text}`;
  }
  return joined;
}
