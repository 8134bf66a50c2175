import { isNode, nodeBuiltin } from "@voxquant/quant-core";
import type { ChildProcess } from "node:child_process";
import { AudioError } from "../errors.js";
import { WavDecoder } from "../wav.js";
import type { AudioBuffer } from "../buffer.js";

/** Characters of ffmpeg's messages that are kept for the error. */
const MAX_MESSAGES = 4096;

const ARGUMENTS = [
  "-hide_banner",
  "-nostdin",
  "-loglevel",
  "error",
  // A file may name other files and addresses (playlists, references): only what is piped in may be read. `cache:`
  // makes the pipe seekable, for MP4 files that have their index at the end.
  "-protocol_whitelist",
  "cache,pipe",
  "-read_ahead_limit",
  "-1",
  "-i",
  "cache:pipe:0",
  "-map",
  "0:a:0",
  "-f",
  "wav",
  "-c:a",
  "pcm_f32le",
  "pipe:1",
];

/**
 * Decodes a file of any format that the machine's ffmpeg knows, fed through its standard input.
 * @param program name or path of ffmpeg
 * @throws AudioError `no_decoder` without ffmpeg, `undecodable` with ffmpeg's reason
 */
export async function* decodeWithFfmpeg(
  input: AsyncIterable<Uint8Array>,
  program: string,
  signal?: AbortSignal,
): AsyncGenerator<AudioBuffer, void, undefined> {
  if (!isNode) {
    const message =
      "this audio format is not decoded in the browser: WAV, MP3, FLAC, Ogg Vorbis, Opus (Ogg, WebM) are; convert it first";
    throw new AudioError("no_decoder", message);
  }
  signal?.throwIfAborted();
  const child = nodeBuiltin("node:child_process").spawn(program, ARGUMENTS, {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let messages = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    messages = (messages + text).slice(-MAX_MESSAGES);
  });
  const kill = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", kill);
  const exit = exitOf(child, program);
  exit.catch(() => undefined); // awaited below, when the output has ended
  let inputError: unknown = null;
  const feeding = feed(input, child, signal).catch((error: unknown) => {
    inputError = error;
    kill();
  });
  const decoder = new WavDecoder();
  let frames = 0;
  try {
    for await (const bytes of child.stdout as AsyncIterable<Uint8Array>) {
      const block = decoder.push(bytes);
      if (block === null) continue;
      frames += block.channels[0]!.length;
      yield block;
    }
    const code = await exit;
    await feeding;
    signal?.throwIfAborted();
    if (inputError !== null) throw inputError as Error;
    if (frames === 0) {
      const reason = messages.trim().split("\n").at(-1) || `it ended with code ${code} and no audio`;
      throw new AudioError("undecodable", `the audio cannot be decoded; ffmpeg says: ${reason}`);
    }
  } finally {
    signal?.removeEventListener("abort", kill);
    kill();
  }
}

async function feed(
  input: AsyncIterable<Uint8Array>,
  child: ChildProcess,
  signal?: AbortSignal,
): Promise<void> {
  const stdin = child.stdin!;
  let closed = false;
  let wake: () => void = () => undefined;
  // ffmpeg may stop reading before the end (EPIPE): that is its right, and its exit tells the rest
  stdin.on("error", () => undefined);
  stdin.on("close", () => {
    closed = true;
    wake();
  });
  stdin.on("drain", () => wake());
  for await (const bytes of input) {
    signal?.throwIfAborted();
    if (closed) return;
    if (!stdin.write(bytes)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (closed) resolve();
      });
    }
  }
  stdin.end();
}

function exitOf(child: ChildProcess, program: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on("error", (cause) => {
      const message =
        `this audio format needs ffmpeg, and "${program}" cannot be started (${cause.message}): install ffmpeg, ` +
        "or convert the file to WAV, MP3, FLAC, Ogg Vorbis or Opus";
      reject(new AudioError("no_decoder", message, { cause }));
    });
    child.on("close", (code) => resolve(code));
  });
}
