import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { normalizeBasic } from "./basic.js";
import { normalizeEnglish } from "./english.js";
import { AMERICAN_SPELLING } from "./english-spelling.js";

interface Row {
  normalizer: "english" | "basic";
  input: string;
  output: string;
  remove_diacritics?: string;
  split_letters?: string;
}

const rowsPath = goldensFolder("pipeline", "wer", "normalizers.json");
const spellingPath = goldensFolder("pipeline", "wer", "english-spelling.json");

(rowsPath === null ? test.skip : test)("goldens", () => {
  for (const { normalizer, input, ...expected } of readGoldenJson<{ rows: Row[] }>(rowsPath!).rows) {
    const output = normalizer === "english" ? normalizeEnglish(input) : normalizeBasic(input);
    expect([input, output]).toEqual([input, expected.output]);
    if (expected.remove_diacritics !== undefined) {
      expect(normalizeBasic(input, { removeDiacritics: true })).toBe(expected.remove_diacritics);
    }
    if (expected.split_letters !== undefined) {
      expect(normalizeBasic(input, { splitLetters: true })).toBe(expected.split_letters);
    }
  }
});

(spellingPath === null ? test.skip : test)("the spelling table is complete", () => {
  const table = Object.entries(readGoldenJson<Record<string, string>>(spellingPath!));
  expect([...AMERICAN_SPELLING]).toEqual(table.filter(([word]) => !word.includes(" ")));
});

// What the rules of english.py give, read by hand: cases beyond the goldens.
test.each([
  ["seven point", "7 point"],
  ["point taken", "point taken"],
  ["double trouble", "double trouble"],
  ["triple zero seven", "0007"],
  ["two point five million", "2500000"],
  ["one point two three thousand", "1230"],
  ["half a million people", "half a 1000000 people"],
  ["the nineteen sixties", "the 1960s"],
  ["two hundredth", "200th"],
  ["three decillion", `3${"0".repeat(33)}`],
  ["ten per cent per day", "10% per day"],
  ["five pounds and ten cents", "£5.10"],
  ["one", "one"],
  ["twenty one one", "211"],
  ["minus sign", "minus sign"],
  ["version 3.2.7", "version 3.2.7"],
])("numbers: %s", (input, output) => {
  expect(normalizeEnglish(input)).toBe(output);
});
