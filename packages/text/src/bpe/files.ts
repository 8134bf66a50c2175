import { TokenizerError } from "../errors.js";
import type { AddedToken } from "./added-tokens.js";
import type { MergeRanks } from "./merge.js";
import { QWEN2_PATTERN } from "./pre-tokenizer.js";
import { StringPacker, type StringTable } from "./string-table.js";
import { isId, Vocabulary } from "./vocabulary.js";

/** What a tokenizer's files say, checked. */
export interface BpeTables {
  readonly vocabulary: Vocabulary;
  readonly ranks: MergeRanks;
  readonly added: readonly AddedToken[];
  /** True where text is brought to Unicode normal form C first. */
  readonly nfc: boolean;
}

/** Contents of the three files of a slow Qwen2 tokenizer. */
export interface BpeFiles {
  readonly vocabJson: string;
  readonly mergesTxt: string;
  readonly tokenizerConfigJson: string;
}

const MAX_MERGES = 2 ** 22;
/** Characters of the shortest merge with its line end, `a b`. */
const LEAST_MERGE = 4;
// Added tokens become one regular expression; multimodal tokenizers have some thousands of them.
const MAX_ADDED_TOKENS = 2 ** 16;

type Json = Readonly<Record<string, unknown>>;

/** @throws TokenizerError where a file is no such file, or lacks the byte tokens or the added tokens */
export function parseFiles(files: BpeFiles): BpeTables {
  const parse = () => parseObject(files.vocabJson, "vocab.json");
  const vocabulary = Vocabulary.fromJson(files.vocabJson, "vocab.json", parse);
  const ranks = readMerges(files.mergesTxt);

  const config = parseObject(files.tokenizerConfigJson, "tokenizer_config.json");
  const entries = config["added_tokens_decoder"];
  if (!isObject(entries)) {
    throw new TokenizerError(
      "tokenizer_config.json: added_tokens_decoder is missing, which names the special tokens",
    );
  }
  const added = Object.entries(entries).map(([id, entry]) =>
    readAddedToken(entry, Number(id), "tokenizer_config.json"),
  );
  checkAdded(added, "tokenizer_config.json");
  return { vocabulary, ranks, added, nfc: true };
}

/** @throws TokenizerError where the file asks for anything but byte-level BPE with Qwen2's pre-tokenizer */
export function parseTokenizerJson(json: string): BpeTables {
  const file = "tokenizer.json";
  const root = parseObject(json, file);
  const model = root["model"];
  if (!isObject(model) || !isObject(model["vocab"]) || !Array.isArray(model["merges"])) {
    throw new TokenizerError(`${file}: model has no vocab and merges, expected a BPE model`);
  }
  requireValues(model, { type: ["BPE", undefined] }, `${file}: model`);
  const off = [false, null, undefined];
  const none = ["", null, undefined];
  requireValues(
    model,
    {
      ignore_merges: off,
      byte_fallback: off,
      dropout: [null, undefined, 0],
      unk_token: none,
      continuing_subword_prefix: none,
      end_of_word_suffix: none,
    },
    `${file}: model`,
  );
  checkPreTokenizer(root["pre_tokenizer"], file);
  const normalizer = root["normalizer"];
  if (normalizer != null && !(isObject(normalizer) && normalizer["type"] === "NFC")) {
    throw new TokenizerError(`${file}: normalizer is ${JSON.stringify(normalizer)}, expected NFC or none`);
  }

  const merges = (model["merges"] as unknown[]).map((merge) => {
    const line = Array.isArray(merge) ? merge.join(" ") : merge; // older files: "left right", newer: [left, right]
    if (typeof line !== "string") throw new TokenizerError(`${file}: a merge is ${JSON.stringify(merge)}`);
    return line;
  });
  const entries = Array.isArray(root["added_tokens"]) ? (root["added_tokens"] as unknown[]) : [];
  const added = entries.map((entry) =>
    readAddedToken(entry, isObject(entry) ? entry["id"] : undefined, file),
  );
  checkAdded(added, file);
  return {
    vocabulary: Vocabulary.fromEntries(model["vocab"], file),
    ranks: packMerges(merges, file),
    added,
    nfc: normalizer != null,
  };
}

