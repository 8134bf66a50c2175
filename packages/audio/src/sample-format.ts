import { AudioError } from "./errors.js";

const { isFinite } = Number;

/** How one sample is stored in a WAV file; `bytes` per sample. */
export interface SampleFormat {
  readonly encoding: "pcm" | "float" | "alaw" | "ulaw";
  readonly bytes: number;
}

const TAG_NAMES: Readonly<Record<number, string>> = {
  0x0002: "Microsoft ADPCM",
  0x0011: "IMA ADPCM",
  0x0031: "GSM 6.10",
  0x0050: "MPEG audio",
  0x0055: "MP3",
  0x00ff: "AAC",
};

/** The format of a `fmt ` chunk's tag and bits per (container) sample. @throws AudioError `unsupported_format` */
export function sampleFormat(tag: number, bits: number): SampleFormat {
  const bytes = bits / 8;
  if (tag === 1 && (bits === 8 || bits === 16 || bits === 24 || bits === 32))
    return { encoding: "pcm", bytes };
  if (tag === 3 && (bits === 32 || bits === 64)) return { encoding: "float", bytes };
  if (tag === 6 && bits === 8) return { encoding: "alaw", bytes };
  if (tag === 7 && bits === 8) return { encoding: "ulaw", bytes };
  const name =
    TAG_NAMES[tag] ?? { 1: "PCM", 3: "float", 6: "A-law", 7: "µ-law" }[tag] ?? "an unknown encoding";
  const message =
    `WAV: ${name} (format tag ${tag}) of ${bits} bits is not supported; ` +
    "PCM 8/16/24/32, float 32/64, A-law and µ-law are";
  throw new AudioError("unsupported_format", message);
}

/**
 * Planar samples of interleaved frames. Integers are divided by 2^(bits−1) of their container (8-bit is unsigned);
 * floats are kept, over full scale too.
 * @throws AudioError `bad_samples` for NaN or infinity
 */
export function decodeSamples(
  bytes: Uint8Array,
  format: SampleFormat,
  channels: number,
  frames: number,
): Float32Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = sampleReader(view, bytes, format);
  const stride = channels * format.bytes;
  const planes: Float32Array[] = [];
  for (let c = 0; c < channels; c++) {
    const plane = new Float32Array(frames);
    for (let i = 0, offset = c * format.bytes; i < frames; i++, offset += stride) plane[i] = read(offset);
    if (format.encoding === "float") checkFinite(plane);
    planes.push(plane);
  }
  return planes;
}

function sampleReader(view: DataView, bytes: Uint8Array, format: SampleFormat): (offset: number) => number {
  switch (format.encoding) {
    case "alaw":
      return (offset) => ALAW[bytes[offset]!]!;
    case "ulaw":
      return (offset) => ULAW[bytes[offset]!]!;
    case "float":
      return format.bytes === 4
        ? (offset) => view.getFloat32(offset, true)
        : (offset) => view.getFloat64(offset, true);
    case "pcm":
      switch (format.bytes) {
        case 1:
          return (offset) => (bytes[offset]! - 128) / 128;
        case 2:
          return (offset) => view.getInt16(offset, true) / 32768;
        case 3:
          return (offset) => (view.getInt16(offset + 1, true) * 256 + bytes[offset]!) / 8388608;
        default:
          return (offset) => view.getInt32(offset, true) / 2147483648;
      }
  }
}

function checkFinite(samples: Float32Array): void {
  for (let i = 0; i < samples.length; i++) {
    if (!isFinite(samples[i]!)) {
      throw new AudioError("bad_samples", `WAV: float sample is ${samples[i]}; the file is damaged`);
    }
  }
}

/** ITU-T G.711 A-law: even bits inverted; 4 bits of mantissa, 3 of exponent, sign (set = positive). */
const ALAW = Float32Array.from({ length: 256 }, (_, code) => {
  const value = code ^ 0x55;
  const exponent = (value >> 4) & 7;
  const mantissa = ((value & 15) << 4) + 8;
  const magnitude = exponent === 0 ? mantissa : (mantissa + 256) << (exponent - 1);
  return (value & 0x80 ? magnitude : -magnitude) / 32768;
});

/** ITU-T G.711 µ-law: all bits inverted; bias of 132. */
const ULAW = Float32Array.from({ length: 256 }, (_, code) => {
  const value = ~code & 0xff;
  const magnitude = ((((value & 15) << 3) + 132) << ((value >> 4) & 7)) - 132;
  return (value & 0x80 ? -magnitude : magnitude) / 32768;
});
