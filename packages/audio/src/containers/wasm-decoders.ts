import { joinBuffers, type AudioBuffer } from "../buffer.js";
import { AudioError } from "../errors.js";
import type { StreamDecoder } from "./decoder.js";
import { OggPages } from "./ogg-pages.js";
import { quietly } from "./quiet.js";

const { round } = Math;

/** What the decoders of the wasm-audio-decoders family return. */
interface Decoded {
  readonly channelData: readonly Float32Array[];
  readonly samplesDecoded: number;
  readonly sampleRate: number;
  readonly bitDepth?: number;
  readonly errors: readonly { readonly message: string }[];
}

interface WasmDecoder {
  readonly ready: Promise<void>;
  decode(bytes: Uint8Array): Promise<Decoded> | Decoded;
  flush?(): Promise<Decoded>;
  free(): void;
}

const createFlac = async () => new (await import("@wasm-audio-decoders/flac")).FLACDecoder();

/** Codecs that are decoded in process, each loaded when first needed. */
const CODECS = {
  mp3: { name: "MP3", ogg: false, create: async () => new (await import("mpg123-decoder")).MPEGDecoder() },
  flac: { name: "FLAC", ogg: false, create: createFlac },
  "ogg-flac": { name: "Ogg FLAC", ogg: true, create: createFlac },
  "ogg-vorbis": {
    name: "Ogg Vorbis",
    ogg: true,
    create: async () => new (await import("@wasm-audio-decoders/ogg-vorbis")).OggVorbisDecoder(),
  },
  "ogg-opus": {
    name: "Opus",
    ogg: true,
    create: async () => new (await import("ogg-opus-decoder")).OggOpusDecoder({ forceStereo: false }),
  },
} as const satisfies Record<string, { name: string; ogg: boolean; create: () => Promise<WasmDecoder> }>;

/** Bytes given to a decoder at once: they bound what one call can unpack (FLAC packs a long silence into a few bytes). */
const STEP = 8192;

export type WasmCodec = keyof typeof CODECS;

/**
 * A decoder of one of the WASM codecs. Damaged packets are left out, as players do; a file
 * that gives no audio at all is an error.
 */
export class WasmStreamDecoder implements StreamDecoder {
  readonly #name: string;
  readonly #pages: OggPages | null;
  readonly #lossless: boolean;
  readonly #decoder: WasmDecoder;
  /** mpg123 always gives two channels; the frame headers tell whether the second is a copy. */
  readonly #channelsOfHeader: MpegChannels | null;
  #frames = 0;
  #problem = "";
  #sampleRate = 0;

  private constructor(codec: WasmCodec, decoder: WasmDecoder) {
    this.#name = CODECS[codec].name;
    this.#lossless = codec === "flac" || codec === "ogg-flac";
    this.#pages = CODECS[codec].ogg ? new OggPages() : null;
    this.#decoder = decoder;
    this.#channelsOfHeader = codec === "mp3" ? new MpegChannels() : null;
  }

  static async create(codec: WasmCodec): Promise<WasmStreamDecoder> {
    const decoder: WasmDecoder = await CODECS[codec].create();
    await decoder.ready;
    return new WasmStreamDecoder(codec, decoder);
  }

  async push(bytes: Uint8Array): Promise<AudioBuffer | null> {
    this.#channelsOfHeader?.look(bytes);
    const blocks: AudioBuffer[] = [];
    for (const part of this.#pages?.push(bytes) ?? steps(bytes)) {
      const block = await this.#run(() => this.#decoder.decode(part));
      if (block !== null) blocks.push(block);
    }
    return joinBuffers(blocks);
  }

  async end(): Promise<AudioBuffer | null> {
    const block = this.#decoder.flush === undefined ? null : await this.#run(() => this.#decoder.flush!());
    if (this.#frames === 0) {
      const reason = this.#problem === "" ? "no audio in it" : this.#problem;
      throw new AudioError("undecodable", `the ${this.#name} file cannot be decoded: ${reason}`);
    }
    return block;
  }

  free(): void {
    try {
      this.#decoder.free();
    } catch {
      // a decoder that failed before it had a stream has nothing to give back
    }
  }

  async #run(decode: () => Promise<Decoded> | Decoded): Promise<AudioBuffer | null> {
    let decoded: Decoded;
    try {
      decoded = await quietly(decode);
    } catch (cause) {
      const message = `the ${this.#name} file cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new AudioError("undecodable", message, { cause });
    }
    this.#problem ||= decoded.errors[0]?.message ?? "";
    if (decoded.samplesDecoded === 0 || decoded.channelData.length === 0) return null;
    if (this.#sampleRate !== 0 && decoded.sampleRate !== this.#sampleRate) {
      const message = `${this.#name}: the sample rate changes from ${this.#sampleRate} to ${decoded.sampleRate} Hz on the way`;
      throw new AudioError("unsupported_format", message);
    }
    this.#sampleRate = decoded.sampleRate;
    this.#frames += decoded.samplesDecoded;
    const channels =
      this.#channelsOfHeader?.mono === true ? decoded.channelData.slice(0, 1) : decoded.channelData;
    if (this.#lossless) for (const samples of channels) restoreIntegers(samples, decoded.bitDepth ?? 16);
    return { sampleRate: decoded.sampleRate, channels };
  }
}

/** The FLAC decoder divides integers by 2^(bits−1) − 1; full scale is 2^(bits−1) everywhere else. */
function restoreIntegers(samples: Float32Array, bits: number): void {
  const scale = 2 ** (bits - 1);
  for (let i = 0; i < samples.length; i++) samples[i] = round(samples[i]! * (scale - 1)) / scale;
}

function* steps(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += STEP) yield bytes.subarray(at, at + STEP);
}

/** Finds the first MPEG frame header behind an ID3 tag: is the file mono? */
class MpegChannels {
  mono = false;
  #found = false;
  #head: number[] = [];
  #skip = 0;

  look(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length && !this.#found; i++) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - i);
        this.#skip -= skipped;
        i += skipped - 1;
        continue;
      }
      this.#head.push(bytes[i]!);
      this.#parse();
    }
  }

  #parse(): void {
    const head = this.#head;
    const isTag = String.fromCharCode(...head.slice(0, 3)) === "ID3";
    if (head.length < (isTag ? 10 : 4)) return;
    if (isTag) {
      this.#skip = (head[6]! << 21) | (head[7]! << 14) | (head[8]! << 7) | head[9]!;
      this.#head = [];
    } else if (head[0] === 0xff && (head[1]! & 0xe0) === 0xe0 && (head[1]! & 6) !== 0) {
      this.mono = head[3]! >> 6 === 3;
      this.#found = true;
    } else head.shift();
  }
}
