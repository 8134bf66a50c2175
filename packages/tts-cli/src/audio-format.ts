import { extname } from "node:path";
import { writeWav } from "@voxquant/audio";
import { UsageError, choiceOf } from "@voxquant/cli-core";
import { ResourceError } from "@voxquant/quant-core";

/** `wav` has 16-bit samples, `wav-float` 32-bit floats, `pcm` bare 16-bit samples (little-endian, one channel). */
export const AUDIO_FORMATS = ["wav", "wav-float", "pcm"] as const;
export type AudioFormat = (typeof AUDIO_FORMATS)[number];

/** What a program that plays raw audio reads is bare samples; a file is told by its name. */
const BY_EXTENSION: Readonly<Record<string, AudioFormat>> = { ".wav": "wav", ".pcm": "pcm", ".raw": "pcm" };

/**
 * The format of an output.
 * @param output path, or `-` for stdout
 * @throws UsageError for one that cannot be written
 */
export function audioFormatOf(output: string, format: string | undefined): AudioFormat {
  if (format !== undefined) return choiceOf(format, "format", AUDIO_FORMATS);
  if (output === "-") return "pcm";
  const extension = extname(output).toLowerCase();
  if (extension === "") return "wav";
  const known = BY_EXTENSION[extension];
  if (known !== undefined) return known;
  throw new UsageError(
    `--output ${output}: ${extension} files cannot be written. Name it .wav, .pcm or .raw, or choose with --format: ${AUDIO_FORMATS.join(", ")}`,
  );
}

const WAV_HEADER_BYTES = 44;
/** Where a WAV header has the sizes of the file and of its samples. */
const RIFF_SIZE_AT = 4;
const DATA_SIZE_AT = 40;
/** What a size says that is not known yet, or never (a stream). */
const UNKNOWN_SIZE = 0xffffffff;

/** Encodes mono audio piece by piece. */
export class AudioEncoder {
  readonly format: AudioFormat;
  readonly sampleRate: number;

  constructor(format: AudioFormat, sampleRate: number) {
    this.format = format;
    this.sampleRate = sampleRate;
  }

  /** Bytes before the samples; of a file whose length is not known yet, as programs that read streams accept it. */
  get header(): Uint8Array {
    return this.format === "pcm" ? new Uint8Array(0) : withSizes(this.#wav([]), UNKNOWN_SIZE, UNKNOWN_SIZE);
  }

  get bytesPerSample(): number {
    return this.format === "wav-float" ? 4 : 2;
  }

  samples(samples: Float32Array): Uint8Array {
    return this.#wav(samples).subarray(WAV_HEADER_BYTES);
  }

  /** The header of a file of so many samples. @throws ResourceError if WAV cannot say that size */
  finalHeader(sampleCount: number): Uint8Array {
    if (this.format === "pcm") return this.header;
    const bytes = sampleCount * this.bytesPerSample;
    if (WAV_HEADER_BYTES + bytes >= UNKNOWN_SIZE) {
      throw new ResourceError(
        `${Math.round(sampleCount / this.sampleRate)} s of audio do not fit into a WAV file of 4 GiB: use --format pcm, or split the text`,
      );
    }
    return withSizes(this.#wav([]), WAV_HEADER_BYTES - 8 + bytes, bytes);
  }

  #wav(samples: ArrayLike<number>): Uint8Array {
    const channel = samples instanceof Float32Array ? samples : Float32Array.from(samples);
    const format = this.format === "wav-float" ? "float32" : "pcm16";
    return writeWav({ sampleRate: this.sampleRate, channels: [channel] }, { format });
  }
}

function withSizes(header: Uint8Array, riff: number, data: number): Uint8Array {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  view.setUint32(RIFF_SIZE_AT, riff, true);
  view.setUint32(DATA_SIZE_AT, data, true);
  return header;
}
