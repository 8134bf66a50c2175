/** Nominative, genitive, dative, accusative (inanimate), instrumental, prepositional. */
export type Case = "n" | "g" | "d" | "a" | "i" | "p";
export type Gender = "m" | "f" | "n";
/** Which form of a noun goes with a number: 1 рубль, 2 рубля, 5 рублей. */
export type PluralForm = "one" | "few" | "many";
export type Forms = Readonly<Record<Case, string>>;

export function forms(n: string, g: string, d: string, a: string, i: string, p: string): Forms {
  return { n, g, d, a, i, p };
}

const ONE: Readonly<Record<Gender, Forms>> = {
  m: forms("один", "одного", "одному", "один", "одним", "одном"),
  f: forms("одна", "одной", "одной", "одну", "одной", "одной"),
  n: forms("одно", "одного", "одному", "одно", "одним", "одном"),
};
const TWO = forms("два", "двух", "двум", "два", "двумя", "двух");
const TWO_FEMININE: Forms = { ...TWO, n: "две", a: "две" };
const THREE = forms("три", "трёх", "трём", "три", "тремя", "трёх");
const FOUR = forms("четыре", "четырёх", "четырём", "четыре", "четырьмя", "четырёх");

/** Numerals in -ь: пять, пяти, пятью. */
function soft(stem: string, oblique = stem): Forms {
  return forms(`${stem}ь`, `${oblique}и`, `${oblique}и`, `${stem}ь`, `${stem}ью`, `${oblique}и`);
}

/** Tens made of a unit and десят, both of which decline. */
function tens(stem: string, oblique = stem): Forms {
  const other = `${oblique}идесяти`;
  return forms(`${stem}ьдесят`, other, other, `${stem}ьдесят`, `${stem}ьюдесятью`, other);
}

function hundreds(unit: Forms, nominative: string): Forms {
  return forms(nominative, `${unit.g}сот`, `${unit.d}стам`, nominative, `${unit.i}стами`, `${unit.p}стах`);
}

const ZERO = forms("ноль", "ноля", "нолю", "ноль", "нолём", "ноле");
const EIGHT = soft("восем", "восьм");
const SMALL: readonly Forms[] = [
  ZERO,
  ONE.m,
  TWO,
  THREE,
  FOUR,
  soft("пят"),
  soft("шест"),
  soft("сем"),
  EIGHT,
  soft("девят"),
  ...["десят", "одиннадцат", "двенадцат", "тринадцат", "четырнадцат"].map((stem) => soft(stem)),
  ...["пятнадцат", "шестнадцат", "семнадцат", "восемнадцат", "девятнадцат"].map((stem) => soft(stem)),
];
const TENS: readonly Forms[] = [
  soft("двадцат"),
  soft("тридцат"),
  forms("сорок", "сорока", "сорока", "сорок", "сорока", "сорока"),
  tens("пят"),
  tens("шест"),
  tens("сем"),
  tens("восем", "восьм"),
  forms("девяносто", "девяноста", "девяноста", "девяносто", "девяноста", "девяноста"),
];
const HUNDREDS: readonly Forms[] = [
  forms("сто", "ста", "ста", "сто", "ста", "ста"),
  hundreds(TWO, "двести"),
  hundreds(THREE, "триста"),
  hundreds(FOUR, "четыреста"),
  ...[5, 6, 7, 8, 9].map((n) => hundreds(SMALL[n]!, `${SMALL[n]!.n}сот`)),
];

/** Names of 1000^2, 1000^3 …; as far as 36 digits. */
const ILLIONS = [
  "миллион",
  "миллиард",
  "триллион",
  "квадриллион",
  "квинтиллион",
  "секстиллион",
  "септиллион",
  "октиллион",
  "нониллион",
  "дециллион",
];
const LIMIT = 1000n ** BigInt(ILLIONS.length + 2);

/** Which noun form goes with a number. */
export function pluralForm(n: bigint | number): PluralForm {
  const hundred = Number(BigInt(n) % 100n);
  if (hundred >= 11 && hundred <= 19) return "many";
  const last = hundred % 10;
  return last === 1 ? "one" : last >= 2 && last <= 4 ? "few" : "many";
}

