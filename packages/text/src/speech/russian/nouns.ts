import { cardinal, decimal, forms, pluralForm, type Case, type Forms, type Gender } from "./numerals.js";
import type { WrittenNumber } from "../context.js";

export interface Noun {
  readonly gender: Gender;
  readonly singular: Forms;
  readonly plural: Forms;
  /** After 2, 3, 4 (два часа) and after 5 and more (пять часов) in the nominative. */
  readonly few: string;
  readonly many: string;
}

type Paradigm = "m" | "mь" | "mк" | "f" | "fк" | "fч" | "fя" | "fь" | "fия" | "nо" | "nие";

const PARADIGMS: Readonly<Record<Paradigm, readonly [Gender, Forms, Forms]>> = {
  m: ["m", forms("", "а", "у", "", "ом", "е"), forms("ы", "ов", "ам", "ы", "ами", "ах")],
  mь: ["m", forms("ь", "я", "ю", "ь", "ем", "е"), forms("и", "ей", "ям", "и", "ями", "ях")],
  mк: ["m", forms("", "а", "у", "", "ом", "е"), forms("и", "ов", "ам", "и", "ами", "ах")],
  f: ["f", forms("а", "ы", "е", "у", "ой", "е"), forms("ы", "", "ам", "ы", "ами", "ах")],
  fк: ["f", forms("а", "и", "е", "у", "ой", "е"), forms("и", "", "ам", "и", "ами", "ах")],
  fч: ["f", forms("а", "и", "е", "у", "ей", "е"), forms("и", "", "ам", "и", "ами", "ах")],
  fя: ["f", forms("я", "и", "е", "ю", "ей", "е"), forms("и", "ь", "ям", "и", "ями", "ях")],
  fь: ["f", forms("ь", "и", "и", "ь", "ью", "и"), forms("и", "ей", "ям", "и", "ями", "ях")],
  fия: ["f", forms("я", "и", "и", "ю", "ей", "и"), forms("и", "й", "ям", "и", "ями", "ях")],
  nо: ["n", forms("о", "а", "у", "о", "ом", "е"), forms("а", "", "ам", "а", "ами", "ах")],
  nие: ["n", forms("е", "я", "ю", "е", "ем", "и"), forms("я", "й", "ям", "я", "ями", "ях")],
};

/** A noun by stem and paradigm; `many` where the genitive plural is irregular (копеек, байт). */
export function noun(stem: string, paradigm: Paradigm, many?: string, plural?: Partial<Forms>): Noun {
  const [gender, singularEndings, pluralEndings] = PARADIGMS[paradigm];
  const attach = (endings: Forms): Forms =>
    forms(
      stem + endings.n,
      stem + endings.g,
      stem + endings.d,
      stem + endings.a,
      stem + endings.i,
      stem + endings.p,
    );
  const singular = attach(singularEndings);
  const regular = attach(pluralEndings);
  const manyForm = many ?? regular.g;
  return {
    gender,
    singular,
    plural: { ...regular, g: manyForm, ...plural },
    few: singular.g,
    many: manyForm,
  };
}

export function indeclinable(word: string, gender: Gender): Noun {
  const same = forms(word, word, word, word, word, word);
  return { gender, singular: same, plural: same, few: word, many: word };
}

/** A noun with a hard adjective before it (квадратный метр) and words that stay as they are after it (в час). */
export function phrase(adjective: string, base: Noun, tail = ""): Noun {
  const word = (ending: string, form: string): string =>
    (adjective === "" ? form : `${adjective}${ending} ${form}`) + (tail === "" ? "" : ` ${tail}`);
  const feminine = base.gender === "f";
  const y = adjective.endsWith("к") ? "и" : "ы"; // кубический
  const one = feminine
    ? forms("ая", "ой", "ой", "ую", "ой", "ой")
    : forms(`${y}й`, "ого", "ому", `${y}й`, `${y}м`, "ом");
  const many = forms(`${y}е`, `${y}х`, `${y}м`, `${y}е`, `${y}ми`, `${y}х`);
  const attach = (endings: Forms, of: Forms): Forms =>
    forms(
      word(endings.n, of.n),
      word(endings.g, of.g),
      word(endings.d, of.d),
      word(endings.a, of.a),
      word(endings.i, of.i),
      word(endings.p, of.p),
    );
  return {
    gender: base.gender,
    singular: attach(one, base.singular),
    plural: attach(many, base.plural),
    few: word(feminine ? `${y}е` : `${y}х`, base.few),
    many: word(`${y}х`, base.many),
  };
}

/** The form of a noun that goes with a whole number in a case. */
export function counted(n: bigint | number, kase: Case, of: Noun): string {
  const form = pluralForm(n);
  if (form === "one") return of.singular[kase];
  if (kase === "n" || kase === "a") return form === "few" ? of.few : of.many;
  return BigInt(n) % 1000n === 0n && BigInt(n) > 0n ? of.many : of.plural[kase];
}

