/** A token that is matched literally in the text before BPE (`added_tokens` of a Hugging Face tokenizer). */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out by `decode` with `skipSpecial`. */
  readonly special: boolean;
  /** Matched after normalization (NFC) instead of in the raw text. */
  readonly normalized: boolean;
  /** Matched only where no letter, digit or underscore touches it. */
  readonly singleWord: boolean;
  /** Swallows white space before it, or after it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** A stretch of text without added tokens, or one added token. */
export type TextSpan = { readonly text: string } | { readonly token: AddedToken };

const WORD = /[\p{L}\p{M}\p{N}\p{Pc}]/u;

/** Finds added tokens in a text: leftmost first, the longest at the same place. */
export class AddedTokenMatcher {
  readonly #pattern: RegExp | null;
  readonly #tokens: ReadonlyMap<string, AddedToken>;

  constructor(tokens: readonly AddedToken[]) {
    this.#tokens = new Map(tokens.map((token) => [token.content, token]));
    const longestFirst = [...this.#tokens.keys()].sort((a, b) => b.length - a.length).map(escapeRegExp);
    this.#pattern = longestFirst.length === 0 ? null : new RegExp(longestFirst.join("|"), "gu");
  }

  split(text: string): TextSpan[] {
    if (this.#pattern === null) return text === "" ? [] : [{ text }];
    const spans: TextSpan[] = [];
    let from = 0;
    for (const match of text.matchAll(this.#pattern)) {
      if (match.index < from) continue; // swallowed by the token before it
      const token = this.#tokens.get(match[0])!;
      const end = match.index + match[0].length;
      if (token.singleWord && touchesWord(text, match.index, end)) continue;
      let before = text.slice(from, match.index);
      if (token.lstrip) before = before.trimEnd();
      if (before !== "") spans.push({ text: before });
      spans.push({ token });
      from = token.rstrip ? text.length - text.slice(end).trimStart().length : end;
    }
    if (from < text.length) spans.push({ text: text.slice(from) });
    return spans;
  }
}

function touchesWord(text: string, start: number, end: number): boolean {
  const before = Array.from(text.slice(Math.max(0, start - 2), start)).at(-1) ?? "";
  const after = String.fromCodePoint(text.codePointAt(end) ?? 0x20);
  return WORD.test(before) || WORD.test(after);
}

function escapeRegExp(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
