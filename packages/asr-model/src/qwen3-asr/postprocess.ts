import { splitLines, stripSpace } from "@voxquant/text";
import { capitalizeLanguage } from "./languages.js";

/** What a model's raw output says (`qwen_asr/inference/utils.py`, `parse_asr_output`). */
export interface ParsedOutput {
  /** Language that was forced or that the model named, "" if none. */
  readonly language: string;
  /** Transcript, "" for no speech. */
  readonly text: string;
}

const TEXT_TAG = "<asr_text>";
const LANGUAGE_PREFIX = "language ";

/** Longest run of a character, and most repeats of a pattern, that count as speech. */
const REPEAT_LIMIT = 20;
/** Longest pattern, in characters, whose repeats are looked for. */
const LONGEST_PATTERN = 20;

/**
 * Language and text of `language English<asr_text>Hello.`, repetitions cleaned up. With a forced language the whole
 * output is text, because the prompt has the tag already. Without a tag the language is "" and everything is text.
 */
export function parseOutput(raw: string | null, forcedLanguage: string | null): ParsedOutput {
  const output = collapseRepetitions(stripSpace(raw ?? ""));
  if (output === "") return { language: "", text: "" };
  if (forcedLanguage !== null) return { language: forcedLanguage, text: output };
  const tag = output.indexOf(TEXT_TAG);
  if (tag < 0) return { language: "", text: output };
  return {
    language: taggedLanguage(output.slice(0, tag)),
    text: stripSpace(output.slice(tag + TEXT_TAG.length)),
  };
}

/** Language of the part before the tag; `language None` means no speech. */
function taggedLanguage(head: string): string {
  if (head.toLowerCase().includes("language none")) return "";
  const line = splitLines(head)
    .map(stripSpace)
    .find((candidate) => candidate.slice(0, LANGUAGE_PREFIX.length).toLowerCase() === LANGUAGE_PREFIX);
  return line === undefined ? "" : capitalizeLanguage(line.slice(LANGUAGE_PREFIX.length));
}

/**
 * Shortens what a looping model repeats (`detect_and_fix_repetitions`), by code points: a run of one character longer
 * than the limit becomes one character; then, from left to right, a pattern of up to 20 characters that comes `limit`
 * times or more in a row is kept once.
 */
export function collapseRepetitions(text: string, limit = REPEAT_LIMIT): string {
  return collapsePatterns(collapseRuns(Array.from(text), limit), limit).join("");
}

function collapseRuns(characters: readonly string[], limit: number): string[] {
  const out: string[] = [];
  for (let start = 0; start < characters.length;) {
    let end = start + 1;
    while (end < characters.length && characters[end] === characters[start]) end++;
    const kept = end - start > limit ? 1 : end - start;
    for (let i = 0; i < kept; i++) out.push(characters[start]!);
    start = end;
  }
  return out;
}

function collapsePatterns(characters: readonly string[], limit: number): string[] {
  const out: string[] = [];
  const shortest = 2 * limit; // a remainder shorter than this stays as it is
  let at = 0;
  while (at <= characters.length - shortest) {
    const pattern = repeatedPattern(characters, at, limit);
    if (pattern === 0) {
      out.push(characters[at++]!);
      continue;
    }
    for (let i = 0; i < pattern; i++) out.push(characters[at + i]!);
    let end = at + pattern;
    while (end < characters.length && characters[end] === characters[end - pattern]) end++;
    at = end - ((end - at) % pattern); // a repeat that is cut short belongs to the remainder
  }
  for (; at < characters.length; at++) out.push(characters[at]!);
  return out;
}

/** Length of the shortest pattern that comes `limit` times in a row from a place on, 0 if none does. */
function repeatedPattern(characters: readonly string[], from: number, limit: number): number {
  for (let length = 1; length <= LONGEST_PATTERN; length++) {
    const end = from + length * limit;
    if (end > characters.length) return 0;
    let i = from + length;
    while (i < end && characters[i] === characters[i - length]) i++;
    if (i >= end) return length;
  }
  return 0;
}

/** Languages of a recording's pieces as one value: empty ones dropped, equal neighbours once, joined by commas. */
export function mergeLanguages(languages: Iterable<string | null>): string {
  const merged: string[] = [];
  for (const language of languages) {
    const name = stripSpace(language ?? "");
    if (name !== "" && name !== merged.at(-1)) merged.push(name);
  }
  return merged.join(",");
}