function scaleWord(power: number, count: number, kase: Case): string {
  const form = pluralForm(count);
  const direct = kase === "n" || kase === "a";
  if (power === 1) {
    if (form === "one") {
      return forms("тысяча", "тысячи", "тысяче", "тысячу", "тысячей", "тысяче")[kase];
    }
    if (direct) return form === "few" ? "тысячи" : "тысяч";
    return forms("", "тысяч", "тысячам", "", "тысячами", "тысячах")[kase];
  }
  const stem = ILLIONS[power - 2]!;
  if (form === "one") return stem + forms("", "а", "у", "", "ом", "е")[kase];
  if (direct) return stem + (form === "few" ? "а" : "ов");
  return stem + forms("", "ов", "ам", "", "ами", "ах")[kase];
}

function belowThousand(n: number, kase: Case, gender: Gender): string[] {
  const words: string[] = [];
  if (n >= 100) words.push(HUNDREDS[Math.floor(n / 100) - 1]![kase]);
  const rest = n % 100;
  const last = rest < 20 ? rest : rest % 10;
  if (rest >= 20) words.push(TENS[Math.floor(rest / 10) - 2]![kase]);
  if (last === 1) words.push(ONE[gender][kase]);
  else if (last === 2 && gender === "f") words.push(TWO_FEMININE[kase]);
  else if (last > 0) words.push(SMALL[last]![kase]);
  return words;
}

/**
 * A whole number in words. `gender` is that of the noun which follows and matters for 1 and 2 in the last place.
 * @throws RangeError for a negative number or one of more than 36 digits
 */
export function cardinal(n: bigint | number, kase: Case = "n", gender: Gender = "m"): string {
  const value = BigInt(n);
  if (value < 0n || value >= LIMIT)
    throw new RangeError(`${value} has no name here: expected 0 to 36 digits`);
  if (value === 0n) return ZERO[kase];
  const words: string[] = [];
  for (let power = ILLIONS.length + 1; power >= 0; power--) {
    const group = Number((value / 1000n ** BigInt(power)) % 1000n);
    if (group === 0) continue;
    words.push(...belowThousand(group, kase, power === 0 ? gender : power === 1 ? "f" : "m"));
    if (power > 0) words.push(scaleWord(power, group, kase));
  }
  return words.join(" ");
}

export type OrdinalGender = Gender | "pl";

const HARD: Readonly<Record<OrdinalGender, Forms>> = {
  m: forms("ый", "ого", "ому", "ый", "ым", "ом"),
  n: forms("ое", "ого", "ому", "ое", "ым", "ом"),
  f: forms("ая", "ой", "ой", "ую", "ой", "ой"),
  pl: forms("ые", "ых", "ым", "ые", "ыми", "ых"),
};
const THIRD: Readonly<Record<OrdinalGender, Forms>> = {
  m: forms("ий", "ьего", "ьему", "ий", "ьим", "ьем"),
  n: forms("ье", "ьего", "ьему", "ье", "ьим", "ьем"),
  f: forms("ья", "ьей", "ьей", "ью", "ьей", "ьей"),
  pl: forms("ьи", "ьих", "ьим", "ьи", "ьими", "ьих"),
};
const ORDINAL_STEMS = ["нулев", "перв", "втор", "трет", "четвёрт", "пят", "шест", "седьм", "восьм", "девят"];
const ORDINAL_TENS = ["двадцат", "тридцат", "сороков", "пятидесят", "шестидесят", "семидесят", "восьмидесят"];
const STRESSED = new Set(["нулев", "втор", "шест", "седьм", "восьм", "сороков"]);

function ordinalStem(n: number): string {
  if (n < 10) return ORDINAL_STEMS[n]!;
  if (n < 20) return SMALL[n]!.n.slice(0, -1);
  if (n < 90) return ORDINAL_TENS[n / 10 - 2]!;
  if (n === 90) return "девяност";
  return n === 100 ? "сот" : `${SMALL[n / 100]!.g}сот`;
}

function ordinalEnding(stem: string, kase: Case, gender: OrdinalGender): string {
  if (stem === "трет") return THIRD[gender][kase];
  const nominativeMasculine = gender === "m" && (kase === "n" || kase === "a");
  return nominativeMasculine && STRESSED.has(stem) ? "ой" : HARD[gender][kase];
}

