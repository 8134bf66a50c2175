/**
 * White space as the reference implementations (Python's `str.split`, `str.strip`, `str.splitlines`) see it. JavaScript's
 * `\s` and `trim` differ in U+FEFF, which is no white space here, and in U+0085 and U+001C-U+001F, which are.
 */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const SPACES = new RegExp(`[${SPACE}]+`);
const ALL_SPACES = new RegExp(`[${SPACE}]+`, "g");
const LEADING = new RegExp(`^[${SPACE}]+`);
const LINE_BREAK = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/;

/** True for a string that is empty or all white space. */
export function isBlank(text: string): boolean {
  return stripSpace(text) === "";
}

/** The text without white space at its ends. */
export function stripSpace(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.test(text[end - 1]!)) end--; // all white space is in the basic plane
  return text.slice(0, end).replace(LEADING, "");
}

/** The words between white space; none for a blank text. */
export function splitWords(text: string): string[] {
  return text.split(SPACES).filter((word) => word !== "");
}

/** Lines without their breaks; a break at the end starts no further line. */
export function splitLines(text: string): string[] {
  const lines = text.split(LINE_BREAK);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Every run of white space, line breaks included, as one space. */
export function collapseSpace(text: string): string {
  return text.replace(ALL_SPACES, " ");
}
