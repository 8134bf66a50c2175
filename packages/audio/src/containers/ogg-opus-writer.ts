import { pageChecksum } from "./ogg-pages.js";

const SEGMENT = 255;
const FIRST_PAGE = 2;
const LAST_PAGE = 4;

/** Puts Opus packets into an Ogg stream (RFC 3533, RFC 7845), one packet a page. */
export class OggOpusWriter {
  readonly #head: Uint8Array;
  /** Kept until it is known whether it is the last one. */
  #packet: Uint8Array | null = null;
  #sequence = 0;
  /** Samples at 48 kHz up to the end of the kept packet, and how many of them are not to be played. */
  #granule = 0;
  #discard = 0;

  /** @param head the OpusHead packet */
  constructor(head: Uint8Array) {
    this.#head = head;
  }

  /** The pages that this packet completes. */
  push(packet: Uint8Array): Uint8Array[] {
    const pages = this.#takePacket(0);
    this.#packet = packet;
    this.#granule += packetSamples(packet);
    this.#discard = 0;
    return pages;
  }

  /** Leaves out the last samples (at 48 kHz) of the packet pushed last, if no other follows. */
  discardAtEnd(samples: number): void {
    this.#discard = Math.min(samples, this.#granule);
  }

  /** The last page. */
  end(): Uint8Array[] {
    return this.#takePacket(LAST_PAGE);
  }

  #takePacket(flags: number): Uint8Array[] {
    const packet = this.#packet;
    if (packet === null) return [];
    const headers =
      this.#sequence > 0
        ? []
        : [
            this.#page(this.#head, FIRST_PAGE, 0),
            this.#page(new TextEncoder().encode("OpusTags\0\0\0\0\0\0\0\0"), 0, 0),
          ];
    const granule = flags === LAST_PAGE ? this.#granule - this.#discard : this.#granule;
    return [...headers, this.#page(packet, flags, granule)];
  }

  #page(packet: Uint8Array, flags: number, granule: number): Uint8Array {
    const segments = Math.floor(packet.length / SEGMENT) + 1;
    const page = new Uint8Array(27 + segments + packet.length);
    const view = new DataView(page.buffer);
    page.set([0x4f, 0x67, 0x67, 0x53, 0, flags]);
    view.setBigInt64(6, BigInt(granule), true);
    view.setUint32(14, 1, true); // serial number of the only stream
    view.setUint32(18, this.#sequence++, true);
    page[26] = segments;
    page.fill(SEGMENT, 27, 26 + segments);
    page[26 + segments] = packet.length % SEGMENT;
    page.set(packet, 27 + segments);
    view.setUint32(22, pageChecksum(page), true);
    return page;
  }
}

/** Duration of a packet in samples at 48 kHz, from its first two bytes (RFC 6716 §3.1). */
export function packetSamples(packet: Uint8Array): number {
  const [toc = 0, second = 0] = packet;
  const config = toc >> 3;
  const silkOrHybrid = config < 12 ? [480, 960, 1920, 2880][config & 3]! : [480, 960][config & 1]!;
  const frame = config < 16 ? silkOrHybrid : 120 << (config & 3);
  const code = toc & 3;
  return frame * (code === 0 ? 1 : code === 3 ? second & 63 : 2);
}
