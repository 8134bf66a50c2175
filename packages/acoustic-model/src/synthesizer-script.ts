import { ConfigError } from "@voxquant/quant-core";
import {
  detectLanguage,
  isSpeakable,
  normalizeForSpeech,
  parsePauses,
  PauseMarkupError,
  splitSentences,
  type PausePart,
} from "@voxquant/text";

/** A sentence of a script, which the model speaks at once. */
export interface ScriptSentence {
  /** As it was written. */
  readonly text: string;
  /** Silence after it, seconds. */
  readonly pauseSeconds: number;
}

/** What is to be spoken, in the order of the text. */
export interface Script {
  /** Silence before the first sentence, seconds. */
  readonly pauseSeconds: number;
  readonly sentences: readonly ScriptSentence[];
  /** The words of a sentence as they are said, which is what the model gets. */
  readonly spell: (sentence: ScriptSentence) => string;
}

export interface ScriptOptions {
  /** Write out numbers, dates, units and abbreviations. */
  readonly normalize: boolean;
  /** Of the text, `auto` to look at it. */
  readonly language: string;
}

/**
 * Silence between sentences where the text has no pause of its own, seconds. It comes on top of what the model leaves at
 * their ends (some 0.1 to 0.3 s), so that together they are what a reader takes.
 */
const SENTENCE_PAUSE = 0.2;
const PARAGRAPH_PAUSE = 0.5;
/** After a piece of a sentence that was too long to be spoken at once. */
const CLAUSE_PAUSE = 0.05;

const PARAGRAPH = /\n\s*\n|\u2029/;
const SENTENCE_END = /[.!?…‽।॥؟۔։።፧៕။⁇⁈⁉。！？｡．]["'”’»)\]}」』】〉》）］]*$/u;

/**
 * Cuts a text into sentences and pauses.
 * @throws ConfigError for a text without anything to speak, or with a malformed `[pause:…]`
 */
export function writeScript(text: string, { normalize, language }: ScriptOptions): Script {
  if (text.trim() === "") throw new ConfigError("the text is empty: there is nothing to speak");
  const spokenLanguage = language.toLowerCase() === "auto" ? detectLanguage(text) : language;
  const spell = ({ text: written }: ScriptSentence): string => {
    if (!normalize || spokenLanguage === null) return written;
    const spoken = normalizeForSpeech(written, { language: spokenLanguage }).text;
    return isSpeakable(spoken) ? spoken : written;
  };
  const sentences: ScriptSentence[] = [];
  let leading = 0;
  const pauseAfterLast = (seconds: number) => {
    const last = sentences.pop();
    if (last === undefined) leading += seconds;
    else sentences.push({ ...last, pauseSeconds: last.pauseSeconds + seconds });
  };
  for (const part of pausesOf(text)) {
    if ("pauseSeconds" in part) {
      pauseAfterLast(part.pauseSeconds);
      continue;
    }
    // What cannot be spoken, such as a line of asterisks, parts paragraphs.
    const chunks = splitSentences(part.text).filter((chunk) => isSpeakable(chunk.text));
    chunks.forEach((chunk, i) => {
      const next = chunks[i + 1];
      const between = next === undefined ? null : part.text.slice(chunk.end, next.start);
      const pauseSeconds = between === null ? 0 : pauseAt(chunk.text, between);
      sentences.push({ text: chunk.text, pauseSeconds });
    });
  }
  if (sentences.length === 0) {
    throw new ConfigError(
      `the text ${JSON.stringify(excerpt(text))} has no letter or digit: there is nothing to speak`,
    );
  }
  return { pauseSeconds: leading, sentences, spell };
}

/** The beginning of a text, for messages. */
export function excerpt(text: string): string {
  const words = text.trim();
  return words.length > 40 ? `${words.slice(0, 40)}…` : words;
}

function pausesOf(text: string): PausePart[] {
  try {
    return parsePauses(text);
  } catch (cause) {
    if (cause instanceof PauseMarkupError) throw new ConfigError(cause.message, { cause });
    throw cause;
  }
}

function pauseAt(sentence: string, between: string): number {
  if (PARAGRAPH.test(between)) return PARAGRAPH_PAUSE;
  return SENTENCE_END.test(sentence) ? SENTENCE_PAUSE : CLAUSE_PAUSE;
}
