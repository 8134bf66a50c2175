import { goldensFolder, goldenVariants, readGoldenJson } from "@voxquant/goldens";
import { ByteLevelBpe } from "@voxquant/text";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  alignedWords,
  alignerText,
  alignerWords,
  buildAlignerInput,
  fixTimestamps,
  type AlignerWordOptions,
} from "./aligner-text.js";

interface Row {
  text: string;
  language: string;
  words: string[];
  aligner_text: string;
}

interface AlignerCase extends Row {
  audio_tokens: number;
  input_length: number;
  timestamp_positions: number[];
  raw_ms: number[];
  fixed_ms: number[];
  items: { text: string; start_time: number; end_time: number }[];
}

interface AlignerConfig {
  timestamp_token_id: number;
  thinker_config: { audio_token_id: number; audio_start_token_id: number; audio_end_token_id: number };
}

/**
 * Stand-ins for upstream's Japanese tagger and Korean word list, which are its data and not rules: the cuts that the
 * expected words themselves show. What is left to test is the rule around them.
 */
function dataOf(rows: readonly Row[]): (row: Row) => AlignerWordOptions {
  const korean = rows.filter((row) => row.language.toLowerCase() === "korean").flatMap((row) => row.words);
  return (row) => ({
    koreanWords: new Set(korean),
    japanese: (text) => {
      const cuts: string[] = [];
      let at = 0;
      for (const word of row.words) {
        const found = text.indexOf(word, at);
        cuts.push(text.slice(at, found), word);
        at = found + word.length;
      }
      return [...cuts, text.slice(at)];
    },
  });
}

const path = goldensFolder("qwen3-asr", "tables", "aligner-text.json");

(path === null ? describe.skip : describe)("tables", () => {
  const table =
    path === null
      ? null!
      : readGoldenJson<{ encode_timestamp: Row[]; fix_timestamp: { in: number[]; out: number[] }[] }>(path);

  test("words and aligner text", () => {
    const data = dataOf(table.encode_timestamp);
    for (const row of table.encode_timestamp) {
      const words = alignerWords(row.text, row.language, data(row));
      expect({ ...row, words, aligner_text: alignerText(words) }).toEqual(row);
    }
  });

  test("timestamp repairs", () => {
    for (const row of table.fix_timestamp) expect({ ...row, out: fixTimestamps(row.in) }).toEqual(row);
  });
});

const aligners = goldenVariants("qwen3-asr").filter(
  ({ folder }) =>
    existsSync(join(folder, "vocab.json")) &&
    readFileSync(join(folder, "config.json"), "utf8").includes("forced_aligner"),
);

for (const variant of aligners) {
  test(`cases of ${variant.name}`, () => {
    const read = (name: string): string => readFileSync(join(variant.folder, name), "utf8");
    const tokenizer = ByteLevelBpe.fromFiles({
      vocabJson: read("vocab.json"),
      mergesTxt: read("merges.txt"),
      tokenizerConfigJson: read("tokenizer_config.json"),
    });
    const config = JSON.parse(read("config.json")) as AlignerConfig;
    const tokens = {
      audioStartId: config.thinker_config.audio_start_token_id,
      audioTokenId: config.thinker_config.audio_token_id,
      audioEndId: config.thinker_config.audio_end_token_id,
    };
    const cases = variant.cases
      .map(({ jsonPath }) => readGoldenJson<AlignerCase>(jsonPath))
      .filter((item) => item.timestamp_positions !== undefined);
    const data = dataOf(cases);
    for (const item of cases) {
      const words = alignerWords(item.text, item.language, data(item));
      expect(words).toEqual(item.words);
      expect(alignerText(words)).toBe(item.aligner_text);
      const ids = buildAlignerInput(tokenizer, tokens, { words, audioTokens: item.audio_tokens });
      expect(ids).toHaveLength(item.input_length);
      const positions = ids.flatMap((id, at) => (id === config.timestamp_token_id ? [at] : []));
      expect(positions).toEqual(item.timestamp_positions);
      expect(fixTimestamps(item.raw_ms)).toEqual(item.fixed_ms);
      expect(alignedWords(words, item.fixed_ms)).toEqual(
        item.items.map(({ text, start_time, end_time }) => ({ text, start: start_time, end: end_time })),
      );
    }
  });
}

test("Japanese by the engine's segmenter, Korean without a word list", () => {
  expect(alignerWords("今日は良い天気です。", "Japanese").join("")).toBe("今日は良い天気です");
  expect(alignerWords("今日は良い天気です。", "Japanese").length).toBeGreaterThan(2);
  expect(alignerWords("오늘은 날씨가 좋네요.", "Korean")).toEqual(["오늘은", "날씨가", "좋네요"]);
});

test("the longest listed beginning of a Korean word counts, and two characters are never cut", () => {
  const koreanWords = new Set(["학생", "학생회", "저는", "날"]);
  expect(alignerWords("학생회장이 저는 날씨가", "Korean", { koreanWords })).toEqual([
    "학생회",
    "장이",
    "저는",
    "날씨가",
  ]);
});