/** A written number with its noun: два рубля, две целых пять десятых килограмма. */
export function quantity(value: WrittenNumber, kase: Case, of: Noun): string {
  if (value.fraction !== "") return `${decimal(value.integer, value.fraction, kase)} ${of.singular.g}`;
  return `${cardinal(value.integer, kase, of.gender)} ${counted(value.integer, kase, of)}`;
}

/** 5 тыс. рублей: the scale is counted, what is counted in it stands in the genitive plural. */
export function scaledQuantity(value: WrittenNumber, kase: Case, scale: Noun, of: Noun | null): string {
  const amount = quantity(value, kase, scale);
  return of === null ? amount : `${amount} ${of.many}`;
}

export const YEAR: Noun = {
  gender: "m",
  singular: forms("год", "года", "году", "год", "годом", "году"),
  plural: forms("годы", "лет", "годам", "годы", "годами", "годах"),
  few: "года",
  many: "лет",
};
export const CENTURY = noun("век", "mк", undefined, { n: "века", a: "века" });
const PERSON: Noun = {
  gender: "m",
  singular: forms("человек", "человека", "человеку", "человека", "человеком", "человеке"),
  plural: forms("люди", "человек", "людям", "людей", "людьми", "людях"),
  few: "человека",
  many: "человек",
};
export const HOUR = noun("час", "m");
export const MINUTE = noun("минут", "f");
export const SECOND = noun("секунд", "f");
const DAY: Noun = {
  ...noun("дн", "mь"),
  singular: forms("день", "дня", "дню", "день", "днём", "дне"),
};
const MONTH = noun("месяц", "m", "месяцев");
const WEEK = noun("недел", "fя");
const PERCENT = noun("процент", "m");
const DEGREE = noun("градус", "m");
const METRE = noun("метр", "m");
const KILOMETRE = noun("километр", "m");
const CENTIMETRE = noun("сантиметр", "m");
const MILLIMETRE = noun("миллиметр", "m");
const GRAM = noun("грамм", "m");
const KILOGRAM = noun("килограмм", "m");
const LITRE = noun("литр", "m");
const TONNE = noun("тонн", "f");
const PIECE = noun("штук", "fк");
const PAGE = noun("страниц", "f");

/** Units whose genitive plural equals the nominative: пять вольт, шестнадцать гигабайт. */
const bare = (name: string): Noun => noun(name, "m", name);

export const SCALES: Readonly<Record<string, Noun>> = {
  тыс: noun("тысяч", "fч"),
  тысяч: noun("тысяч", "fч"),
  млн: noun("миллион", "m"),
  млрд: noun("миллиард", "m"),
  трлн: noun("триллион", "m"),
};

/** Units by the sign that stands after a number. Case counts: В is volt, в a preposition. */
export const UNITS: Readonly<Record<string, Noun>> = {
  "%": PERCENT,
  "‰": indeclinable("промилле", "n"),
  "°C": phrase("", DEGREE, "Цельсия"),
  "°С": phrase("", DEGREE, "Цельсия"),
  "°F": phrase("", DEGREE, "Фаренгейта"),
  "°": DEGREE,
  км: KILOMETRE,
  м: METRE,
  дм: noun("дециметр", "m"),
  см: CENTIMETRE,
  мм: MILLIMETRE,
  мкм: noun("микрометр", "m"),
  нм: noun("нанометр", "m"),
  "м²": phrase("квадратн", METRE),
  м2: phrase("квадратн", METRE),
  "кв. м": phrase("квадратн", METRE),
  "км²": phrase("квадратн", KILOMETRE),
  "кв. км": phrase("квадратн", KILOMETRE),
  "см²": phrase("квадратн", CENTIMETRE),
  "м³": phrase("кубическ", METRE),
  м3: phrase("кубическ", METRE),
  "куб. м": phrase("кубическ", METRE),
  "км/ч": phrase("", KILOMETRE, "в час"),
  "м/с": phrase("", METRE, "в секунду"),
  "км/с": phrase("", KILOMETRE, "в секунду"),
  "об/мин": phrase("", noun("оборот", "m"), "в минуту"),
  кг: KILOGRAM,
  г: GRAM,
  гр: GRAM,
  мг: noun("миллиграмм", "m"),
  т: TONNE,
  ц: noun("центнер", "m"),
  л: LITRE,
  мл: noun("миллилитр", "m"),
  га: noun("гектар", "m"),
  ч: HOUR,
  час: HOUR,
  мин: MINUTE,
  сек: SECOND,
  мс: noun("миллисекунд", "f"),
  сут: noun("сут", "fк", "суток"),
  дн: DAY,
  нед: WEEK,
  мес: MONTH,
  шт: PIECE,
  чел: PERSON,
  экз: noun("экземпляр", "m"),
  стр: PAGE,
  В: bare("вольт"),
  кВ: bare("киловольт"),
  А: bare("ампер"),
  мА: bare("миллиампер"),
  Вт: bare("ватт"),
  кВт: bare("киловатт"),
  МВт: bare("мегаватт"),
  "кВт·ч": noun("киловатт-час", "m"),
  Ом: noun("ом", "m"),
  Гц: bare("герц"),
  кГц: bare("килогерц"),
  МГц: bare("мегагерц"),
  ГГц: bare("гигагерц"),
  дБ: bare("децибел"),
  Дж: noun("джоул", "mь"),
  кДж: noun("килоджоул", "mь"),
  Па: noun("паскал", "mь"),
  кПа: noun("килопаскал", "mь"),
  кал: noun("калори", "fия"),
  ккал: noun("килокалори", "fия"),
  Б: bare("байт"),
  КБ: bare("килобайт"),
  Кб: bare("килобит"),
  МБ: bare("мегабайт"),
  Мб: bare("мегабит"),
  ГБ: bare("гигабайт"),
  ТБ: bare("терабайт"),
  "Мбит/с": phrase("", bare("мегабит"), "в секунду"),
  "Гбит/с": phrase("", bare("гигабит"), "в секунду"),
  "л.с": phrase("лошадин", noun("сил", "f")),
  "л. с": phrase("лошадин", noun("сил", "f")),
  km: KILOMETRE,
  m: METRE,
  cm: CENTIMETRE,
  mm: MILLIMETRE,
  kg: KILOGRAM,
  g: GRAM,
  GB: bare("гигабайт"),
  MB: bare("мегабайт"),
  KB: bare("килобайт"),
  TB: bare("терабайт"),
  GHz: bare("гигагерц"),
  MHz: bare("мегагерц"),
  kHz: bare("килогерц"),
  Hz: bare("герц"),
};

