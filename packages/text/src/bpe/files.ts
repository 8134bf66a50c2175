import { TokenizerError } from "../errors.js";
import type { AddedToken } from "./added-tokens.js";
import { byteCharacters } from "./byte-alphabet.js";
import type { MergeRanks } from "./merge.js";
import { QWEN2_PATTERN } from "./pre-tokenizer.js";

/** What a tokenizer's files say, checked. */
export interface BpeTables {
  /** Id of every vocabulary entry, added tokens not included, as an own property. */
  readonly vocab: Readonly<Record<string, number>>;
  /** The entry of every id; holes where none has the id. */
  readonly tokens: (string | undefined)[];
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

// Ids index an array, so a hostile file must not choose its size; the largest vocabularies in use have 2^18 entries.
const MAX_ID = 2 ** 22;
const MAX_MERGES = 2 ** 22;
// Added tokens become one regular expression; multimodal tokenizers have some thousands of them.
const MAX_ADDED_TOKENS = 2 ** 16;

type Json = Readonly<Record<string, unknown>>;

/** @throws TokenizerError where a file is no such file, or lacks the byte tokens or the added tokens */
export function parseFiles(files: BpeFiles): BpeTables {
  const vocabulary = readVocab(parseObject(files.vocabJson, "vocab.json"), "vocab.json");
  const lines = files.mergesTxt.split(files.mergesTxt.includes("\r") ? /\r?\n/ : "\n");
  while (lines.at(-1) === "") lines.pop();
  const ranks = readMerges(lines[0]?.startsWith("#version") === true ? lines.slice(1) : lines, "merges.txt");

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
  return { ...vocabulary, ranks, added, nfc: true };
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
    ...readVocab(model["vocab"], file),
    ranks: readMerges(merges, file),
    added,
    nfc: normalizer != null,
  };
}

/** The object itself becomes the vocabulary: copying 150,000 entries into a Map would double the time to load. */
function readVocab(entries: Json, file: string): Pick<BpeTables, "vocab" | "tokens"> {
  const tokens: (string | undefined)[] = [];
  for (const token of Object.keys(entries)) {
    const id = entries[token];
    if (!isId(id)) {
      throw new TokenizerError(
        `${file}: token ${JSON.stringify(token)} has id ${String(id)}, expected 0 to ${MAX_ID - 1}`,
      );
    }
    tokens[id] = token;
  }
  const missing = byteCharacters().findIndex((character) => !Object.hasOwn(entries, character));
  if (missing >= 0) {
    throw new TokenizerError(
      `${file}: no token for byte ${missing}, a byte-level vocabulary has one for each of the 256`,
    );
  }
  return { vocab: entries as Record<string, number>, tokens };
}

function readMerges(merges: readonly string[], file: string): Map<string, number> {
  if (merges.length > MAX_MERGES) {
    throw new TokenizerError(`${file}: ${merges.length} merges, expected at most ${MAX_MERGES}`);
  }
  const ranks = new Map<string, number>();
  for (let rank = 0; rank < merges.length; rank++) {
    const merge = merges[rank]!;
    const space = merge.indexOf(" ");
    if (space <= 0 || space === merge.length - 1 || merge.includes(" ", space + 1)) {
      throw new TokenizerError(
        `${file}: merge ${rank + 1} is ${JSON.stringify(merge)}, expected two tokens and one space`,
      );
    }
    ranks.set(merge, rank);
  }
  return ranks;
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

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}
