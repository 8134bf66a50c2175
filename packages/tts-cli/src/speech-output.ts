import type { AudioChunk } from "@voxquant/acoustic-model";
import { OutputFile, type Terminal } from "@voxquant/cli-core";
import type { AudioEncoder } from "./audio-format.js";

/** Where speech goes while it is made. */
export interface SpeechOutput {
  /** The first sentence that is wanted; those before are there from an earlier run. */
  readonly firstSentence: number;
  /** Samples that are there from an earlier run. */
  readonly samplesBefore: number;
  write(chunk: AudioChunk): Promise<void>;
  /** Completes the output. */
  commit(): Promise<void>;
  /** Ends an output that will not be completed. @returns what is left of it and how to use it, null for nothing */
  abandon(): Promise<string | null>;
}

/** A stream that another program reads: what was written stays written. */
export class StdoutOutput implements SpeechOutput {
  readonly firstSentence = 0;
  readonly samplesBefore = 0;
  readonly #encoder: AudioEncoder;
  readonly #terminal: Terminal;
  readonly #signal: AbortSignal;
  #started = false;

  constructor(encoder: AudioEncoder, terminal: Terminal, signal: AbortSignal) {
    this.#encoder = encoder;
    this.#terminal = terminal;
    this.#signal = signal;
  }

  async write({ samples }: AudioChunk): Promise<void> {
    await this.#start();
    await this.#terminal.bytes(this.#encoder.samples(samples), this.#signal);
  }

  async commit(): Promise<void> {
    await this.#start();
  }

  abandon(): Promise<null> {
    return Promise.resolve(null);
  }

  async #start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const { header } = this.#encoder;
    if (header.length > 0) await this.#terminal.bytes(header, this.#signal);
  }
}

/** A file that appears whole or not at all. */
export class FileOutput implements SpeechOutput {
  readonly firstSentence = 0;
  readonly samplesBefore = 0;
  readonly #encoder: AudioEncoder;
  readonly #file: OutputFile;
  #samples = 0;

  private constructor(encoder: AudioEncoder, file: OutputFile) {
    this.#encoder = encoder;
    this.#file = file;
  }

  /** @throws ResourceError if it cannot be written there */
  static async create(path: string, encoder: AudioEncoder): Promise<FileOutput> {
    const output = new FileOutput(encoder, await OutputFile.create(path));
    try {
      await output.#file.write(encoder.header);
    } catch (error) {
      await output.abandon();
      throw error;
    }
    return output;
  }

  async write({ samples }: AudioChunk): Promise<void> {
    this.#samples += samples.length;
    await this.#file.write(this.#encoder.samples(samples));
  }

  async commit(): Promise<void> {
    const header = this.#encoder.finalHeader(this.#samples);
    if (this.#file.canPatch) await this.#file.patch(0, header);
    await this.#file.commit();
  }

  async abandon(): Promise<null> {
    await this.#file.discard();
    return null;
  }
}
