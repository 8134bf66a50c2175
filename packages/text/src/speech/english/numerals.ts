const SMALL =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  );
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const SCALES =
  "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion".split(
    " ",
  );
const LIMIT = 1000n ** BigInt(SCALES.length + 1);

function belowHundred(n: number): string {
  if (n < 20) return SMALL[n]!;
  const ten = TENS[Math.floor(n / 10) - 2]!;
  return n % 10 === 0 ? ten : `${ten}-${SMALL[n % 10]!}`;
}

function belowThousand(n: number): string {
  if (n < 100) return belowHundred(n);
  const hundred = `${SMALL[Math.floor(n / 100)]!} hundred`;
  return n % 100 === 0 ? hundred : `${hundred} ${belowHundred(n % 100)}`;
}

/**
 * A whole number in words, American style without "and": one hundred one.
 * @throws RangeError for a negative number or one of more than 36 digits
 */
export function cardinal(n: bigint | number): string {
  const value = BigInt(n);
  if (value < 0n || value >= LIMIT)
    throw new RangeError(`${value} has no name here: expected 0 to 36 digits`);
  if (value === 0n) return SMALL[0]!;
  const words: string[] = [];
  for (let power = SCALES.length; power >= 0; power--) {
    const group = Number((value / 1000n ** BigInt(power)) % 1000n);
    if (group === 0) continue;
    words.push(power === 0 ? belowThousand(group) : `${belowThousand(group)} ${SCALES[power - 1]!}`);
  }
  return words.join(" ");
}

const IRREGULAR: Readonly<Record<string, string>> = {
  one: "first",
  two: "second",
  three: "third",
  five: "fifth",
  eight: "eighth",
  nine: "ninth",
  twelve: "twelfth",
};

/** An ordinal in words: twenty-first, one hundredth. */
export function ordinal(n: bigint | number): string {
  return cardinal(n).replace(/[a-z]+$/, (last) => IRREGULAR[last] ?? last.replace(/y$/, "ie") + "th");
}

/** A year as it is said in pairs: nineteen oh five, two thousand five, twenty ten. */
export function yearWords(year: number): string {
  const [century, rest] = [Math.floor(year / 100), year % 100];
  if (year < 1000 || year > 9999 || (century % 10 === 0 && rest < 10)) return cardinal(year);
  if (rest === 0) return `${belowHundred(century)} hundred`;
  return `${belowHundred(century)} ${rest < 10 ? `oh ${SMALL[rest]!}` : belowHundred(rest)}`;
}

/** A decade: nineteen nineties, two thousands. */
export function decadeWords(decade: number): string {
  return pluralOf(decade < 100 ? belowHundred(decade) : yearWords(decade));
}

function pluralOf(words: string): string {
  return words.endsWith("y") ? `${words.slice(0, -1)}ies` : `${words}s`;
}

export function digitByDigit(digits: string): string {
  return Array.from(digits, (digit) => SMALL[Number(digit)]!).join(" ");
}

/** Two thirds, one half, three quarters. */
export function fractionWords(numerator: number, denominator: number): string {
  const one = numerator === 1;
  if (denominator === 2) return `${cardinal(numerator)} ${one ? "half" : "halves"}`;
  const part = denominator === 4 ? "quarter" : ordinal(denominator);
  return `${cardinal(numerator)} ${one ? part : `${part}s`}`;
}
