/**
 * The byte alphabet of byte-level BPE (GPT-2 `encoder.py`, `bytes_to_unicode`): every byte is written as one visible
 * character. Printable Latin-1 stands for itself; the 68 others follow from U+0100 in byte order.
 */
const CHARACTERS: readonly string[] = characters();
const BYTES: ReadonlyMap<string, number> = new Map(CHARACTERS.map((character, byte) => [character, byte]));

const encoder = new TextEncoder();

function characters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** The 256 characters, by byte. */
export function byteCharacters(): readonly string[] {
  return CHARACTERS;
}

/** A text's UTF-8 bytes as characters of the alphabet; a lone surrogate counts as U+FFFD. */
export function toByteCharacters(text: string): string[] {
  return Array.from(encoder.encode(text), (byte) => CHARACTERS[byte]!);
}

/** The bytes that a vocabulary entry stands for; an entry outside the alphabet stands for its own UTF-8 bytes. */
export function fromByteCharacters(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length); // the alphabet is in the basic plane
  for (let i = 0; i < token.length; i++) {
    const byte = BYTES.get(token[i]!);
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
