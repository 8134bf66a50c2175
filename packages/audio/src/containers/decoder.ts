import type { AudioBuffer } from "../buffer.js";

/** Turns a file's bytes, in pieces of any size, into audio. One instance decodes one file. */
export interface StreamDecoder {
  /** Audio that these bytes complete; null before there is any. @throws AudioError */
  push(bytes: Uint8Array): Promise<AudioBuffer | null> | AudioBuffer | null;
  /** What the decoder still held. @throws AudioError if the file was damaged or ended too early to be decoded at all */
  end(): Promise<AudioBuffer | null> | AudioBuffer | null;
  /** Gives back memory outside the JavaScript heap; nothing else may be called afterwards. */
  free(): void;
}
