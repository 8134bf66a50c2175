import { wordBefore, wordsBefore } from "../context.js";
import { analyse } from "./nouns.js";
import { pluralForm, type Case, type Gender } from "./numerals.js";

/** The cases that a word governs, the usual one with numbers first. */
const GOVERNS: Readonly<Record<string, string>> = {
  от: "g",
  ото: "g",
  до: "g",
  из: "g",
  изо: "g",
  без: "g",
  около: "g",
  более: "g",
  менее: "g",
  больше: "g",
  меньше: "g",
  свыше: "g",
  порядка: "g",
  у: "g",
  для: "g",
  после: "g",
  кроме: "g",
  среди: "g",
  вместо: "g",
  против: "g",
  вокруг: "g",
  выше: "g",
  ниже: "g",
  старше: "g",
  младше: "g",
  позднее: "g",
  позже: "g",
  раньше: "g",
  ранее: "g",
  накануне: "g",
  течение: "g",
  с: "gi",
  со: "gi",
  к: "d",
  ко: "d",
  благодаря: "d",
  согласно: "d",
  по: "ad",
  за: "ai",
  под: "ai",
  через: "a",
  спустя: "a",
  про: "a",
  в: "ap",
  во: "ap",
  на: "ap",
  над: "i",
  перед: "i",
  между: "i",
  о: "p",
  об: "p",
  при: "p",
};

const ABOUT = /(?<!\p{L})ок\.[ \u00a0]{0,2}$/iu;

/** The cases that the word before `index` governs ("gi" for с), "" where it governs none. */
export function governedCases(text: string, index: number): string {
  if (ABOUT.test(text.slice(Math.max(0, index - 6), index))) return "g";
  return GOVERNS[wordBefore(text, index)] ?? "";
}

/** The case of a quantity whose unit is written as a sign, so that no ending tells the case. */
export function quantityCase(text: string, index: number, count: bigint): Case {
  const cases = governedCases(text, index);
  return cases === "ad" && count === 1n ? "d" : ((cases[0] ?? "n") as Case);
}

/** Words after a number that are not what is counted. */
export const FUNCTION_WORDS: ReadonlySet<string> = new Set(
  "и или а но да не ни на за по до от из к ко у о об в во с со для без при под над через это же бы были стали пришли ушли могли смогли ли если они мы вы раза".split(
    " ",
  ),
);
const FEMININE_SOFT = /(?:ость|есть|асть|исть|знь|чь|шь|щь|жь|вь|ель|оль|аль|ысь|сь|адь|едь|ть)$/u;
const MASCULINE_SOFT = new Set(
  "день дождь гость огонь путь конь зверь рубль гвоздь лагерь словарь календарь фонарь корабль автомобиль январь февраль отель тоннель апрель туннель картель бюллетень госпиталь фестиваль сигналь медведь лебедь голубь червь ноготь коготь локоть лось карась гусь король контроль пароль тополь руль стиль".split(
    " ",
  ),
);
const FEMININE_SOFT_WORDS = new Set(
  "дверь тетрадь лошадь соль ель цепь степь осень кость кровь любовь церковь морковь деталь модель цель роль боль мель вещь ночь печь речь мышь мысль подпись запись надпись площадь очередь сеть нефть шерсть смерть тень лень ткань грань дань ступень".split(
    " ",
  ),
);
const MASCULINE_IN_A = /^(?:мужчин|дедушк|юнош|судь|дяд|пап|старшин|коллег|убийц)/u;
/** Feminine nouns in -а, whose prepositional -е looks like a masculine one's. */
const FEMININE_PREPOSITIONAL = new Set(
  "стране книге минуте секунде комнате школе команде группе машине сцене главе статье неделе странице версии части точке строке таблице школе квартире улице линии тысяче штуке тонне коробке бутылке песне игре задаче партии серии войне реке семье больнице столице папке кнопке сессии ошибке попытке копейке фотографии компании станции".split(
    " ",
  ),
);

const SKIPPED_ADJECTIVE = /(?:ых|их|ые|ие|ым|им|ыми|ими)$/u;

export interface Agreement {
  readonly kase: Case;
  readonly gender: Gender;
}

/**
 * Case and gender of a whole number from the preposition before it and the noun after it, `next` (with the word after
 * that one, for an adjective in between). Nouns are judged by their endings; a short list holds the exceptions.
 */
export function numberAgreement(
  text: string,
  index: number,
  count: bigint,
  next: string,
  afterNext: string,
): Agreement {
  const cases = governedCases(text, index);
  const adverb = wordsBefore(text, index);
  const governed = adverb.startsWith("не ") ? (GOVERNS[adverb.slice(3)] ?? cases) : cases;
  const form = pluralForm(count);
  let word = next.toLowerCase();
  if (FUNCTION_WORDS.has(word) || /^[a-z]/.test(word)) word = "";
  if (form !== "one" && SKIPPED_ADJECTIVE.test(word) && word.length > 3 && afterNext !== "") {
    word = afterNext.toLowerCase();
  }
  const kase = nounCase(governed, word, count);
  return { kase, gender: nounGender(word, kase, form === "one") };
}

function nounCase(cases: string, word: string, count: bigint): Case {
  const first = (cases[0] ?? "n") as Case;
  if (pluralForm(count) !== "one") {
    if (/.[ая]ми$/u.test(word)) return "i";
    if (/..[ая]х$/u.test(word)) return "p";
    if (cases.includes("d") && /.[ая]м$/u.test(word)) return "d";
    return first;
  }
  switch (cases) {
    case "ad":
      return count === 1n || /[уюеи]$/u.test(word) ? "d" : "a";
    case "ap":
      return /(?:[еи]|ом|ем|ой|ей)$/u.test(word) && !/[оеё]е$/u.test(word) ? "p" : "a";
    case "ai":
    case "gi":
      return /(?:ом|ем|ой|ей|ью|ым|им)$/u.test(word) ? "i" : first;
    case "":
      return /[ую]$/u.test(word) ? "a" : "n";
    default:
      return first;
  }
}

function nounGender(word: string, kase: Case, one: boolean): Gender {
  if (word === "" || MASCULINE_IN_A.test(word)) return "m";
  const known = analyse(word)[0];
  if (known !== undefined) return known.noun.gender;
  if (!one) return /[ыи]$/u.test(word) && !/мени$/u.test(word) && (kase === "n" || kase === "a") ? "f" : "m";
  switch (kase) {
    case "n":
    case "a":
      if (/мя$/u.test(word)) return "n";
      if (/[ое]$/u.test(word)) return "n";
      if (kase === "a" ? /[ую]$/u.test(word) : /[ая]$/u.test(word)) return "f";
      return isFeminineSoft(word) ? "f" : "m";
    case "g":
      return /(?:[ыи]|ой|ей)$/u.test(word) ? "f" : "m";
    case "d":
      return /(?:[еи]|ой|ей)$/u.test(word) ? "f" : "m";
    case "i":
      return /(?:ой|ей|ью)$/u.test(word) ? "f" : "m";
    case "p":
      return /(?:ии|ости|ой|ей)$/u.test(word) || FEMININE_PREPOSITIONAL.has(word) ? "f" : "m";
  }
}

function isFeminineSoft(word: string): boolean {
  if (!word.endsWith("ь") || MASCULINE_SOFT.has(word) || /(?:тель|арь|брь)$/u.test(word)) return false;
  return FEMININE_SOFT_WORDS.has(word) || FEMININE_SOFT.test(word);
}
