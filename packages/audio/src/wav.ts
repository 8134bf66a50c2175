import type { AudioBuffer } from "./buffer.js";
import { joinBytes } from "./bytes.js";
import { AudioError } from "./errors.js";
import { decodeSamples, sampleFormat, type SampleFormat } from "./sample-format.js";

/** More than any recorder writes; bounds what one declared frame can cost. */
const MAX_CHANNELS = 64;
const MIN_RATE = 1000;
const MAX_RATE = 768_000;
/** A `fmt ` chunk is 16 to 40 bytes; one that claims to be longer than this is damaged. */
const MAX_FMT_SIZE = 65_536;
/** Bytes of `fmt ` that mean something (WAVE_FORMAT_EXTENSIBLE); the rest of a longer chunk is skipped. */
const FMT_BYTES = 40;

const TAG_EXTENSIBLE = 0xfffe;
/** A `data` chunk of this size was written to a stream: it goes to the end of the file. RF64 keeps the size in `ds64`. */
const SIZE_UNKNOWN = 0xffffffff;
/** The tail that makes a sub-format GUID a plain format tag: {tag-0000-0010-8000-00AA00389B71}. */
const GUID_TAIL = [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71];

interface WavFormat {
  readonly sampleRate: number;
  readonly channels: number;
  readonly samples: SampleFormat;
}

type State = "riff" | "chunk" | "fmt" | "ds64" | "data" | "done";

/**
 * Reads a WAV file as its bytes arrive: RIFF and RF64, PCM 8/16/24/32, float 32/64, A-law, µ-law, plain or extensible.
 * Lenient where recorders are sloppy (wrong RIFF size, byte rate or `data` size, streamed files, odd chunks), strict
 * where a guess would turn into noise. Allocates for bytes that are there, never for a size that the file declares.
 */
export class WavDecoder {
  #state: State = "riff";
  #pending = new Uint8Array(0);
  /** Bytes of chunks to leave out before the next header. */
  #skip = 0;
  #chunkSize = 0;
  #rf64 = false;
  #ds64DataSize: number | null = null;
  #format: WavFormat | null = null;
  #dataLeft = 0;

