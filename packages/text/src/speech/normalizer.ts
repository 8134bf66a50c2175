import { ENGLISH_RULES, type DateOrder } from "./english/rules.js";
import {
  detectLanguage,
  languageRuns,
  normalizedLanguage,
  type LanguageRun,
  type NormalizedLanguage,
} from "./language.js";
import { ADDRESS_RULES } from "./protected.js";
import { RUSSIAN_RULES } from "./russian/rules.js";
import { RuleIndex, scan, type Rule, type RuleKind, type SpokenSpan } from "./scanner.js";

/** A user's own reading; comes before every rule. A string is a whole word or phrase in any case of letters. */
export interface DictionaryEntry {
  readonly match: string | RegExp;
  readonly say: string;
}

export interface NormalizeOptions {
  /**
   * "ru" or "en" as code, tag or English name; "auto" (the default) looks at the text. Text of other languages is
   * returned unchanged.
   */
  readonly language?: string;
  /** Rules to leave out. */
  readonly disabled?: readonly RuleKind[];
  readonly dictionary?: readonly DictionaryEntry[];
  /** English dates in figures: 5/6/2026 is May sixth ("mdy", the default) or June fifth ("dmy"). */
  readonly dateOrder?: DateOrder;
}

export interface SpokenText {
  readonly text: string;
  /** The language whose rules were applied; null where the text is returned as it came. */
  readonly language: NormalizedLanguage | null;
  /** Which characters of the original became which of the result: spoken times map back to the written text. */
  readonly spans: readonly SpokenSpan[];
}

/**
 * Writes numbers, dates, times, money, units, abbreviations and symbols as the words that are said, with gender, case
 * and plural of the language. Addresses and versions stay. White space is collapsed. Time is linear in the text.
 */
export function normalizeForSpeech(text: string, options: NormalizeOptions = {}): SpokenText {
  const named = options.language ?? "auto";
  const language = named.toLowerCase() === "auto" ? detectLanguage(text) : normalizedLanguage(named);
  if (language === null) return { text, language, spans: [] };

  const { composed, offsets } = compose(text);
  const own = (options.dictionary ?? []).map(dictionaryRule);
  const disabled = new Set(options.disabled);
  const select = (rules: readonly Rule[]): RuleIndex =>
    new RuleIndex([...own, ...ADDRESS_RULES, ...rules].filter((rule) => !disabled.has(rule.kind)));
  const rules: Record<NormalizedLanguage, RuleIndex> = {
    ru: select(RUSSIAN_RULES),
    en: select(ENGLISH_RULES[options.dateOrder ?? "mdy"]),
  };
  const spoken = scan(composed, rulesByRun(languageRuns(composed, language), rules));
  const spans =
    offsets === null
      ? spoken.spans
      : spoken.spans.map((span) => ({ ...span, start: offsets[span.start]!, end: offsets[span.end]! }));
  return { text: spoken.text, language, spans };
}

function rulesByRun(
  runs: readonly LanguageRun[],
  rules: Record<NormalizedLanguage, RuleIndex>,
): (index: number) => RuleIndex {
  let run = 0;
  return (index) => {
    while (run + 1 < runs.length && runs[run + 1]!.start <= index) run++;
    return rules[runs[run]!.language];
  };
}

const DECOMPOSED = /\P{M}\p{M}{1,8}/gu;

/** The text in NFC, with the original offset of each of its characters (null where nothing changed). */
function compose(text: string): { composed: string; offsets: Uint32Array | null } {
  let composed = "";
  let offsets: number[] | null = null;
  let last = 0;
  for (const match of text.matchAll(DECOMPOSED)) {
    const joined = match[0].normalize("NFC");
    if (joined === match[0]) continue;
    offsets ??= [];
    for (let i = last; i < match.index; i++) offsets.push(i);
    for (let i = 0; i < joined.length; i++) offsets.push(match.index);
    composed += text.slice(last, match.index) + joined;
    last = match.index + match[0].length;
  }
  if (offsets === null) return { composed: text, offsets };
  for (let i = last; i <= text.length; i++) offsets.push(i);
  return { composed: composed + text.slice(last), offsets: Uint32Array.from(offsets) };
}

function dictionaryRule({ match, say }: DictionaryEntry): Rule {
  const pattern =
    typeof match === "string"
      ? new RegExp(
          `(?<![\\p{L}\\p{N}])${match.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?![\\p{L}\\p{N}])`,
          "iuy",
        )
      : new RegExp(match.source, `${match.flags.replace(/[gy]/g, "")}y`);
  return { kind: "dictionary", starts: "any", pattern, say: () => say };
}
