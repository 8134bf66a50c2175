/** A pause in a text is not written as it should be, or too long. The message shows it and what is expected. */
export class PauseMarkupError extends Error {
  /** Offset of the markup in the text. */
  readonly position: number;

  constructor(message: string, position: number) {
    super(message);
    this.name = new.target.name;
    this.position = position;
  }
}

export type PausePart =
  | {
      readonly text: string;
      /** Offset of the first character of `text` in the marked-up text. */
      readonly start: number;
    }
  | { readonly pauseSeconds: number };

/** Longest pause; more is rather a mistake. */
export const MAX_PAUSE_SECONDS = 60;

const OPENING = /\[\s{0,4}pause(?![\p{L}\p{N}_-])|<\s{0,4}break(?![\p{L}\p{N}_-])/giu;
const DURATION = "(\\d{1,6}(?:\\.\\d{1,3})?)\\s{0,4}(ms|s)";
const PAUSE = new RegExp(`\\[\\s{0,4}pause\\s{0,4}:\\s{0,4}${DURATION}\\s{0,4}\\]`, "iuy");
const BREAK = new RegExp(`<\\s{0,4}break\\s{1,4}time\\s{0,4}=\\s{0,4}["']${DURATION}["']\\s{0,4}/?>`, "iuy");
const SHOWN = 24;

/**
 * Cuts a text at its pauses: `[pause:500ms]`, `[pause:1.5s]`, or SSML's `<break time="500ms"/>`. The parts come in the
 * order of the text, texts of white space alone are left out.
 * @throws PauseMarkupError for markup that is malformed, not closed, or longer than 60 s
 */
export function parsePauses(text: string): PausePart[] {
  const parts: PausePart[] = [];
  let start = 0;
  const addText = (end: number): void => {
    const words = text.slice(start, end);
    if (words.trim() !== "") parts.push({ text: words, start });
  };
  OPENING.lastIndex = 0;
  for (let found = OPENING.exec(text); found !== null; found = OPENING.exec(text)) {
    const markup = text[found.index] === "[" ? PAUSE : BREAK;
    markup.lastIndex = found.index;
    const match = markup.exec(text);
    if (match === null) throw malformed(text, found.index);
    const pauseSeconds = Number(match[1]) / (match[2]!.toLowerCase() === "ms" ? 1000 : 1);
    if (pauseSeconds > MAX_PAUSE_SECONDS) {
      throw new PauseMarkupError(
        `${match[0]} at character ${found.index} is longer than ${MAX_PAUSE_SECONDS} s: write several pauses, or a shorter one`,
        found.index,
      );
    }
    addText(found.index);
    parts.push({ pauseSeconds });
    start = OPENING.lastIndex = found.index + match[0].length;
  }
  addText(text.length);
  return parts;
}

function malformed(text: string, index: number): PauseMarkupError {
  const rest = text.slice(index, index + SHOWN);
  const closing = rest.search(/[\]>\n]/);
  const shown = closing < 0 ? `${rest}${index + SHOWN < text.length ? "…" : ""}` : rest.slice(0, closing + 1);
  return new PauseMarkupError(
    `"${shown}" at character ${index} is no pause: expected [pause:500ms] or [pause:1.5s], 0 to ${MAX_PAUSE_SECONDS} seconds`,
    index,
  );
}
