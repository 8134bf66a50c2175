import { goldenVariants, readGoldenJson, type GoldenCase } from "@voxquant/goldens";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TokenizerError } from "../errors.js";
import { byteCharacters } from "./byte-alphabet.js";
import { ByteLevelBpe } from "./byte-level-bpe.js";
import type { BpeFiles } from "./files.js";
import { mergeByRank } from "./merge.js";
import { QWEN2_PATTERN } from "./pre-tokenizer.js";

interface TokenizerCases {
  special_ids: Record<string, number>;
  encode: {
    text: string;
    ids: number[];
    decoded: string;
    decoded_skip_special: string;
    pretokens?: string[];
  }[];
  decode: { ids: number[]; decoded: string; decoded_skip_special: string }[];
}

function readFiles(folder: string): BpeFiles {
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  return {
    vocabJson: read("vocab.json"),
    mergesTxt: read("merges.txt"),
    tokenizerConfigJson: read("tokenizer_config.json"),
  };
}

/** The same tokenizer as one tokenizer.json; merges as pairs or as lines. */
function asTokenizerJson(files: BpeFiles, pairs: boolean, change: object = {}): string {
  const lines = files.mergesTxt.split("\n").filter((line) => line !== "" && !line.startsWith("#version"));
  const config = JSON.parse(files.tokenizerConfigJson) as { added_tokens_decoder: Record<string, object> };
  return JSON.stringify({
    version: "1.0",
    added_tokens: Object.entries(config.added_tokens_decoder).map(([id, token]) => ({
      id: Number(id),
      ...token,
    })),
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: QWEN2_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: JSON.parse(files.vocabJson) as object,
      merges: pairs ? lines.map((line) => line.split(" ")) : lines,
    },
    ...change,
  });
}

const variants = goldenVariants("qwen3-asr").filter((variant) =>
  existsSync(join(variant.folder, "vocab.json")),
);

for (const { name, folder, cases } of variants) {
  describe(`goldens of ${name}`, () => goldenTests(folder, cases));
}

function goldenTests(folder: string, cases: readonly GoldenCase[]): void {
  const files = readFiles(folder);
  const golden = cases.find((item) => item.name === "tokenizer-cases");
  const { encode, decode, special_ids } =
    golden === undefined
      ? { encode: [], decode: [], special_ids: {} }
      : readGoldenJson<TokenizerCases>(golden.jsonPath);

  test.each([
    ["vocab.json and merges.txt", () => ByteLevelBpe.fromFiles(files)],
    ["tokenizer.json", () => ByteLevelBpe.fromTokenizerJson(asTokenizerJson(files, true))],
    [
      "tokenizer.json with merges as lines",
      () => ByteLevelBpe.fromTokenizerJson(asTokenizerJson(files, false)),
    ],
  ])("encodes and decodes, from %s", (_, load) => {
    const tokenizer = load();
    for (const row of encode) {
      expect([row.text, tokenizer.encode(row.text)]).toEqual([row.text, row.ids]);
      expect([row.text, tokenizer.encode(row.text)]).toEqual([row.text, row.ids]); // from the cache
      if (row.pretokens !== undefined) expect(tokenizer.preTokens(row.text)).toEqual(row.pretokens);
    }
    for (const row of [...encode, ...decode]) {
      expect([row.ids, tokenizer.decode(row.ids, { skipSpecial: false })]).toEqual([row.ids, row.decoded]);
      expect([row.ids, tokenizer.decode(row.ids, { skipSpecial: true })]).toEqual([
        row.ids,
        row.decoded_skip_special,
      ]);
    }
    for (const [token, id] of Object.entries(special_ids)) {
      expect([tokenizer.idOf(token), tokenizer.tokenOf(id)]).toEqual([id, token]);
    }
  });

  test("a stream decodes to the same text and never emits half a character", () => {
    const tokenizer = ByteLevelBpe.fromFiles(files);
    for (const skipSpecial of [false, true]) {
      const stream = tokenizer.streamDecoder({ skipSpecial });
      for (const { ids } of [...encode, ...decode]) {
        const pieces = ids.map((id) => stream.push(id));
        expect([ids, pieces.join("") + stream.flush()]).toEqual([
          ids,
          tokenizer.decode(ids, { skipSpecial }),
        ]);
      }
    }
    const snowman = Array.from(new TextEncoder().encode("☃"), (byte) =>
      tokenizer.idOf(byteCharacters()[byte]!)!,
    );
    const stream = tokenizer.streamDecoder();
    expect(snowman.map((id) => stream.push(id))).toEqual(["", "", "☃"]);
    expect(stream.push(snowman[0]!) + stream.flush()).toBe("\ufffd");
  });
}