  /** Planar samples of the whole frames that are complete now; null before any audio. @throws AudioError */
  push(bytes: Uint8Array): AudioBuffer | null {
    let input = bytes;
    for (;;) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, input.length);
        this.#skip -= skipped;
        input = input.subarray(skipped);
        if (this.#skip > 0) return null;
      }
      if (this.#state === "done") return null;
      if (this.#state === "data") return this.#frames(input);
      const need = this.#headerBytes();
      if (this.#pending.length + input.length < need) {
        this.#pending = joinBytes([this.#pending, input]);
        return null;
      }
      const taken = need - this.#pending.length;
      const header = joinBytes([this.#pending, input.subarray(0, taken)]);
      this.#pending = new Uint8Array(0);
      input = input.subarray(taken);
      this.#header(header);
    }
  }

  /** Checks that the file ended where it may; format of a file that had a `data` chunk. @throws AudioError */
  end(): { readonly sampleRate: number; readonly channels: number } {
    if (this.#state === "riff") throw notWav();
    if (this.#format === null) {
      throw new AudioError("bad_header", "WAV: the file ends before a complete fmt chunk");
    }
    if (this.#state !== "data" && this.#state !== "done") {
      throw new AudioError("no_data", "WAV: the file has no data chunk, or it ends before one");
    }
    return { sampleRate: this.#format.sampleRate, channels: this.#format.channels };
  }

  #headerBytes(): number {
    switch (this.#state) {
      case "riff":
        return 12;
      case "fmt":
        return Math.min(this.#chunkSize, FMT_BYTES);
      case "ds64":
        return 16;
      default:
        return 8;
    }
  }

  #header(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    switch (this.#state) {
      case "riff": {
        const magic = tag(bytes, 0);
        if ((magic !== "RIFF" && magic !== "RF64") || tag(bytes, 8) !== "WAVE") throw notWav();
        this.#rf64 = magic === "RF64";
        this.#state = "chunk";
        return;
      }
      case "fmt":
        this.#format = parseFormat(view);
        this.#finishChunk(bytes.length);
        return;
      case "ds64":
        this.#ds64DataSize = Number(view.getBigUint64(8, true));
        this.#finishChunk(bytes.length);
        return;
      default:
        this.#startChunk(tag(bytes, 0), view.getUint32(4, true));
    }
  }

  #startChunk(id: string, size: number): void {
    this.#chunkSize = size;
    if (id === "fmt " && this.#format === null) {
      if (size < 16 || size > MAX_FMT_SIZE) {
        throw new AudioError("bad_header", `WAV: fmt chunk of ${size} bytes; a valid one has 16 to 40`);
      }
      this.#state = "fmt";
    } else if (id === "ds64" && this.#rf64 && size >= 16) {
      this.#state = "ds64";
    } else if (id === "data") {
      if (this.#format === null)
        throw new AudioError("bad_header", "WAV: the data chunk comes before any fmt chunk");
      this.#dataLeft = this.#dataSize(size);
      this.#state = "data";
    } else {
      this.#skip = size + (size & 1);
    }
  }

  #dataSize(size: number): number {
    if (size === SIZE_UNKNOWN && this.#ds64DataSize) return this.#ds64DataSize;
    return size === 0 || size === SIZE_UNKNOWN ? Infinity : size;
  }

  #finishChunk(read: number): void {
    this.#skip = this.#chunkSize - read + (this.#chunkSize & 1);
    this.#state = "chunk";
  }

  #frames(input: Uint8Array): AudioBuffer | null {
    const format = this.#format!;
    const offered = input.subarray(0, Math.min(input.length, this.#dataLeft));
    this.#dataLeft -= offered.length;
    if (this.#dataLeft === 0) this.#state = "done";
    const bytes = this.#pending.length === 0 ? offered : joinBytes([this.#pending, offered]);
    const frameBytes = format.channels * format.samples.bytes;
    const frames = Math.floor(bytes.length / frameBytes);
    this.#pending = bytes.slice(frames * frameBytes);
    if (frames === 0) return null;
    return {
      sampleRate: format.sampleRate,
      channels: decodeSamples(bytes, format.samples, format.channels, frames),
    };
  }
}

function parseFormat(view: DataView): WavFormat {
  const channels = view.getUint16(2, true);
  const sampleRate = view.getUint32(4, true);
  const blockAlign = view.getUint16(12, true);
  const bits = view.getUint16(14, true);
  let format = view.getUint16(0, true);
  if (format === TAG_EXTENSIBLE) {
    if (view.byteLength < FMT_BYTES) {
      throw new AudioError(
        "bad_header",
        `WAV: extensible fmt chunk of ${view.byteLength} bytes, 40 are needed`,
      );
    }
    format = view.getUint16(24, true);
    if (GUID_TAIL.some((byte, i) => view.getUint8(26 + i) !== byte)) {
      throw new AudioError("unsupported_format", "WAV: the extensible sub-format is not a plain format tag");
    }
  }
  if (channels === 0) throw new AudioError("bad_header", "WAV: 0 channels");
  if (sampleRate === 0) throw new AudioError("bad_header", "WAV: sample rate of 0 Hz");
  if (channels > MAX_CHANNELS) {
    throw new AudioError(
      "unsupported_format",
      `WAV: ${channels} channels, at most ${MAX_CHANNELS} are supported`,
    );
  }
  if (sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    const message = `WAV: sample rate of ${sampleRate} Hz, ${MIN_RATE} to ${MAX_RATE} Hz are supported`;
    throw new AudioError("unsupported_format", message);
  }
  const samples = sampleFormat(format, bits);
  if (blockAlign !== channels * samples.bytes) {
    const expected = channels * samples.bytes;
    throw new AudioError(
      "bad_header",
      `WAV: block align ${blockAlign}; ${channels} × ${bits} bits make ${expected} bytes`,
    );
  }
  return { sampleRate, channels, samples };
}

function notWav(): AudioError {
  return new AudioError("not_wav", "not a WAV file: it does not begin with RIFF or RF64 and WAVE");
}

function tag(bytes: Uint8Array, offset: number): string {
  return String.fromCharCode(...bytes.subarray(offset, offset + 4));
}

/**
 * Decodes a whole WAV file. 0 frames is a valid result.
 * @throws AudioError `not_wav`, `bad_header`, `unsupported_format`, `no_data`, `bad_samples`
 */
export function readWav(bytes: Uint8Array): AudioBuffer {
  const decoder = new WavDecoder();
  const buffer = decoder.push(bytes);
  const { sampleRate, channels } = decoder.end();
  return buffer ?? { sampleRate, channels: Array.from({ length: channels }, () => new Float32Array(0)) };
}

export interface WriteWavOptions {
  /** `pcm16` (default): clipped to ±1 and rounded. `float32`: as it is. */
  readonly format?: "pcm16" | "float32";
}

/**
 * A WAV file with these samples.
 * @throws AudioError `bad_input` for channels of unequal length, none or more than 64, a rate out of range, or over 4 GiB
 */
export function writeWav(buffer: AudioBuffer, options: WriteWavOptions = {}): Uint8Array<ArrayBuffer> {
  const { sampleRate, channels } = buffer;
  const frames = channels[0]?.length ?? 0;
  if (channels.length === 0 || channels.length > MAX_CHANNELS || channels.some((c) => c.length !== frames)) {
    throw new AudioError("bad_input", `writeWav: 1 to ${MAX_CHANNELS} channels of one length are needed`);
  }
  if (!Number.isInteger(sampleRate) || sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    throw new AudioError(
      "bad_input",
      `writeWav: sample rate ${sampleRate}, ${MIN_RATE} to ${MAX_RATE} Hz are needed`,
    );
  }
  const float = options.format === "float32";
  const bytesPerSample = float ? 4 : 2;
  const dataBytes = frames * channels.length * bytesPerSample;
  if (dataBytes > SIZE_UNKNOWN - 64)
    throw new AudioError("bad_input", "writeWav: WAV cannot hold more than 4 GiB");
  const file = new Uint8Array(44 + dataBytes);
  const view = new DataView(file.buffer);
  const text = (offset: number, value: string) => {
    for (let i = 0; i < value.length; i++) file[offset + i] = value.charCodeAt(i);
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + dataBytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, float ? 3 : 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * channels.length * bytesPerSample, true);
  view.setUint16(32, channels.length * bytesPerSample, true);
  view.setUint16(34, bytesPerSample * 8, true);
  text(36, "data");
  view.setUint32(40, dataBytes, true);
  let offset = 44;
  for (let i = 0; i < frames; i++) {
    for (let c = 0; c < channels.length; c++) {
      const value = channels[c]![i]!;
      if (float) view.setFloat32(offset, value, true);
      else view.setInt16(offset, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true);
      offset += bytesPerSample;
    }
  }
  return file;
}
