/** Fixed part of a page's header (RFC 3533 §6). */
const HEADER = 27;
const CHECKSUM_AT = 22;
const CAPTURE = [0x4f, 0x67, 0x67, 0x53];

/**
 * Cuts a stream into whole Ogg pages with right checksums. Damaged pages, a page that the end of the file cuts short,
 * and whatever lies between pages are left out: decoders make noise of them.
 */
export class OggPages {
  #pending = new Uint8Array(0);

  /** The pages that these bytes complete. */
  push(bytes: Uint8Array): Uint8Array[] {
    const data = new Uint8Array(this.#pending.length + bytes.length);
    data.set(this.#pending);
    data.set(bytes, this.#pending.length);
    const pages: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      at = findCapture(data, at);
      const length = pageLength(data, at);
      if (length === 0 || at + length > data.length) break;
      const page = data.slice(at, at + length);
      if (pageChecksum(page) === new DataView(page.buffer).getUint32(CHECKSUM_AT, true)) {
        pages.push(page);
        at += length;
      } else at++; // the capture pattern stood there by chance, or the page is damaged
    }
    this.#pending = data.slice(at);
    return pages;
  }
}

/** Where the next capture pattern starts, or the bytes at the end that could become one. */
function findCapture(data: Uint8Array, from: number): number {
  for (let at = from; at < data.length; at++) {
    let matched = 0;
    while (matched < 4 && at + matched < data.length && data[at + matched] === CAPTURE[matched]) matched++;
    if (matched === 4 || at + matched === data.length) return at;
  }
  return data.length;
}

/** Bytes of the page at this place; 0 until its header is complete. */
function pageLength(data: Uint8Array, at: number): number {
  if (data.length < at + HEADER) return 0;
  const segments = data[at + HEADER - 1]!;
  if (data.length < at + HEADER + segments) return 0;
  let length = HEADER + segments;
  for (let i = 0; i < segments; i++) length += data[at + HEADER + i]!;
  return length;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x80000000 ? 0x04c11db7 : 0);
  return crc >>> 0;
});

/** CRC-32 of a page (polynomial 0x04c11db7, not reflected) with its own checksum field taken as 0. */
export function pageChecksum(page: Uint8Array): number {
  let crc = 0;
  for (let i = 0; i < page.length; i++) {
    const byte = i >= CHECKSUM_AT && i < CHECKSUM_AT + 4 ? 0 : page[i]!;
    crc = ((crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ byte]!) >>> 0;
  }
  return crc;
}
