import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { ConfigError } from "@voxquant/quant-core";
import { capitalizeLanguage, normalizeLanguage, SUPPORTED_LANGUAGES } from "./languages.js";
import { collapseRepetitions, mergeLanguages, parseOutput } from "./postprocess.js";

interface Table {
  parse_asr_output: { raw: string | number | null; forced: string | null; language: string; text: string }[];
  detect_and_fix_repetitions: { in: string; out: string }[];
  with_threshold: { in: string; threshold: number; out: string }[];
  merge_languages: { in: (string | null)[]; out: string }[];
  normalize_language_name: { in: string | null; out?: string; supported?: boolean; error?: string }[];
  supported_languages: string[];
}

const path = goldensFolder("qwen3-asr", "tables", "postprocess.json");

(path === null ? describe.skip : describe)("goldens", () => {
  const table = path === null ? null! : readGoldenJson<Table>(path);

  test("parse", () => {
    for (const { raw, forced, language, text } of table.parse_asr_output) {
      const parsed = parseOutput(raw === null ? null : String(raw), forced);
      expect({ raw, forced, ...parsed }).toEqual({ raw, forced, language, text });
    }
  });

  test("repetitions", () => {
    for (const row of table.detect_and_fix_repetitions)
      expect({ ...row, out: collapseRepetitions(row.in) }).toEqual(row);
    for (const row of table.with_threshold) {
      expect({ ...row, out: collapseRepetitions(row.in, row.threshold) }).toEqual(row);
    }
  });

  test("languages", () => {
    expect(SUPPORTED_LANGUAGES).toEqual(table.supported_languages);
    for (const row of table.merge_languages) expect({ ...row, out: mergeLanguages(row.in) }).toEqual(row);
    for (const { in: name, out, supported, error } of table.normalize_language_name) {
      if (name === null) continue; // not a string: the compiler's business
      if (error === undefined) expect([name, capitalizeLanguage(name)]).toEqual([name, out]);
      if (supported === true) expect(normalizeLanguage(name)).toBe(out);
      if (error !== undefined) expect(() => normalizeLanguage(name)).toThrow("language is empty");
    }
  });
});

test("languages by ISO code, and unknown ones with the list of the known", () => {
  expect(["yue", " DE ", "fil"].map(normalizeLanguage)).toEqual(["Cantonese", "German", "Filipino"]);
  expect(() => normalizeLanguage("Klingon")).toThrow(ConfigError);
  expect(() => normalizeLanguage("Klingon")).toThrow(
    /unsupported language "Klingon".*Chinese \(zh\).*Macedonian \(mk\)/,
  );
});

test("the clean-up takes time in proportion to the text", () => {
  const text = Array.from({ length: 200_000 }, (_, i) => String.fromCharCode(97 + ((i * i) % 23))).join("");
  expect(collapseRepetitions(`${text}${"ab".repeat(30_000)}`).length).toBeLessThan(text.length + 4);
});