/** Merges by rank from the lines of merges.txt, of which the first may tell a version. @throws TokenizerError */
function readMerges(text: string): StringTable {
  const file = "merges.txt";
  let end = text.length;
  while (end > 0 && (text[end - 1] === "\n" || text[end - 1] === "\r")) end--;
  const packer = new StringPacker(end, Math.min(Math.ceil((end + 1) / LEAST_MERGE), MAX_MERGES));
  let rank = 0;
  let at = text.startsWith("#version") ? lineEnd(text, 0, end) + 1 : 0;
  while (at < end) {
    const stop = lineEnd(text, at, end);
    const merge = text[stop - 1] === "\r" ? stop - 1 : stop;
    checkMerge(text, at, merge, rank, file);
    packer.push(text, at, merge);
    rank++;
    at = stop + 1;
  }
  return packer.finish();
}

function lineEnd(text: string, at: number, end: number): number {
  const found = text.indexOf("\n", at);
  return found < 0 || found > end ? end : found;
}

function packMerges(merges: readonly string[], file: string): StringTable {
  const units = merges.reduce((sum, { length }) => sum + length, 0);
  const packer = new StringPacker(units, merges.length);
  merges.forEach((merge, rank) => {
    checkMerge(merge, 0, merge.length, rank, file);
    packer.push(merge);
  });
  return packer.finish();
}

/** @throws TokenizerError unless `text[from, to)` is two tokens and one space, and the rank is a possible one */
function checkMerge(text: string, from: number, to: number, rank: number, file: string): void {
  if (rank >= MAX_MERGES) throw new TokenizerError(`${file}: expected at most ${MAX_MERGES} merges`);
  const space = text.indexOf(" ", from);
  const second = space < 0 ? space : text.indexOf(" ", space + 1);
  if (space <= from || space >= to - 1 || (second >= 0 && second < to)) {
    throw new TokenizerError(
      `${file}: merge ${rank + 1} is ${JSON.stringify(text.slice(from, to))}, expected two tokens and one space`,
    );
  }
}

function readAddedToken(entry: unknown, id: unknown, file: string): AddedToken {
  const content = isObject(entry) ? entry["content"] : undefined;
  if (!isObject(entry) || !isId(id) || typeof content !== "string" || content === "") {
    throw new TokenizerError(`${file}: added token ${JSON.stringify(entry)} has no usable id and content`);
  }
  const special = entry["special"] === true;
  return {
    id,
    content,
    special,
    normalized: typeof entry["normalized"] === "boolean" ? entry["normalized"] : !special,
    singleWord: entry["single_word"] === true,
    lstrip: entry["lstrip"] === true,
    rstrip: entry["rstrip"] === true,
  };
}

function checkAdded(added: readonly AddedToken[], file: string): void {
  if (added.length > MAX_ADDED_TOKENS) {
    throw new TokenizerError(`${file}: ${added.length} added tokens, expected at most ${MAX_ADDED_TOKENS}`);
  }
}

/** Accepts ByteLevel alone after a split by Qwen2's pattern: any other cut would give other ids. */
function checkPreTokenizer(preTokenizer: unknown, file: string): void {
  const steps =
    isObject(preTokenizer) && preTokenizer["type"] === "Sequence"
      ? preTokenizer["pretokenizers"]
      : [preTokenizer];
  const [split, byteLevel, ...rest] = (Array.isArray(steps) ? steps : []) as unknown[];
  const pattern = isObject(split) && isObject(split["pattern"]) ? split["pattern"]["Regex"] : undefined;
  if (!isObject(split) || split["type"] !== "Split" || pattern !== QWEN2_PATTERN || rest.length > 0) {
    const found = JSON.stringify(preTokenizer ?? null).slice(0, 400);
    throw new TokenizerError(
      `${file}: pre_tokenizer is ${found}, expected Qwen2's split pattern and ByteLevel`,
    );
  }
  requireValues(split, { behavior: ["Isolated"], invert: [false, undefined] }, `${file}: pre_tokenizer`);
  if (!isObject(byteLevel)) throw new TokenizerError(`${file}: pre_tokenizer has no ByteLevel step`);
  requireValues(
    byteLevel,
    { type: ["ByteLevel"], add_prefix_space: [false], use_regex: [false] },
    `${file}: pre_tokenizer`,
  );
}

function requireValues(object: Json, allowed: Record<string, readonly unknown[]>, where: string): void {
  for (const [key, values] of Object.entries(allowed)) {
    if (!values.includes(object[key])) {
      throw new TokenizerError(
        `${where}.${key} is ${JSON.stringify(object[key])}, which this tokenizer does not do`,
      );
    }
  }
}

function parseObject(json: string, file: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TokenizerError(`${file}: not valid JSON (${(cause as Error).message})`, { cause });
  }
  if (!isObject(value)) throw new TokenizerError(`${file}: the JSON is no object`);
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
