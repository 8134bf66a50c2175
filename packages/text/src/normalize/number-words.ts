/** What an English word means inside a spelled-out number. */
export type NumberWord =
  | { readonly kind: "zero" }
  /** one to nineteen, twenty to ninety, hundred and up; with a suffix (`th`, `s`) the word ends its number. */
  | { readonly kind: "unit" | "ten" | "multiplier"; readonly value: bigint; readonly suffix: string }
  /** Goes before the number that follows: minus, plus. */
  | { readonly kind: "sign"; readonly symbol: string }
  /** Goes before the number that it follows: dollars. */
  | { readonly kind: "currency"; readonly symbol: string }
  | { readonly kind: "percent" | "per" | "and" | "double" | "triple" | "point" };

const UNITS = (
  "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
  "eighteen nineteen"
).split(" ");
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const THOUSANDS =
  "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion".split(
    " ",
  );
const IRREGULAR_ORDINALS: Readonly<Record<string, readonly [word: string, suffix: string]>> = {
  one: ["first", "st"],
  two: ["second", "nd"],
  three: ["third", "rd"],
  five: ["fifth", "th"],
  twelve: ["twelfth", "th"],
};
const SYMBOLS = { sign: { minus: "-", negative: "-", plus: "+", positive: "+" } } as const;
const CURRENCIES = { pound: "£", euro: "€", dollar: "$", cent: "¢" } as const;

const MULTIPLIERS: readonly string[] = ["hundred", ...THOUSANDS];

export const NUMBER_WORDS: ReadonlyMap<string, NumberWord> = lexicon();

/** Signs and currencies that may stand before digits. */
export const NUMBER_PREFIXES: ReadonlySet<string> = new Set([
  ...Object.values(SYMBOLS.sign),
  ...Object.values(CURRENCIES),
]);

function lexicon(): Map<string, NumberWord> {
  const words = new Map<string, NumberWord>();
  for (const word of ["o", "oh", "zero"]) words.set(word, { kind: "zero" });

  words.set("zeroth", { kind: "unit", value: 0n, suffix: "th" });
  UNITS.forEach((word, i) => {
    const value = BigInt(i + 1);
    words.set(word, { kind: "unit", value, suffix: "" });
    words.set(word === "six" ? "sixes" : `${word}s`, { kind: "unit", value, suffix: "s" });
    const [ordinal, suffix] = IRREGULAR_ORDINALS[word] ?? [word + (word.endsWith("t") ? "h" : "th"), "th"];
    words.set(ordinal, { kind: "unit", value, suffix });
  });
  TENS.forEach((word, i) => {
    const value = BigInt(10 * (i + 2));
    const stem = word.slice(0, -1);
    words.set(word, { kind: "ten", value, suffix: "" });
    words.set(`${stem}ies`, { kind: "ten", value, suffix: "s" });
    words.set(`${stem}ieth`, { kind: "ten", value, suffix: "th" });
  });
  MULTIPLIERS.forEach((word, i) => {
    const value = i === 0 ? 100n : 1000n ** BigInt(i);
    for (const suffix of ["", "s", "th"]) words.set(word + suffix, { kind: "multiplier", value, suffix });
  });

  for (const [word, symbol] of Object.entries(SYMBOLS.sign)) words.set(word, { kind: "sign", symbol });
  for (const [word, symbol] of Object.entries(CURRENCIES)) {
    for (const form of [word, `${word}s`]) words.set(form, { kind: "currency", symbol });
  }
  for (const kind of ["percent", "per", "and", "double", "triple", "point"] as const)
    words.set(kind, { kind });
  return words;
}
