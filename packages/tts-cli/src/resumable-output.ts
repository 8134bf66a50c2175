import { existsSync } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { AudioChunk } from "@voxquant/acoustic-model";
import { writeOutput } from "@voxquant/cli-core";
import { FormatError, ResourceError } from "@voxquant/quant-core";
import type { AudioEncoder } from "./audio-format.js";
import type { SpeechOutput } from "./speech-output.js";

/** How far an interrupted synthesis came: the file beside its audio. */
interface ResumeState {
  readonly version: 1;
  /** Digest of all that the speech depends on but the seed. */
  readonly identity: string;
  readonly seed: number;
  /** Sentences that are complete. */
  readonly sentences: number;
  /** Samples of these. */
  readonly samples: number;
}

/** What an interrupted synthesis must have in common with the one that continues it. */
export type ResumeRequest = Pick<ResumeState, "identity" | "seed">;

/** A state is a hundred bytes; more is not one. */
const MAX_STATE_BYTES = 10_000;

/** Audio of complete sentences that waits beside the output for the rest, and what is known about it. */
export function partPaths(path: string): { readonly audio: string; readonly state: string } {
  return { audio: `${path}.part`, state: `${path}.part.json` };
}

/** The seed of the synthesis that was interrupted, null if there is none. @throws FormatError, ResourceError */
export async function interruptedSeed(path: string): Promise<number | null> {
  return (await readState(path))?.seed ?? null;
}

/**
 * A file that is kept when its synthesis is interrupted, up to the end of the last complete sentence, and continued by the
 * next run of the same request. Until it is complete it is called PATH.part, and can be played under that name.
 */
export class ResumableOutput implements SpeechOutput {
  readonly firstSentence: number;
  readonly samplesBefore: number;
  readonly #path: string;
  readonly #encoder: AudioEncoder;
  readonly #file: FileHandle;
  readonly #request: ResumeRequest;
  /** Sentence of the last chunk. */
  #sentence: number;
  #samples: number;
  /** The end of the last complete sentence. */
  #complete: { sentences: number; samples: number };

  private constructor(
    path: string,
    encoder: AudioEncoder,
    file: FileHandle,
    { identity, seed, sentences, samples }: ResumeState,
  ) {
    this.#path = path;
    this.#encoder = encoder;
    this.#file = file;
    this.#request = { identity, seed };
    this.firstSentence = sentences;
    this.samplesBefore = samples;
    this.#sentence = sentences;
    this.#samples = samples;
    this.#complete = { sentences, samples };
  }

  /**
   * Continues what was interrupted, or begins.
   * @param replace begin anew where what is there is of another request
   * @throws ResourceError if it is of another request, or cannot be written
   */
  static async open(
    path: string,
    encoder: AudioEncoder,
    request: ResumeRequest,
    replace: boolean,
  ): Promise<ResumableOutput> {
    const { audio } = partPaths(path);
    let found = await readState(path);
    if (found !== null && (found.identity !== request.identity || found.seed !== request.seed)) {
      if (!replace) {
        throw new ResourceError(
          `${audio} is of another text, voice, model or setting: repeat the command that was interrupted, or begin anew with --force`,
        );
      }
      found = null;
    }
    const state = found ?? { version: 1, ...request, sentences: 0, samples: 0 };
    await mkdir(dirname(resolve(path)), { recursive: true });
    try {
      const file = await open(audio, found === null ? "w" : "r+");
      const output = new ResumableOutput(path, encoder, file, state);
      if (found === null) await file.write(encoder.header, 0, encoder.header.length, 0);
      else await output.#cutToComplete();
      return output;
    } catch (cause) {
      if (cause instanceof FormatError) throw cause;
      throw new ResourceError(`${audio} cannot be written: ${(cause as Error).message}`, { cause });
    }
  }

  async write({ samples, sentence }: AudioChunk): Promise<void> {
    if (sentence > this.#sentence) await this.#completeSentence(sentence);
    const bytes = this.#encoder.samples(samples);
    await this.#attempt(() => this.#file.write(bytes, 0, bytes.length, this.#position(this.#samples)));
    this.#samples += samples.length;
  }

  async commit(): Promise<void> {
    const { audio, state } = partPaths(this.#path);
    await this.#attempt(async () => {
      await this.#writeHeader(this.#samples);
      await this.#file.sync();
      await this.#file.close();
      await rename(audio, this.#path);
      await rm(state, { force: true });
    });
  }

  async abandon(): Promise<string | null> {
    const { audio, state } = partPaths(this.#path);
    const { sentences, samples } = this.#complete;
    try {
      if (sentences > 0) {
        await this.#file.truncate(this.#position(samples));
        await this.#writeHeader(samples);
      }
    } catch {
      // What the state says is on the disk, and what lies behind it is cut off when it is continued.
    } finally {
      await this.#file.close();
    }
    if (sentences > 0)
      return `${audio}: the first ${sentences === 1 ? "sentence" : `${sentences} sentences`}; the same command continues there`;
    for (const path of [audio, state]) await rm(path, { force: true });
    return null;
  }

  /** A chunk of `next` has come. Everything before it is on the disk; from now on an interruption does not lose it. */
  async #completeSentence(next: number): Promise<void> {
    this.#sentence = next;
    this.#complete = { sentences: next, samples: this.#samples };
    await this.#attempt(async () => {
      await this.#writeHeader(this.#samples);
      await this.#file.datasync();
    });
    const state: ResumeState = { version: 1, ...this.#request, ...this.#complete };
    await writeOutput(partPaths(this.#path).state, `${JSON.stringify(state)}\n`);
  }

  /** @throws FormatError if the file is shorter than its state says */
  async #cutToComplete(): Promise<void> {
    const length = this.#position(this.#complete.samples);
    const { size } = await this.#file.stat();
    if (size < length) {
      await this.#file.close();
      const { audio } = partPaths(this.#path);
      throw new FormatError(`${audio}: has ${size} bytes of ${length}: begin anew with --force`);
    }
    await this.#file.truncate(length);
  }

  async #writeHeader(samples: number): Promise<void> {
    const header = this.#encoder.finalHeader(samples);
    await this.#file.write(header, 0, header.length, 0);
  }

  #position(samples: number): number {
    return this.#encoder.header.length + samples * this.#encoder.bytesPerSample;
  }

  async #attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (cause) {
      if (cause instanceof ResourceError) throw cause;
      throw new ResourceError(`${this.#path} could not be written: ${(cause as Error).message}`, { cause });
    }
  }
}

async function readState(path: string): Promise<ResumeState | null> {
  const { audio, state } = partPaths(path);
  if (!existsSync(state) || !existsSync(audio)) return null;
  const damaged = (reason: string): FormatError =>
    new FormatError(`${state}: ${reason}; remove it and ${audio} to begin anew`);
  const { size } = await stat(state);
  if (size > MAX_STATE_BYTES) throw damaged(`has ${size} bytes, which is no state of a synthesis`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(state, "utf8"));
  } catch (cause) {
    throw damaged(`is not JSON (${(cause as Error).message})`);
  }
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const { version, identity, seed, sentences, samples } = fields;
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && (count as number) >= 0;
  if (version !== 1 || typeof identity !== "string" || ![seed, sentences, samples].every(isCount)) {
    throw damaged("is no state of a synthesis");
  }
  return fields as unknown as ResumeState;
}
