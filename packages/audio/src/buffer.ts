import { AudioError } from "./errors.js";

const { abs } = Math;

/** Decoded audio: one Float32Array per channel, all of one length, full scale = ±1. */
export interface AudioBuffer {
  /** Hz. */
  readonly sampleRate: number;
  readonly channels: readonly Float32Array[];
}

/**
 * Mean of all channels, or one of them. A single channel is returned as it is, not copied.
 * @throws AudioError `no_data` without channels, `bad_input` for a channel that does not exist
 */
export function toMono(
  buffer: { readonly channels: readonly Float32Array[] },
  channel?: number,
): Float32Array {
  const { channels } = buffer;
  if (channels.length === 0) throw new AudioError("no_data", "the audio has no channels");
  if (channel !== undefined) {
    const chosen = channels[channel];
    if (chosen === undefined) {
      const message = `channel ${channel} was asked for; the audio has ${channels.length} (numbered from 0)`;
      throw new AudioError("bad_input", message);
    }
    return chosen;
  }
  const first = channels[0]!;
  if (channels.length === 1) return first;
  const mono = new Float32Array(first.length);
  if (channels.length === 2) {
    const second = channels[1]!;
    for (let i = 0; i < mono.length; i++) mono[i] = (first[i]! + second[i]!) * 0.5;
    return mono;
  }
  for (let i = 0; i < mono.length; i++) {
    let sum = 0;
    for (let c = 0; c < channels.length; c++) sum += channels[c]![i]!;
    mono[i] = sum / channels.length;
  }
  return mono;
}

/** Consecutive samples as one array. */
export function joinSamples(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * One buffer of consecutive ones; null of none.
 * @throws AudioError `unsupported_format` if the number of channels changes
 */
export function joinBuffers(blocks: readonly AudioBuffer[]): AudioBuffer | null {
  const first = blocks[0];
  if (first === undefined || blocks.length === 1) return first ?? null;
  if (blocks.some((block) => block.channels.length !== first.channels.length)) {
    throw new AudioError("unsupported_format", "the number of channels changes within the audio");
  }
  const channels = first.channels.map((_, c) => joinSamples(blocks.map((block) => block.channels[c]!)));
  return { sampleRate: first.sampleRate, channels };
}

/**
 * Qwen3-ASR's input rule (`qwen_asr/inference/utils.py`): audio whose peak is over 1 is divided by that peak; quieter
 * audio is left as it is. Works in place and returns `samples`.
 * @throws AudioError `bad_samples` for NaN or infinite samples
 */
export function applyPeakGuard(samples: Float32Array): Float32Array {
  let peak = 0;
  let sum = 0;
  for (let i = 0; i < samples.length; i++) {
    const magnitude = abs(samples[i]!);
    if (magnitude > peak) peak = magnitude;
    sum += magnitude; // NaN never compares greater, but it stays in the sum
  }
  if (!Number.isFinite(sum)) {
    throw new AudioError(
      "bad_samples",
      "the audio has NaN or infinite samples: it is damaged or was converted wrongly",
    );
  }
  if (peak > 1) {
    for (let i = 0; i < samples.length; i++) samples[i]! /= peak;
  }
  return samples;
}
