import { crc32, deflateSync } from "node:zlib";
import { spectrogram } from "@voxquant/audio";

/** Rows of a drawn spectrogram. */
const HEIGHT = 256;
const MAX_WIDTH = 600;
const RANGE_DB = 80;

/** Colours from silence to the loudest: black, violet, orange, light yellow. */
const STOPS = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
] as const;

/** A spectrogram, time to the right and 0 Hz at the bottom, as a PNG file. */
export function spectrogramPng(samples: Float32Array, sampleRate: number): Uint8Array {
  const { data, frames, bins } = spectrogram(samples, sampleRate, {
    maxFrames: MAX_WIDTH,
    rangeDb: RANGE_DB,
  });
  const width = Math.max(frames, 1);
  const pixels = new Uint8Array(width * HEIGHT);
  for (let y = 0; y < HEIGHT; y++) {
    const first = Math.floor(((HEIGHT - 1 - y) * bins) / HEIGHT);
    const end = Math.max(first + 1, Math.floor(((HEIGHT - y) * bins) / HEIGHT));
    for (let x = 0; x < frames; x++) {
      let level = -RANGE_DB;
      for (let bin = first; bin < end; bin++) level = Math.max(level, data[x * bins + bin]!);
      pixels[y * width + x] = Math.round(255 * (1 + level / RANGE_DB));
    }
  }
  return palettePng(width, HEIGHT, pixels);
}

/** PNG (ISO/IEC 15948) of 8-bit palette indices `[height, width]`. */
function palettePng(width: number, height: number, pixels: Uint8Array): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8); // depth, palette, deflate, no filter choice, not interlaced
  const rows = new Uint8Array(height * (width + 1)); // each row after its filter, 0: none
  for (let y = 0; y < height; y++) {
    rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  return Buffer.concat([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("PLTE", palette()),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function palette(): Uint8Array {
  const colours = new Uint8Array(3 * 256);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (STOPS.length - 1);
    const low = Math.min(Math.floor(at), STOPS.length - 2);
    for (let c = 0; c < 3; c++) {
      const from = STOPS[low]![c]!;
      colours[3 * i + c] = Math.round(from + (at - low) * (STOPS[low + 1]![c]! - from));
    }
  }
  return colours;
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + content.length);
  bytes.writeUInt32BE(content.length, 0);
  bytes.write(type, 4, "latin1");
  bytes.set(content, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + content.length)), 8 + content.length);
  return bytes;
}
