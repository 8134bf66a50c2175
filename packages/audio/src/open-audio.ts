import { joinSamples, toMono, type AudioBuffer } from "./buffer.js";
import type { ByteInput } from "./bytes.js";
import { decodeBlocks, type DecodeOptions } from "./decode.js";
import { AudioError } from "./errors.js";
import { Resampler } from "./resample.js";

const { abs } = Math;

/** Mono samples in memory. */
export interface MonoSamples {
  readonly samples: Float32Array;
  /** Hz. */
  readonly sampleRate: number;
}

/** A path (Node), URL, file in memory, Blob, stream of a file's bytes, or samples. */
export type AudioSource = ByteInput | AudioBuffer | MonoSamples;

export interface OpenAudioOptions extends DecodeOptions {
  /** Hz of the samples that come out. */
  readonly sampleRate: number;
  /** One channel (from 0) instead of the mean of all. */
  readonly channel?: number;
}

/** Mono audio at one rate, in blocks. */
export interface AudioStream extends AsyncIterable<Float32Array> {
  readonly sampleRate: number;
  /**
   * How much of the source the iteration has read, 0…1; null where its size is not known. Samples so far divided by it
   * estimate the whole length.
   */
  readonly fractionRead: number | null;
}

/** Frames of samples in memory that are worked on at once. */
const BLOCK = 65_536;

/**
 * Opens audio of any kind as a stream of mono blocks at the rate that a model wants. Bytes are read, decoded, mixed and
 * resampled piece by piece: hours of audio, or many channels at a high rate, never stand in memory decoded. Levels are
 * left alone (see `applyPeakGuard`). Every iteration starts from the beginning, as far as the source allows it.
 *
 * Iterating throws AudioError for audio that is empty or cannot be decoded, ResourceError for a source that cannot be read.
 * @throws AudioError `bad_input` for rates out of range
 */
export function openAudio(source: AudioSource, options: OpenAudioOptions): AudioStream {
  const { sampleRate } = options;
  new Resampler(sampleRate, sampleRate); // refuses a bad rate here rather than at the first block
  let fractionRead: number | null = null;
  const onRead = (read: number, total: number | null) => {
    fractionRead = total === null ? null : Math.min(1, read / total);
    options.onRead?.(read, total);
  };
  return {
    sampleRate,
    get fractionRead() {
      return fractionRead;
    },
    [Symbol.asyncIterator]: () => monoBlocks(source, { ...options, onRead }),
  };
}

async function* monoBlocks(
  source: AudioSource,
  options: OpenAudioOptions,
): AsyncGenerator<Float32Array, void, undefined> {
  const { sampleRate, channel, signal } = options;
  signal?.throwIfAborted();
  let resampler: Resampler | null = null;
  let channels = 0;
  let frames = 0;
  for await (const block of blocksOf(source, options)) {
    signal?.throwIfAborted();
    resampler ??= new Resampler(block.sampleRate, sampleRate);
    channels ||= block.channels.length;
    frames += block.channels[0]!.length;
    if (block.sampleRate !== resampler.from || block.channels.length !== channels) {
      throw new AudioError("unsupported_format", "the rate or number of channels changes within the audio");
    }
    const samples = resampler.push(checked(toMono(block, channel)));
    if (samples.length > 0) yield samples;
  }
  if (resampler === null || frames === 0) throw new AudioError("no_data", "the audio has no samples");
  const rest = resampler.flush();
  if (rest.length > 0) yield rest;
}

function blocksOf(
  source: AudioSource,
  options: DecodeOptions,
): AsyncIterable<AudioBuffer> | Iterable<AudioBuffer> {
  if (typeof source === "object" && "channels" in source)
    return memoryBlocks(source.channels, source.sampleRate, options);
  if (typeof source === "object" && "samples" in source)
    return memoryBlocks([source.samples], source.sampleRate, options);
  return decodeBlocks(source, options);
}

function* memoryBlocks(
  channels: readonly Float32Array[],
  sampleRate: number,
  { onRead }: DecodeOptions,
): Generator<AudioBuffer> {
  const frames = channels[0]?.length ?? 0;
  if (channels.some((samples) => samples.length !== frames)) {
    throw new AudioError("bad_input", "the channels of the audio have different lengths");
  }
  const frameBytes = 4 * channels.length;
  for (let at = 0; at < frames; at += BLOCK) {
    onRead?.(Math.min(at + BLOCK, frames) * frameBytes, frames * frameBytes);
    yield { sampleRate, channels: channels.map((samples) => samples.subarray(at, at + BLOCK)) };
  }
}

function checked(samples: Float32Array): Float32Array {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += abs(samples[i]!);
  if (!Number.isFinite(sum)) {
    throw new AudioError(
      "bad_samples",
      "the audio has NaN or infinite samples: it is damaged or was converted wrongly",
    );
  }
  return samples;
}

/** All samples of a stream. @throws whatever the stream throws */
export async function readAll(stream: AsyncIterable<Float32Array>): Promise<Float32Array> {
  const blocks: Float32Array[] = [];
  for await (const block of stream) blocks.push(block);
  return blocks.length === 1 ? blocks[0]! : joinSamples(blocks);
}
