import { VERSION_RULES } from "../protected.js";
import type { Rule } from "../scanner.js";
import { symbolRules } from "../symbols.js";
import { ENGLISH_ABBREVIATIONS } from "./abbreviations.js";
import { englishDates, ENGLISH_TIMES, type DateOrder } from "./dates.js";
import {
  ENGLISH_FRACTIONS,
  ENGLISH_MONEY,
  ENGLISH_NUMBERS,
  ENGLISH_PHONES,
  ENGLISH_UNITS,
} from "./quantities.js";

export type { DateOrder };

const SYMBOLS = symbolRules({
  "&": "and",
  "%": "percent",
  "+": "plus",
  "=": "equals",
  "#": "number",
  "№": "number",
  "§": "section",
  "@": "at",
  "°": "degrees",
  "×": "times",
  "÷": "divided by",
  "≈": "about",
  "≠": "is not equal to",
  "<": "less than",
  ">": "greater than",
  "≤": "less than or equal to",
  "≥": "greater than or equal to",
  "±": "plus or minus",
  "−": "minus",
  $: "dollars",
  "€": "euros",
  "£": "pounds",
  "₽": "rubles",
  minus: "minus",
  about: "about",
  slash: "slash",
  times: "times",
});

function englishRules(order: DateOrder): readonly Rule[] {
  return [
    ...ENGLISH_PHONES,
    ...englishDates(order),
    ...VERSION_RULES,
    ...ENGLISH_TIMES,
    ...ENGLISH_MONEY,
    ...ENGLISH_UNITS,
    ...ENGLISH_FRACTIONS,
    ...ENGLISH_NUMBERS,
    ...ENGLISH_ABBREVIATIONS,
    ...SYMBOLS,
  ];
}

/** How English reads what is not a word, first match first. */
export const ENGLISH_RULES: Readonly<Record<DateOrder, readonly Rule[]>> = {
  mdy: englishRules("mdy"),
  dmy: englishRules("dmy"),
};
