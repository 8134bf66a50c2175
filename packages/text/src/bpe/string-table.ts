const { imul } = Math;

/**
 * Many short strings in three arrays: a vocabulary as strings in a Map takes five times the memory and several times the
 * time to load.
 */
export class StringTable {
  /** UTF-16 code units of all strings, one after the other. */
  readonly #units: Uint16Array;
  /** Where each string begins, and where the last one ends. */
  readonly #offsets: Uint32Array;
  /** Open addressing: an index and one, or 0. */
  readonly #slots: Int32Array;
  readonly size: number;
  /** Strings that differ from all others; of equal ones the last is found. */
  readonly distinct: number;

  /** @param offsets size + 1, ascending */
  constructor(units: Uint16Array, offsets: Uint32Array) {
    this.#units = units;
    this.#offsets = offsets;
    this.size = offsets.length - 1;
    this.#slots = new Int32Array(slotsFor(this.size));
    let distinct = 0;
    for (let index = 0; index < this.size; index++) {
      const slot = this.#slotOf(units, offsets[index]!, offsets[index + 1]!);
      if (this.#slots[slot] === 0) distinct++;
      this.#slots[slot] = index + 1;
    }
    this.distinct = distinct;
  }

  /** Index of a string, undefined if it is not in the table. */
  get(text: string): number | undefined {
    const units = new Uint16Array(text.length);
    for (let i = 0; i < units.length; i++) units[i] = text.charCodeAt(i);
    const found = this.#slots[this.#slotOf(units, 0, units.length)]!;
    return found === 0 ? undefined : found - 1;
  }

  /** The string with an index, undefined where there is none. */
  at(index: number): string | undefined {
    const begin = this.#offsets[index];
    const end = this.#offsets[index + 1];
    if (begin === undefined || end === undefined) return undefined;
    let text = "";
    for (let at = begin; at < end; at++) text += String.fromCharCode(this.#units[at]!);
    return text;
  }

  /** The slot of a string, or the free one where it belongs. */
  #slotOf(units: Uint16Array, begin: number, end: number): number {
    const mask = this.#slots.length - 1;
    let slot = hash(units, begin, end) & mask;
    for (;;) {
      const found = this.#slots[slot]!;
      if (found === 0 || this.#equals(found - 1, units, begin, end)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(index: number, units: Uint16Array, begin: number, end: number): boolean {
    const own = this.#units;
    const start = this.#offsets[index]!;
    if (this.#offsets[index + 1]! - start !== end - begin) return false;
    for (let i = 0; i < end - begin; i++) if (own[start + i] !== units[begin + i]) return false;
    return true;
  }
}

/** Gathers strings for a table. */
export class StringPacker {
  readonly #units: Uint16Array;
  readonly #offsets: Uint32Array;
  #size = 0;
  #end = 0;

  /** Limits on the code units of all strings together and on their number. */
  constructor(mostUnits: number, mostStrings: number) {
    this.#units = new Uint16Array(mostUnits);
    this.#offsets = new Uint32Array(mostStrings + 1);
  }

  /** Adds `text[from, to)`. @throws RangeError beyond the limits */
  push(text: string, from = 0, to = text.length): void {
    if (this.#end + to - from > this.#units.length || this.#size + 1 >= this.#offsets.length) {
      throw new RangeError(
        `more than ${this.#units.length} code units or ${this.#offsets.length - 1} strings were packed`,
      );
    }
    for (let i = from; i < to; i++) this.#units[this.#end++] = text.charCodeAt(i);
    this.#offsets[++this.#size] = this.#end;
  }

  /** The table of what was added; the packer is used up. */
  finish(): StringTable {
    return new StringTable(this.#units.subarray(0, this.#end), this.#offsets.subarray(0, this.#size + 1));
  }
}

/** A power of two that leaves a third of the slots free at least. */
function slotsFor(strings: number): number {
  let slots = 16;
  while (slots * 2 < strings * 3) slots *= 2;
  return slots;
}

/** FNV-1a over code units, its high bits mixed into the low ones. */
function hash(units: Uint16Array, begin: number, end: number): number {
  let value = 0x811c9dc5;
  for (let i = begin; i < end; i++) value = imul(value ^ units[i]!, 0x01000193);
  return value ^ (value >>> 15);
}
