import { TokenizerError } from "../errors.js";
import { byteCharacters } from "./byte-alphabet.js";
import { StringPacker, type StringTable } from "./string-table.js";

// Ids index an array, so a hostile file must not choose its size; the largest vocabularies in use have 2^18 entries.
export const MAX_ID = 2 ** 22;

/** Tokens and their ids, added tokens not included. */
export class Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  readonly #tokens: StringTable;
  /** By place in the table. */
  readonly #ids: Int32Array;
  /** By id: place in the table and one, 0 where no token has the id. */
  readonly #places: Int32Array;

  private constructor(tokens: StringTable, ids: Int32Array) {
    this.#tokens = tokens;
    this.#ids = ids;
    this.size = ids.reduce((highest, id) => (id > highest ? id : highest), -1) + 1;
    this.#places = new Int32Array(this.size);
    ids.forEach((id, place) => (this.#places[id] = place + 1));
  }

  /**
   * From the text of a vocab.json: an object of ids by token.
   * @param file its name, for messages
   * @param parse reads it where it is not written in the plain way, and says what is wrong with it
   * @throws TokenizerError
   */
  static fromJson(json: string, file: string, parse: () => Readonly<Record<string, unknown>>): Vocabulary {
    const scanned = scan(json);
    return scanned === null ? Vocabulary.fromEntries(parse(), file) : check(new Vocabulary(...scanned), file);
  }

  /** From ids by token, as own properties. @throws TokenizerError for what is no id, or if a byte has no token */
  static fromEntries(entries: Readonly<Record<string, unknown>>, file: string): Vocabulary {
    const tokens = Object.keys(entries);
    const units = tokens.reduce((sum, { length }) => sum + length, 0);
    const packer = new StringPacker(units, tokens.length);
    const ids = Int32Array.from(tokens, (token) => {
      const id = entries[token];
      if (!isId(id)) {
        throw new TokenizerError(
          `${file}: token ${JSON.stringify(token)} has id ${String(id)}, expected 0 to ${MAX_ID - 1}`,
        );
      }
      packer.push(token);
      return id;
    });
    return check(new Vocabulary(packer.finish(), ids), file);
  }

  /** Id of a token, undefined if it is not in the vocabulary. */
  idOf(token: string): number | undefined {
    const place = this.#tokens.get(token);
    return place === undefined ? undefined : this.#ids[place];
  }

  /** The token with an id, undefined for an id without one. */
  tokenOf(id: number): string | undefined {
    return this.#tokens.at((this.#places[id] ?? 0) - 1);
  }
}

export function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}

/** @throws TokenizerError if a byte has no token */
function check(vocabulary: Vocabulary, file: string): Vocabulary {
  const missing = byteCharacters().findIndex((character) => vocabulary.idOf(character) === undefined);
  if (missing >= 0) {
    throw new TokenizerError(
      `${file}: no token for byte ${missing}, a byte-level vocabulary has one for each of the 256`,
    );
  }
  return vocabulary;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
/** Characters of the shortest entry, `"":0,`. */
const LEAST_ENTRY = 5;
const MAX_DIGITS = 7;

/**
 * Tokens and ids straight from the text of a vocab.json: as an object, 150,000 entries take longer to make than the rest
 * of a model takes to load. Null for a text that is not plainly an object of different tokens and whole numbers.
 */
function scan(json: string): [tokens: StringTable, ids: Int32Array] | null {
  const packer = new StringPacker(json.length, Math.ceil(json.length / LEAST_ENTRY));
  const ids = new Int32Array(Math.ceil(json.length / LEAST_ENTRY));
  let count = 0;
  let at = 0;
  /** Code of the next character that is no white space, which it passes; NaN at the end. */
  const next = (): number => {
    for (;;) {
      const code = json.charCodeAt(at++);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
    }
  };
  let before = next();
  if (before !== OPEN) return null;
  do {
    if (next() !== QUOTE) return null;
    const begin = at;
    let escaped = false;
    let code = json.charCodeAt(at);
    for (; code !== QUOTE; code = json.charCodeAt(++at)) {
      if (!(code >= 0x20)) return null; // the end, or a character that JSON does not allow
      if (code === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
    if (escaped) {
      const token = unescape(json.slice(begin - 1, at + 1));
      if (token === null) return null;
      packer.push(token);
    } else packer.push(json, begin, at);
    at++;
    if (next() !== COLON) return null;
    let id = 0;
    let digits = 0;
    for (code = next(); code >= 0x30 && code <= 0x39; code = json.charCodeAt(at++)) {
      if (digits > 0 && id === 0) return null; // 07 is no number
      id = id * 10 + code - 0x30;
      if (++digits > MAX_DIGITS) return null;
    }
    at--;
    if (digits === 0 || id >= MAX_ID) return null;
    ids[count++] = id;
    before = next();
  } while (before === COMMA);
  if (before !== CLOSE || !Number.isNaN(next())) return null;
  const tokens = packer.finish();
  return tokens.distinct === tokens.size ? [tokens, ids.subarray(0, count)] : null;
}

function unescape(literal: string): string | null {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return null;
  }
}
