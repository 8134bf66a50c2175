import { joinBuffers, type AudioBuffer } from "./buffer.js";
import { byteChunks, byteLengthOf, type ByteInput } from "./bytes.js";
import type { StreamDecoder } from "./containers/decoder.js";
import { decodeWithFfmpeg } from "./containers/ffmpeg.js";
import { SNIFF_BYTES, sniffContainer, type Container } from "./containers/sniff.js";
import { WasmStreamDecoder } from "./containers/wasm-decoders.js";
import { WebmOpusDecoder } from "./containers/webm.js";
import { AudioError } from "./errors.js";
import { WavDecoder } from "./wav.js";

export interface DecodeOptions {
  readonly signal?: AbortSignal;
  /** Name or path of the ffmpeg program for formats that are not decoded in process (AAC, ALAC, …). Default `ffmpeg`. */
  readonly ffmpeg?: string;
  /** Bytes of the file that were read, and their number where it is known beforehand. */
  onRead?(bytesRead: number, bytesTotal: number | null): void;
}

/**
 * Decodes a file as its bytes arrive, in blocks at its own rate and channels. WAV, MP3, FLAC, Ogg Vorbis, Opus in Ogg
 * and WebM are decoded in process, anything else by ffmpeg where it is installed; the bytes decide, not the name.
 * @throws AudioError
 */
export async function* decodeBlocks(
  source: ByteInput,
  options: DecodeOptions = {},
): AsyncGenerator<AudioBuffer, void, undefined> {
  const { signal } = options;
  const chunks = counted(source, options)[Symbol.asyncIterator]();
  try {
    const head = await readHead(chunks);
    if (head.length === 0) throw new AudioError("no_data", "the audio file is empty (0 bytes)");
    const container = sniffContainer(head);
    const bytes = resumed(head, chunks);
    const decoder = await decoderOf(container);
    if (decoder === null) {
      yield* decodeWithFfmpeg(bytes, options.ffmpeg ?? "ffmpeg", signal);
      return;
    }
    try {
      for await (const chunk of bytes) {
        signal?.throwIfAborted();
        const block = await decoder.push(chunk);
        if (block !== null) yield block;
      }
      const rest = await decoder.end();
      if (rest !== null) yield rest;
    } finally {
      decoder.free();
    }
  } finally {
    await chunks.return(undefined);
  }
}

async function* counted(source: ByteInput, { signal, onRead }: DecodeOptions): AsyncGenerator<Uint8Array> {
  const total = onRead === undefined ? null : await byteLengthOf(source);
  let read = 0;
  for await (const chunk of byteChunks(source, signal)) {
    read += chunk.length;
    onRead?.(read, total);
    yield chunk;
  }
}

/**
 * Decodes a whole file in memory. For long recordings use `openAudio`, which never holds them at their own rate.
 * @throws AudioError `no_data` for an empty file or one without a single sample, and whatever the decoder found
 */
export async function decodeAudio(bytes: Uint8Array, options: DecodeOptions = {}): Promise<AudioBuffer> {
  const blocks: AudioBuffer[] = [];
  for await (const block of decodeBlocks(bytes, options)) blocks.push(block);
  const buffer = joinBuffers(blocks);
  if (buffer === null) throw new AudioError("no_data", "the audio file has no samples");
  return buffer;
}

function decoderOf(container: Container): Promise<StreamDecoder> | null {
  switch (container) {
    case "wav":
      return Promise.resolve(wavStream());
    case "webm-opus":
      return WebmOpusDecoder.create();
    case "foreign":
      return null;
    default:
      return WasmStreamDecoder.create(container);
  }
}

function wavStream(): StreamDecoder {
  const decoder = new WavDecoder();
  return {
    push: (bytes) => decoder.push(bytes),
    end: () => {
      decoder.end();
      return null;
    },
    free: () => undefined,
  };
}

async function readHead(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < SNIFF_BYTES) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    const longer = new Uint8Array(head.length + value.length);
    longer.set(head);
    longer.set(value, head.length);
    head = longer;
  }
  return head;
}

async function* resumed(head: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head;
  for (;;) {
    const { done, value } = await chunks.next();
    if (done === true) return;
    yield value;
  }
}
