import { TokenizerError } from "../errors.js";
import { byteCharacters } from "./byte-alphabet.js";
import { StringPacker } from "./string-table.js";
import { Vocabulary } from "./vocabulary.js";

const BYTES = Object.fromEntries(byteCharacters().map((character, byte) => [character, byte]));

function fromJson(json: string): Vocabulary {
  return Vocabulary.fromJson(json, "vocab.json", () => JSON.parse(json) as Record<string, unknown>);
}

/** The bytes' entries, with another end. */
function ending(end: string): string {
  return JSON.stringify(BYTES).slice(0, -1) + end;
}

/** Ids of some tokens, and the tokens of all ids. */
function content(vocabulary: Vocabulary, tokens: readonly string[]) {
  return {
    ids: tokens.map((token) => vocabulary.idOf(token)),
    tokens: Array.from({ length: vocabulary.size + 2 }, (_, id) => vocabulary.tokenOf(id - 1)),
  };
}

const ENTRIES = { ...BYTES, 'a"b': 300, "\\n": 257, "": 258, ünï: 299, toString: 260, 77: 261, "😀": 262 };
const none = undefined;
const ASKED = [
  'a"b',
  "\\n",
  "",
  "ünï",
  "toString",
  "hasOwnProperty",
  "__proto__",
  "77",
  "88",
  "😀",
  "a",
  "nope",
];

test.each([
  ["compact", JSON.stringify(ENTRIES)],
  ["spaced", JSON.stringify(ENTRIES, null, "\t")],
  [
    "with escapes",
    JSON.stringify(ENTRIES).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
  ],
  ["with a number that is not plain", JSON.stringify(ENTRIES).replace(":300", ":3e2")],
])("%s JSON gives what its object gives", (_, json) => {
  const expected = content(Vocabulary.fromEntries(ENTRIES, "vocab.json"), ASKED);
  expect(content(fromJson(json), ASKED)).toEqual(expected);
  expect(expected.ids).toEqual([300, 257, 258, 299, 260, none, none, 261, none, 262, BYTES["a"], none]);
});

test("of two entries with one token the last counts, as in an object", () => {
  const json = JSON.stringify(BYTES).replace("{", '{"dup":280,"dup":281,');
  expect(content(fromJson(json), ["dup"]).ids).toEqual([281]);
  expect(fromJson(json).tokenOf(280)).toBeUndefined();
  expect(fromJson(json).tokenOf(281)).toBe("dup");
});

test.each([
  ["an entry without value", '{"a":}', SyntaxError],
  ["a comma at the end", ending(",}"), SyntaxError],
  ["text behind", `${JSON.stringify(BYTES)} x`, SyntaxError],
  ["a leading zero", ending(',"x":07}'), SyntaxError],
  ["a line break in a token", ending(',"x\n":7}'), SyntaxError],
  ["an open string", '{"a', SyntaxError],
  ["a negative id", ending(',"x":-7}'), TokenizerError],
  ["a fraction", ending(',"x":7.5}'), TokenizerError],
  ["an id out of range", ending(',"x":4194304}'), TokenizerError],
])("%s is refused", (_, json, error) => {
  expect(() => fromJson(json)).toThrow(error);
});

test("a table finds each of many strings, and a packer keeps to its limits", () => {
  const words = Array.from({ length: 5000 }, (_, i) => (i * 7919).toString(36));
  const packer = new StringPacker(words.join("").length, words.length);
  for (const word of words) packer.push(`<${word}>`, 1, word.length + 1);
  expect(() => packer.push("more")).toThrow(RangeError);
  const table = packer.finish();
  expect([table.size, table.distinct]).toEqual([5000, 5000]);
  expect(words.map((word) => table.get(word))).toEqual(words.map((_, i) => i));
  expect(words.map((_, i) => table.at(i))).toEqual(words);
  expect([table.get("more"), table.at(-1), table.at(5000), table.at(0.5)]).toEqual([none, none, none, none]);
});