/**
 * An ordinal in words; only its last word declines (тысяча девятьсот девяносто седьмого).
 * @throws RangeError for a negative number or one of more than 36 digits
 */
export function ordinal(n: bigint | number, kase: Case = "n", gender: OrdinalGender = "m"): string {
  const value = BigInt(n);
  if (value < 0n || value >= LIMIT)
    throw new RangeError(`${value} has no name here: expected 0 to 36 digits`);
  const group = Number(value % 1000n);
  if (group !== 0 || value === 0n) {
    const rest = group % 100;
    const last = rest === 0 ? group : rest < 20 || rest % 10 === 0 ? rest : rest % 10;
    const stem = ordinalStem(last);
    return join(leading(value - BigInt(last)), stem + ordinalEnding(stem, kase, gender));
  }
  let power = 1;
  while ((value / 1000n ** BigInt(power)) % 1000n === 0n) power++;
  const count = Number((value / 1000n ** BigInt(power)) % 1000n);
  const above = value - BigInt(count) * 1000n ** BigInt(power);
  const scale = power === 1 ? "тысячн" : `${ILLIONS[power - 2]!}н`;
  const prefix = count === 1 ? "" : compoundPrefix(count);
  return join(leading(above), prefix + scale + ordinalEnding(scale, kase, gender));
}

/** The words before an ordinal's last one: 1941 is тысяча, not одна тысяча. */
function leading(n: bigint): string {
  return n === 0n ? "" : cardinal(n).replace(/^одна тысяча/, "тысяча");
}

function join(before: string, last: string): string {
  return before === "" ? last : `${before} ${last}`;
}

/** A number as the first part of a compound (двадцатипятилетний, столетие, двухтысячный), below 1001. */
export function compoundPrefix(n: number): string {
  if (n === 1000) return "тысяче";
  let prefix = n >= 100 ? HUNDREDS[Math.floor(n / 100) - 1]!.g : "";
  if (n >= 100 && n < 200) prefix = "сто";
  const rest = n % 100;
  if (rest >= 20) prefix += rest >= 90 ? "девяносто" : TENS[Math.floor(rest / 10) - 2]!.g;
  const last = rest < 20 ? rest : rest % 10;
  if (last === 1) return `${prefix}одно`;
  return last === 0 ? prefix : prefix + SMALL[last]!.g;
}

/** Digits one by one, or after leading zeros as a number: 004 is ноль ноль четыре. */
export function digitGroup(digits: string): string {
  const zeros = /^0*/.exec(digits)![0].length;
  const words = Array<string>(zeros).fill("ноль");
  if (zeros < digits.length) words.push(cardinal(BigInt(digits.slice(zeros))));
  return words.join(" ");
}

export function digitByDigit(digits: string): string {
  return Array.from(digits, (digit) => SMALL[Number(digit)]!.n).join(" ");
}

const DECIMAL_STEMS = ["десят", "сот", "тысячн"];

/**
 * A decimal number: up to three decimals as a fraction (три целых четырнадцать сотых), more as digits one by one.
 * Both parts decline.
 */
export function decimal(integer: bigint, fraction: string, kase: Case = "n"): string {
  const part = (n: bigint, stem: string): string => {
    const one = pluralForm(n) === "one";
    const direct = kase === "n" || kase === "a";
    const ending = one ? HARD.f[kase] : direct ? "ых" : HARD.pl[kase];
    return `${cardinal(n, kase, "f")} ${stem}${ending}`;
  };
  const whole = part(integer, "цел");
  const stem = DECIMAL_STEMS[fraction.length - 1];
  if (stem === undefined) return `${whole} ${digitByDigit(fraction)}`;
  return `${whole} ${part(BigInt(fraction), stem)}`;
}

/** A fraction of whole numbers: три четвёртых, одна вторая. */
export function fractionWords(numerator: number, denominator: number, kase: Case = "n"): string {
  const one = pluralForm(numerator) === "one";
  const direct = kase === "n" || kase === "a";
  const below = one ? ordinal(denominator, kase, "f") : ordinal(denominator, direct ? "g" : kase, "pl");
  return `${cardinal(numerator, kase, "f")} ${below}`;
}
