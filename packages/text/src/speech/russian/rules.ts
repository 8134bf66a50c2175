import { VERSION_RULES } from "../protected.js";
import type { Rule } from "../scanner.js";
import { symbolRules } from "../symbols.js";
import { RUSSIAN_ABBREVIATIONS } from "./abbreviations.js";
import { RUSSIAN_DATES, RUSSIAN_TIMES } from "./dates.js";
import { RUSSIAN_ORDINALS, RUSSIAN_ROMANS } from "./ordinals.js";
import {
  RUSSIAN_FRACTIONS,
  RUSSIAN_MONEY,
  RUSSIAN_NUMBERS,
  RUSSIAN_PHONES,
  RUSSIAN_UNITS,
} from "./quantities.js";

const SYMBOLS = symbolRules({
  "&": "и",
  "%": "процентов",
  "‰": "промилле",
  "+": "плюс",
  "=": "равно",
  "#": "номер",
  "№": "номер",
  "§": "параграф",
  "@": "собака",
  "°": "градусов",
  "×": "умножить на",
  "÷": "разделить на",
  "≈": "примерно",
  "≠": "не равно",
  "<": "меньше",
  ">": "больше",
  "≤": "меньше или равно",
  "≥": "больше или равно",
  "±": "плюс-минус",
  "−": "минус",
  $: "долларов",
  "€": "евро",
  "₽": "рублей",
  "£": "фунтов",
  minus: "минус",
  about: "примерно",
  slash: "дробь",
  times: "умножить на",
});

/** How Russian reads what is not a word, first match first. */
export const RUSSIAN_RULES: readonly Rule[] = [
  ...RUSSIAN_PHONES,
  ...RUSSIAN_DATES,
  ...VERSION_RULES,
  ...RUSSIAN_TIMES,
  ...RUSSIAN_ORDINALS,
  ...RUSSIAN_MONEY,
  ...RUSSIAN_UNITS,
  ...RUSSIAN_FRACTIONS,
  ...RUSSIAN_NUMBERS,
  ...RUSSIAN_ROMANS,
  ...RUSSIAN_ABBREVIATIONS,
  ...SYMBOLS,
];
