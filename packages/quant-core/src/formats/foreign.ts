import { FormatError } from "../errors.js";

/** Files that are given for checkpoints by mistake: what they begin with, and what to say. */
const FOREIGN: readonly { readonly prefix: string | readonly number[]; readonly is: string }[] = [
  {
    prefix: "PK\x03\x04",
    is: "a ZIP archive, as PyTorch .bin, .pt and .pth checkpoints are: convert it to safetensors",
  },
  { prefix: [0x80, 0x02], is: "a Python pickle, as old PyTorch checkpoints are: convert it to safetensors" },
  {
    prefix: "version https://git-lfs",
    is: "a Git LFS pointer: the file itself was not fetched, run `git lfs pull`",
  },
  {
    prefix: "<!DOCTYPE",
    is: "a web page, perhaps a login or error page saved by a download: fetch the file again",
  },
  {
    prefix: "<!doctype",
    is: "a web page, perhaps a login or error page saved by a download: fetch the file again",
  },
  {
    prefix: "<html",
    is: "a web page, perhaps a login or error page saved by a download: fetch the file again",
  },
  {
    prefix: "<?xml",
    is: "an XML document, perhaps an error message saved by a download: fetch the file again",
  },
  {
    prefix: "lmgg",
    is: "a whisper.cpp model of the format before GGUF: convert it to GGUF or start from safetensors",
  },
  {
    prefix: "tjgg",
    is: "a llama.cpp model of the format before GGUF: convert it to GGUF or start from safetensors",
  },
  { prefix: "FUGG", is: "a GGUF file with its magic reversed: only little-endian files are read" },
  { prefix: [0x1f, 0x8b], is: "a gzip archive: unpack it first" },
  { prefix: [0x28, 0xb5, 0x2f, 0xfd], is: "a Zstandard archive: unpack it first" },
  { prefix: "\x89HDF", is: "an HDF5 file, as Keras checkpoints are: convert it to safetensors" },
  { prefix: "RIFF", is: "an audio file (RIFF)" },
  { prefix: "ID3", is: "an audio file (MP3)" },
  { prefix: "{", is: "a JSON file" },
];

/** Bytes of a file that are enough to say what it is. */
export const SIGNATURE_BYTES = 64;

/** What a file that is no checkpoint looks like, from its first bytes; null if nothing known. */
export function describeForeign(bytes: Uint8Array): string | null {
  if (bytes.length === 0) return "empty";
  const head = bytes.subarray(0, SIGNATURE_BYTES);
  for (const { prefix, is } of FOREIGN) {
    const codes = typeof prefix === "string" ? Array.from(prefix, (c) => c.charCodeAt(0)) : prefix;
    if (codes.every((code, i) => head[i] === code)) return is;
  }
  if (head.every((byte) => byte === 0))
    return "all zeros, as a download that was reserved but not written: fetch it again";
  return null;
}

/** The error for a file that is not of the format that it should be. */
export function foreignFile(location: string, expected: string, bytes: Uint8Array): FormatError {
  const looks = describeForeign(bytes);
  if (looks === "empty")
    return new FormatError(`${location}: the file is empty, a ${expected} file was expected`);
  const begins = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return new FormatError(
    `${location}: not a ${expected} file; it ${looks === null ? `begins with bytes ${begins}` : `looks like ${looks}`}`,
  );
}