describe("files", () => {
  const vocab = Object.fromEntries(byteCharacters().map((character, byte) => [character, byte]));
  const added = { "300": { content: "<end>", special: true }, "301": { content: "<end>x", special: true } };
  const config = JSON.stringify({ added_tokens_decoder: added });
  const files: BpeFiles = {
    vocabJson: JSON.stringify({ ...vocab, ab: 256 }),
    mergesTxt: "a b\n",
    tokenizerConfigJson: config,
  };

  test("merges with CRLF, the longest added token, ids without a token", () => {
    const tokenizer = ByteLevelBpe.fromFiles({ ...files, mergesTxt: "#version: 0.2\r\na b\r\n" });
    expect(tokenizer.encode("abb<end>x<end>")).toEqual([256, vocab["b"], 301, 300]);
    expect(tokenizer.vocabSize).toBe(302);
    expect(tokenizer.tokenOf(299)).toBeUndefined();
    expect(tokenizer.idOf("toString")).toBeUndefined();
    expect(tokenizer.decode([256, 299, 9_999_999, -1, 0.5, 300], { skipSpecial: true })).toBe("ab");
  });

  test("flags of added tokens", () => {
    const token = { content: "<m>", special: true, lstrip: true, rstrip: true };
    const word = { content: "b", special: false, single_word: true };
    const flagged = JSON.stringify({ added_tokens_decoder: { "300": token, "301": word } });
    const tokenizer = ByteLevelBpe.fromFiles({ ...files, tokenizerConfigJson: flagged });
    expect(tokenizer.encode("a  <m> \na b, bé")).toEqual([
      ...[vocab["a"], 300, vocab["a"], vocab["Ġ"], 301, vocab[","], vocab["Ġ"], vocab["b"]],
      ...[vocab["Ã"], vocab["©"]],
    ]);
  });

  const withoutA = Object.fromEntries(Object.entries(vocab).filter(([character]) => character !== "a"));
  const many = JSON.stringify({ added_tokens_decoder: { "5000000": { content: "x", special: true } } });
  test.each<[string, Partial<BpeFiles>, RegExp]>([
    ["no JSON", { vocabJson: "{" }, /vocab\.json: not valid JSON/],
    ["no object", { vocabJson: "[]" }, /vocab\.json: the JSON is no object/],
    [
      "an id out of range",
      { vocabJson: JSON.stringify({ ...vocab, x: 4e9 }) },
      /"x" has id 4000000000, expected 0 to/,
    ],
    ["an id that is no integer", { vocabJson: JSON.stringify({ ...vocab, x: "7" }) }, /"x" has id 7/],
    ["a byte without token", { vocabJson: JSON.stringify(withoutA) }, /no token for byte 97/],
    ["a merge of three", { mergesTxt: "a b\na b c" }, /merges\.txt: merge 2 is "a b c"/],
    ["no added tokens", { tokenizerConfigJson: "{}" }, /added_tokens_decoder is missing/],
    ["an added id out of range", { tokenizerConfigJson: many }, /no usable id/],
  ])("%s is an error", (_name, change, message) => {
    expect(() => ByteLevelBpe.fromFiles({ ...files, ...change })).toThrow(message);
    expect(() => ByteLevelBpe.fromFiles({ ...files, ...change })).toThrow(TokenizerError);
  });

  test("merges and vocabulary that do not belong together", () => {
    const tokenizer = ByteLevelBpe.fromFiles({ ...files, mergesTxt: "b a" });
    expect(() => tokenizer.encode("ba")).toThrow(/"ba", which the vocabulary lacks/);
  });

  test.each([
    ["another model", { model: { type: "Unigram", vocab: [] } }, /expected a BPE model/],
    [
      "another pattern",
      { pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true } },
      /expected Qwen2's/,
    ],
    ["another normalizer", { normalizer: { type: "NFKC" } }, /expected NFC or none/],
  ])("tokenizer.json with %s is an error", (_name, change, message) => {
    expect(() => ByteLevelBpe.fromTokenizerJson(asTokenizerJson(files, true, change))).toThrow(message);
  });
});

test("merging takes the lowest rank first, then the leftmost, whatever the length", () => {
  const ranks = new Map([["b c", 0], ["a b", 1], ["a a", 2], ["aa aa", 3]]); // prettier-ignore
  expect(mergeByRank([..."abc"], ranks)).toEqual(["a", "bc"]);
  expect(mergeByRank([..."aaaaa"], ranks)).toEqual(["aaaa", "a"]);
  expect(mergeByRank([], ranks)).toEqual([]);
  const length = 200_001;
  const merged = mergeByRank(
    Array.from({ length }, () => "a"),
    ranks,
  );
  expect(merged.length).toBe(50_001);
});
