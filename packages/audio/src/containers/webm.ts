import { joinBuffers, type AudioBuffer } from "../buffer.js";
import { joinBytes } from "../bytes.js";
import { AudioError } from "../errors.js";
import type { StreamDecoder } from "./decoder.js";
import { OggOpusWriter } from "./ogg-opus-writer.js";
import { WasmStreamDecoder } from "./wasm-decoders.js";

/** EBML ids (RFC 8794) of Matroska (RFC 9559). */
const ID = {
  segment: 0x18538067,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  codecId: 0x86,
  codecPrivate: 0x63a2,
  cluster: 0x1f43b675,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  discardPadding: 0x75a2,
} as const;

/** Elements whose children are read as if they stood one level higher: what follows tells where they end. */
const MASTERS = new Set<number>([ID.segment, ID.tracks, ID.trackEntry, ID.cluster, ID.blockGroup]);
const LEAVES = new Set<number>([
  ID.trackNumber,
  ID.codecId,
  ID.codecPrivate,
  ID.simpleBlock,
  ID.block,
  ID.discardPadding,
]);
/** An Opus packet is at most 61,440 bytes; larger blocks are of other tracks. */
const MAX_LEAF = 65_536;
const MAX_HEADER = 12;
const LACING = 0x06;

interface Track {
  number: number;
  codec: string;
  header: Uint8Array | null;
}

/** The first Opus track of a WebM or Matroska stream: its packets are put into Ogg pages, which the Opus decoder reads. */
export class WebmOpusDecoder implements StreamDecoder {
  readonly #opus: WasmStreamDecoder;
  #pending = new Uint8Array(0);
  #skip = 0;
  readonly #tracks: Track[] = [];
  #opusTrack = -1;
  #writer: OggOpusWriter | null = null;
  #pages: Uint8Array[] = [];

  private constructor(opus: WasmStreamDecoder) {
    this.#opus = opus;
  }

  static async create(): Promise<WebmOpusDecoder> {
    return new WebmOpusDecoder(await WasmStreamDecoder.create("ogg-opus"));
  }

  async push(bytes: Uint8Array): Promise<AudioBuffer | null> {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    const data = joinBytes([this.#pending, bytes.subarray(skipped)]);
    let at = 0;
    for (;;) {
      const length = this.#element(data.subarray(at));
      if (length === 0) break;
      at += length;
      if (at > data.length) {
        this.#skip = at - data.length;
        at = data.length;
        break;
      }
    }
    this.#pending = data.slice(at);
    return this.#decodePages();
  }

  async end(): Promise<AudioBuffer | null> {
    if (this.#writer === null) throw new AudioError("undecodable", "the WebM file has no Opus audio in it");
    this.#pages.push(...this.#writer.end());
    const blocks = [await this.#decodePages(), await this.#opus.end()];
    return joinBuffers(blocks.filter((block) => block !== null));
  }

  free(): void {
    this.#opus.free();
  }

  async #decodePages(): Promise<AudioBuffer | null> {
    const pages = this.#pages;
    this.#pages = [];
    return pages.length === 0 ? null : this.#opus.push(joinBytes(pages));
  }

  /** Takes one element, or a master's header. Bytes consumed, beyond the data if it is to be skipped; 0: more are needed. */
  #element(data: Uint8Array): number {
    const id = vint(data, 0, true);
    const size = id === null ? null : vint(data, id.length, false);
    if (id === null || size === null) {
      if (data.length >= MAX_HEADER)
        throw new AudioError("undecodable", "the WebM file is damaged: bad element header");
      return 0;
    }
    const header = id.length + size.length;
    if (MASTERS.has(id.value)) {
      if (id.value === ID.trackEntry) this.#tracks.push({ number: 0, codec: "", header: null });
      return header;
    }
    if (size.value === null)
      throw new AudioError("undecodable", "the WebM file is damaged: element of unknown size");
    if (!LEAVES.has(id.value) || size.value > MAX_LEAF) return header + size.value;
    if (data.length < header + size.value) return 0;
    this.#leaf(id.value, data.subarray(header, header + size.value));
    return header + size.value;
  }

  #leaf(id: number, value: Uint8Array): void {
    const track = this.#tracks.at(-1);
    switch (id) {
      case ID.trackNumber:
        if (track !== undefined) track.number = unsigned(value);
        return;
      case ID.codecId:
        if (track !== undefined)
          track.codec = String.fromCharCode(...value.subarray(0, 32)).replace(/\0+$/, "");
        return;
      case ID.codecPrivate:
        if (track !== undefined) track.header = value.slice();
        return;
      case ID.discardPadding:
        this.#writer?.discardAtEnd(Math.round((unsigned(value) / 1e9) * 48000));
        return;
      default:
        this.#block(value);
    }
  }

  #block(value: Uint8Array): void {
    const number = vint(value, 0, false);
    if (number === null || value.length < number.length + 3) return;
    if (this.#writer === null) {
      const track = this.#tracks.find(({ codec }) => codec === "A_OPUS");
      if (track?.header == null) throw new AudioError("undecodable", "the WebM file has no Opus audio in it");
      this.#opusTrack = track.number;
      this.#writer = new OggOpusWriter(track.header);
    }
    if (number.value !== this.#opusTrack) return;
    if ((value[number.length + 2]! & LACING) !== 0) {
      throw new AudioError(
        "unsupported_format",
        "WebM: laced Opus blocks are not supported; convert the file to Ogg or WAV",
      );
    }
    this.#pages.push(...this.#writer.push(value.slice(number.length + 3)));
  }
}

/** A variable-length integer; `keepMarker` for ids. `value` null: all ones, the unknown size. Null: more bytes are needed. */
function vint(data: Uint8Array, at: number, keepMarker: true): { value: number; length: number } | null;
function vint(
  data: Uint8Array,
  at: number,
  keepMarker: false,
): { value: number | null; length: number } | null;
function vint(
  data: Uint8Array,
  at: number,
  keepMarker: boolean,
): { value: number | null; length: number } | null {
  const first = data[at];
  if (first === undefined) return null;
  const length = Math.clz32(first) - 23;
  if (length > 8)
    throw new AudioError("undecodable", "the WebM file is damaged: bad variable-length integer");
  if (data.length < at + length) return null;
  let value = keepMarker ? first : first & (0xff >> length);
  let ones = (first & (0xff >> length)) === 0xff >> length;
  for (let i = 1; i < length; i++) {
    value = value * 256 + data[at + i]!;
    ones &&= data[at + i] === 0xff;
  }
  return { value: ones && !keepMarker ? null : value, length };
}

function unsigned(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
