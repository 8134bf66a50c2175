import { FormatError } from "../errors.js";
import { quoted } from "./byte-source.js";

export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes `[begin, end)` of the data section. */
  readonly begin: number;
  readonly end: number;
}

/** Deepest a tensor can be: numpy and torch stop at 32 and 64 dimensions. */
const MAX_RANK = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The entries of a safetensors header. A parser of its own, because JSON.parse keeps the last of two tensors with one
 * name, takes `1.0` for an integer and rounds integers of 2^53 and more.
 * @throws FormatError
 */
export function readHeaderJson(
  json: Uint8Array,
  location: string,
): { entries: Map<string, HeaderEntry>; metadata: Map<string, string> } {
  let text: string;
  try {
    text = utf8.decode(json);
  } catch (cause) {
    throw new FormatError(`${location}: the safetensors header is not valid UTF-8`, { cause });
  }
  const scanner = new Scanner(text, location);
  const entries = new Map<string, HeaderEntry>();
  let metadata: Map<string, string> | null = null;
  scanner.object((name) => {
    if (name === "__metadata__") {
      if (metadata !== null) scanner.fail("__metadata__ occurs twice");
      metadata = readMetadata(scanner);
    } else {
      if (entries.has(name)) scanner.fail(`tensor ${quoted(name)} occurs twice`);
      entries.set(name, readEntry(scanner, name));
    }
  });
  scanner.end();
  return { entries, metadata: metadata ?? new Map() };
}

function readMetadata(scanner: Scanner): Map<string, string> {
  const metadata = new Map<string, string>();
  scanner.object((key) => {
    if (metadata.has(key)) scanner.fail(`metadata ${quoted(key)} occurs twice`);
    metadata.set(key, scanner.string());
  });
  return metadata;
}

function readEntry(scanner: Scanner, name: string): HeaderEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scanner.object((field) => {
    if (field === "dtype" && dtype === undefined) dtype = scanner.string();
    else if (field === "shape" && shape === undefined) shape = scanner.integers(MAX_RANK);
    else if (field === "data_offsets" && offsets === undefined) offsets = scanner.integers(2);
    else scanner.fail(`tensor ${quoted(name)} has a second or unknown field ${quoted(field)}`);
  });
  const [begin, end] = offsets ?? [];
  if (dtype === undefined || shape === undefined || begin === undefined || end === undefined) {
    scanner.fail(`tensor ${quoted(name)} lacks dtype, shape or data_offsets [begin, end]`);
  }
  if (end < begin) scanner.fail(`tensor ${quoted(name)} ends at ${end}, before it begins at ${begin}`);
  return { dtype, shape, begin, end };
}

const INTEGER = /0|[1-9][0-9]{0,19}/y;

/** Reads the JSON grammar as far as safetensors headers use it: objects, strings, arrays of natural numbers. */
class Scanner {
  #position = 0;
  readonly #text: string;
  readonly #location: string;

  constructor(text: string, location: string) {
    this.#text = text;
    this.#location = location;
  }

  fail(problem: string): never {
    throw new FormatError(`${this.#location}: safetensors header, character ${this.#position}: ${problem}`);
  }

  /** Calls `readValue` at the value of each member. */
  object(readValue: (key: string) => void): void {
    this.#expect("{");
    if (this.#accept("}")) return;
    do {
      const key = this.string();
      this.#expect(":");
      readValue(key);
    } while (this.#accept(","));
    this.#expect("}");
  }

  string(): string {
    this.#skipSpace();
    const start = this.#position;
    if (this.#text[start] !== '"') this.fail("expected a string");
    let quote = start;
    do {
      quote = this.#text.indexOf('"', quote + 1);
      if (quote < 0) this.fail("a string without an end");
    } while (this.#isEscaped(quote));
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, quote + 1)) as string;
    } catch {
      this.fail("a malformed string");
    }
    this.#position = quote + 1;
    return value;
  }

  integers(most: number): number[] {
    const values: number[] = [];
    this.#expect("[");
    if (this.#accept("]")) return values;
    do {
      if (values.length === most) this.fail(`more than ${most} numbers`);
      values.push(this.#integer());
    } while (this.#accept(","));
    this.#expect("]");
    return values;
  }

  /** Nothing but padding may follow. */
  end(): void {
    this.#skipSpace();
    if (this.#position !== this.#text.length) this.fail("text follows the header's object");
  }

  #integer(): number {
    this.#skipSpace();
    INTEGER.lastIndex = this.#position;
    const digits = INTEGER.exec(this.#text)?.[0] ?? this.fail("expected a natural number");
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) this.fail(`${digits} is too large for any file`);
    this.#position += digits.length;
    return value;
  }

  /** An odd number of backslashes stands before the quote. */
  #isEscaped(quote: number): boolean {
    let first = quote;
    while (this.#text[first - 1] === "\\") first--;
    return (quote - first) % 2 === 1;
  }

  #skipSpace(): void {
    const text = this.#text;
    let position = this.#position;
    for (;;) {
      const code = text.charCodeAt(position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
      position++;
    }
    this.#position = position;
  }

  #accept(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== character) return false;
    this.#position++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.fail(`expected ${character}`);
  }
}
