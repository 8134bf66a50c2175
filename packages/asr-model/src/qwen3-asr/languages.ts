import { ConfigError } from "@voxquant/quant-core";
import { stripSpace } from "@voxquant/text";

/** The supported languages in upstream's order: English name, as prompts and results have it, and ISO 639 code. */
const LANGUAGES = [
  ["Chinese", "zh"],
  ["English", "en"],
  ["Cantonese", "yue"],
  ["Arabic", "ar"],
  ["German", "de"],
  ["French", "fr"],
  ["Spanish", "es"],
  ["Portuguese", "pt"],
  ["Indonesian", "id"],
  ["Italian", "it"],
  ["Korean", "ko"],
  ["Russian", "ru"],
  ["Thai", "th"],
  ["Vietnamese", "vi"],
  ["Japanese", "ja"],
  ["Turkish", "tr"],
  ["Hindi", "hi"],
  ["Malay", "ms"],
  ["Dutch", "nl"],
  ["Swedish", "sv"],
  ["Danish", "da"],
  ["Finnish", "fi"],
  ["Polish", "pl"],
  ["Czech", "cs"],
  ["Filipino", "fil"],
  ["Persian", "fa"],
  ["Greek", "el"],
  ["Romanian", "ro"],
  ["Hungarian", "hu"],
  ["Macedonian", "mk"],
] as const;

/** English names of the languages that Qwen3-ASR can be told to expect. */
export const SUPPORTED_LANGUAGES: readonly string[] = LANGUAGES.map(([name]) => name);

const NAME_BY_CODE: ReadonlyMap<string, string> = new Map(LANGUAGES.map(([name, code]) => [code, name]));

/** A language name as upstream spells it: stripped, first character in upper case, the rest in lower case. Not checked. */
export function capitalizeLanguage(name: string): string {
  const [first = "", ...rest] = Array.from(stripSpace(name));
  return first.toUpperCase() + rest.join("").toLowerCase();
}

/**
 * English name of a language given by that name in any case, or by its ISO 639 code (`de`).
 * @throws ConfigError for a language that Qwen3-ASR does not support; the message lists those that it does
 */
export function normalizeLanguage(language: string): string {
  const name = NAME_BY_CODE.get(stripSpace(language).toLowerCase()) ?? capitalizeLanguage(language);
  if (SUPPORTED_LANGUAGES.includes(name)) return name;
  const listed = LANGUAGES.map(([supported, code]) => `${supported} (${code})`).join(", ");
  const what = name === "" ? "language is empty" : `unsupported language ${JSON.stringify(language)}`;
  throw new ConfigError(`${what}; supported are ${listed}`);
}
