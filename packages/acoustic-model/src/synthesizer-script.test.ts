import { ConfigError } from "@voxquant/quant-core";
import { writeScript } from "./synthesizer-script.js";

const plain = { normalize: false, language: "auto" };
const texts = (text: string, options = plain) => {
  const { sentences, spell } = writeScript(text, options);
  return sentences.map(spell);
};
const pauses = (text: string) => {
  const { pauseSeconds, sentences } = writeScript(text, plain);
  return [pauseSeconds, ...sentences.map((sentence) => sentence.pauseSeconds)];
};

test("sentences with the pauses between them, none after the last", () => {
  expect(texts("One. Two?\n\nThree")).toEqual(["One.", "Two?", "Three"]);
  expect(pauses("One. Two?\n\nThree")).toEqual([0, 0.2, 0.5, 0]);
});

test("a written pause takes the place of the usual one, wherever it stands", () => {
  const text = "[pause:1s]One. [pause:300ms][pause:0.2s] Two. <break time='0ms'/> Three. [pause:2s]";
  expect(texts(text)).toEqual(["One.", "Two.", "Three."]);
  expect(pauses(text)).toEqual([1, 0.5, 0, 2]);
});

test("a sentence too long to be spoken at once is cut with hardly a pause", () => {
  const text = `${"word ".repeat(80)}end.`;
  expect(texts(text).length).toBeGreaterThan(1);
  expect(pauses(text).slice(0, 2)).toEqual([0, 0.05]);
});

test("what cannot be spoken is left out", () => {
  expect(texts("One.\n\n* * *\n\nTwo.").join(" ")).toMatch(/^One\..* Two\.$/s);
  expect(texts("[pause:1s] 👍 [pause:1s] yes [pause:1s] …")).toEqual(["yes"]);
});

test("numbers are written out in the text's own language, unless that is switched off", () => {
  const text = "Call me at 5.";
  expect(texts(text, { normalize: true, language: "auto" })).toEqual(["Call me at five."]);
  expect(texts(text, { normalize: true, language: "English" })).toEqual(["Call me at five."]);
  expect(texts(text, { normalize: true, language: "german" })).toEqual([text]);
  expect(texts(text)).toEqual([text]);
  // The first sentence alone would tell nothing: the language is that of the whole text.
  const [, number] = texts("Мне нужно немного яблок сегодня. 5!", { normalize: true, language: "auto" });
  expect(number).toBe("пять!");
});

test.each([
  ["", /the text is empty/],
  [" \n\t", /the text is empty/],
  ["… !? 👍", /"… !\? 👍" has no letter or digit/],
  ["[pause:1s]", /has no letter or digit/],
  ["Wait [pause:soon] here", /"\[pause:soon\]" at character 5 is no pause/],
])("%j is refused", (text, message) => {
  const write = () => writeScript(text, { normalize: true, language: "auto" });
  expect(write).toThrow(ConfigError);
  expect(write).toThrow(message);
});
