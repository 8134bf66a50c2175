import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { repository } from "./cli.js";

export const MINI = join(repository, "models/qwen3-asr-mini");
export const SAMPLE = join(repository, "samples/kitchen-light-en.wav");

/** The small files of the mini model in a new folder, without weights. */
export function copyConfig(folder: string): string {
  mkdirSync(folder, { recursive: true });
  for (const name of [
    "config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "generation_config.json",
  ]) {
    copyFileSync(join(MINI, name), join(folder, name));
  }
  return folder;
}

/** The whole mini model in a new folder. */
export function copyModel(folder: string): string {
  copyConfig(folder);
  copyFileSync(join(MINI, "model.safetensors"), join(folder, "model.safetensors"));
  return folder;
}

/** A safetensors file with one tensor that claims (and, sparsely, has) this many bytes of BF16. */
export function writeSparseTensor(path: string, name: string, shape: readonly [number, number]): void {
  const byteLength = shape[0] * shape[1] * 2;
  const json = Buffer.from(
    JSON.stringify({ [name]: { dtype: "BF16", shape, data_offsets: [0, byteLength] } }),
  );
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, "w");
  writeSync(file, header);
  writeSync(file, json);
  ftruncateSync(file, 8 + json.length + byteLength);
  closeSync(file);
}

/** A WAV file, 16 kHz, one channel: 16-bit PCM, or 32-bit float. */
export function wav(samples: ArrayLike<number>, float = false): Buffer {
  const bytes = float ? 4 : 2;
  const file = Buffer.alloc(44 + samples.length * bytes);
  file.write("RIFF", 0, "latin1");
  file.writeUInt32LE(file.length - 8, 4);
  file.write("WAVEfmt ", 8, "latin1");
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(float ? 3 : 1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(16_000, 24);
  file.writeUInt32LE(16_000 * bytes, 28);
  file.writeUInt16LE(bytes, 32);
  file.writeUInt16LE(8 * bytes, 34);
  file.write("data", 36, "latin1");
  file.writeUInt32LE(samples.length * bytes, 40);
  for (let i = 0; i < samples.length; i++) {
    if (float) file.writeFloatLE(samples[i]!, 44 + 4 * i);
    else file.writeInt16LE(Math.round(32767 * samples[i]!), 44 + 2 * i);
  }
  return file;
}

/** Quiet noise, the same each time. */
export function noise(length: number): Float32Array {
  let state = 12345;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    return 0.02 * ((2 * state) / 2 ** 31 - 1);
  });
}

/** The raw samples of a canonical WAV file. */
export function pcmOf(path: string): Buffer {
  return readFileSync(path).subarray(44);
}

export function writeText(path: string, text: string): string {
  writeFileSync(path, text);
  return path;
}