export interface Currency {
  readonly unit: Noun;
  readonly cents: Noun | null;
}

const KOPECKS = noun("копейк", "fк", "копеек");
const CENT = noun("цент", "m");

const ROUBLE: Currency = { unit: noun("рубл", "mь"), cents: KOPECKS };
const DOLLAR: Currency = { unit: noun("доллар", "m"), cents: CENT };
const EURO: Currency = { unit: indeclinable("евро", "m"), cents: CENT };

export const CURRENCIES: Readonly<Record<string, Currency>> = {
  "₽": ROUBLE,
  руб: ROUBLE,
  р: ROUBLE,
  RUB: ROUBLE,
  $: DOLLAR,
  долл: DOLLAR,
  USD: DOLLAR,
  "€": EURO,
  EUR: EURO,
  "£": { unit: noun("фунт", "m"), cents: noun("пенс", "m") },
  GBP: { unit: noun("фунт", "m"), cents: noun("пенс", "m") },
  "¥": { unit: noun("юан", "mь"), cents: null },
  CNY: { unit: noun("юан", "mь"), cents: null },
  "₴": { unit: noun("гривн", "f", "гривен"), cents: KOPECKS },
  "₸": { unit: indeclinable("тенге", "m"), cents: null },
  коп: { unit: KOPECKS, cents: null },
  цент: { unit: CENT, cents: null },
};

/** Nouns that are often counted in ranges or numbered: recognised in any of their forms. */
const KNOWN: readonly Noun[] = [
  YEAR,
  CENTURY,
  HOUR,
  MINUTE,
  SECOND,
  DAY,
  MONTH,
  WEEK,
  PERSON,
  PERCENT,
  DEGREE,
  METRE,
  KILOMETRE,
  CENTIMETRE,
  MILLIMETRE,
  GRAM,
  KILOGRAM,
  LITRE,
  TONNE,
  PIECE,
  PAGE,
  ROUBLE.unit,
  DOLLAR.unit,
  KOPECKS,
  noun("раз", "m", "раз"),
  noun("балл", "m"),
  noun("мест", "nо"),
  noun("глав", "f"),
  noun("част", "fь"),
  noun("стать", "fя", "статей"),
  noun("книг", "fк"),
  noun("сери", "fия"),
  noun("том", "m", undefined, { n: "тома", a: "тома" }),
  noun("раздел", "m"),
  noun("пункт", "m"),
  noun("этап", "m"),
  noun("тур", "m"),
  noun("съезд", "m"),
  noun("класс", "m"),
  noun("курс", "m"),
  noun("квартал", "m"),
  noun("этаж", "m", "этажей"),
];

export interface NounForm {
  readonly noun: Noun;
  readonly kase: Case;
  readonly plural: boolean;
}

const BY_FORM = new Map<string, NounForm[]>();
for (const entry of KNOWN) {
  for (const plural of [false, true]) {
    for (const [kase, form] of Object.entries(plural ? entry.plural : entry.singular)) {
      const found = BY_FORM.get(form) ?? [];
      found.push({ noun: entry, kase: kase as Case, plural });
      BY_FORM.set(form, found);
    }
  }
}
// годов: the plural of the ordinals (девяностых годов), where лет goes with cardinals
BY_FORM.set("годов", [{ noun: YEAR, kase: "g", plural: true }]);

/** What a form of a known noun can be, in the order singular before plural, nominative first; [] for others. */
export function analyse(word: string): readonly NounForm[] {
  return BY_FORM.get(word.toLowerCase()) ?? [];
}
