import { isSpeakable } from "./speakable.js";
import { parsePauses, PauseMarkupError } from "./pauses.js";
import { splitSentences, type SplitOptions } from "./sentences.js";

const texts = (text: string, options?: SplitOptions): string[] =>
  splitSentences(text, options).map((chunk) => chunk.text);

test("sentences of several scripts", () => {
  expect(texts("One. Two! Three?! Four… Five")).toEqual(["One.", "Two!", "Three?!", "Four…", "Five"]);
  expect(texts("Привет. Как дела? Хорошо!")).toEqual(["Привет.", "Как дела?", "Хорошо!"]);
  expect(texts("今天天气很好。我们去吧！“好。”他说")).toEqual([
    "今天天气很好。",
    "我们去吧！",
    "“好。”",
    "他说",
  ]);
  expect(texts("यह है। वह है॥")).toEqual(["यह है।", "वह है॥"]);
  expect(texts("هل أنت هنا؟ نعم.")).toEqual(["هل أنت هنا؟", "نعم."]);
  expect(texts("A heading\n\nA line\nthat goes on.")).toEqual(["A heading", "A line\nthat goes on."]);
  expect(texts(" \n ")).toEqual([]);
});

test("what keeps a sentence together", () => {
  for (const text of [
    "Mr. Fox met Dr. J. R. R. Lee at 10.30 a.m. in St. Ives, see fig. 3 and no. 5.",
    "А. С. Пушкин жил в г. Москве на ул. Арбат, д. 53, т. е. недалеко.",
    "Wait... what? he said (Really? Yes!) at last.",
    "«Да!» — сказал он.",
    "See https://example.com/a.b?c=1 or version 1.2.3 now.",
    "1. First point",
    "On Jan. 5 and Sept. 3rd, after 2 hrs. 5 min. of flight.",
    "Стоит 5 руб. 20 коп., едет 2 ч. 30 мин., живёт 1 г. 6 мес.",
    "В 1812 г. Наполеон вошёл в г. Москву.",
    "К концу XIX в. Англия росла.",
    "С 5 мая 1990 г. Иванов здесь.",
    "Долг — 3 млрд долл. США, ок. 5 % ВВП.",
  ]) {
    expect(texts(text)).toEqual([text]);
  }
  expect(texts("He came at 5 p.m. Then he left.")).toHaveLength(2);
  expect(texts("Это было в 1990 г. Потом и т. д. Конец.")).toEqual([
    "Это было в 1990 г.",
    "Потом и т. д.",
    "Конец.",
  ]);
  for (const two of [
    "Положите 200 г. Масло растопите.",
    "В Туле родился в 1990 г. Потом уехал.",
    "Стоит 5 долл. Потом ушёл.",
    "He left in Jan. Then he came.",
  ]) {
    expect([two, texts(two).length]).toEqual([two, 2]);
  }
  expect(texts("He (said one. Two without an end. Three.")).toHaveLength(3);
});

test("long sentences are cut at clause marks, then spaces, then anywhere but inside a character", () => {
  const clause = "a first part of words, a second part of words that runs on";
  expect(texts(clause, { maxCharacters: 40 })[0]).toBe("a first part of words,");
  expect(texts(clause, { maxWords: 6 })).toEqual([
    "a first part of words,",
    "a second part of words that",
    "runs on",
  ]);
  expect(texts("一二三，四五六七八九十", { maxCharacters: 6 })[0]).toBe("一二三，");
  expect(texts("👍🏽👍🏽👍🏽", { maxCharacters: 5 })).toEqual(["👍🏽", "👍🏽", "👍🏽"]);
  expect(texts("😀😀", { maxCharacters: 1 }).join("")).toBe("😀😀");
  expect(() => splitSentences("a", { maxCharacters: 0 })).toThrow(RangeError);
});

test("no text is lost or said twice", () => {
  const parts = [
    "word ",
    "слово, ",
    "т. ",
    "г. ",
    "A. ",
    "3.5 ",
    "? ",
    "… ",
    "(",
    ") ",
    "« ",
    "\n\n",
    "。",
    "字",
    "😀",
    "—",
    " ",
  ];
  let seed = 11;
  const next = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: next(60) }, () => parts[next(parts.length)]!).join("");
    const maxCharacters = 1 + next(40);
    const chunks = splitSentences(text, { maxCharacters, maxWords: 1 + next(8) });
    let end = 0;
    for (const chunk of chunks) {
      expect(text.slice(end, chunk.start).trim()).toBe("");
      expect(text.slice(chunk.start, chunk.end)).toBe(chunk.text);
      expect(chunk.text.length).toBeLessThanOrEqual(Math.max(maxCharacters, 2)); // 2: a pair is not torn
      expect(chunk.text).toBe(chunk.text.trim());
      end = chunk.end;
    }
    expect(text.slice(end).trim()).toBe("");
  }
});

test("pauses", () => {
  expect(parsePauses("One [pause:500ms] two [ PAUSE : 1.5s ][pause:0s]three<break time='2s'/>")).toEqual([
    { text: "One ", start: 0 },
    { pauseSeconds: 0.5 },
    { text: " two ", start: 17 },
    { pauseSeconds: 1.5 },
    { pauseSeconds: 0 },
    { text: "three", start: 48 },
    { pauseSeconds: 2 },
  ]);
  expect(parsePauses("[paused] [1] a < b")).toEqual([{ text: "[paused] [1] a < b", start: 0 }]);
  expect(parsePauses("  ")).toEqual([]);
  for (const bad of [
    "[pause]",
    "[pause:]",
    "[pause:5]",
    "[pause:-1s]",
    "[pause:61s]",
    "[pause:1s",
    "<break/>",
  ]) {
    let error: unknown;
    try {
      parsePauses(`ab ${bad} cd`);
    } catch (caught) {
      error = caught;
    }
    expect([bad, error]).toEqual([bad, expect.any(PauseMarkupError)]);
    expect((error as PauseMarkupError).position).toBe(3);
    expect((error as PauseMarkupError).message).toContain(bad.slice(0, 7));
  }
});

test("speakable", () => {
  expect(["a", "5", "字", "½"].map(isSpeakable)).toEqual([true, true, true, true]);
  expect(["", " \n", "?!…", "😀👍", "$ % —"].map(isSpeakable)).toEqual([false, false, false, false, false]);
});

test("much of anything is split in linear time (quadratic time would not end)", () => {
  for (const unit of [". ", "т. ", "А. ", "(а. ", "…", "\n", "字", "a", "a ", '"', "!? "]) {
    const text = unit.repeat(200_000 / unit.length);
    const chunks = splitSentences(text, { maxWords: 20 });
    expect(chunks.reduce((sum, chunk) => sum + chunk.text.replace(/\s/g, "").length, 0)).toBe(
      text.replace(/\s/g, "").length,
    );
  }
  expect(parsePauses("[pause:1ms] ".repeat(20_000))).toHaveLength(20_000);
  expect(() => parsePauses("[pause:".repeat(150_000))).toThrow(PauseMarkupError);
});
