import type { KvCache } from "@voxquant/quant-core";
import { penalizeRepetition, RandomStream, Sampler } from "@voxquant/nn";
import type { StopReason } from "../tts-model.js";
import { CodeLoopGuard } from "./code-loop.js";
import type { Qwen3TtsConfig } from "./config.js";
import type { SpeechSampling } from "./speech-sampling.js";

/** Frames before which the talker may not end. */
const MIN_FRAMES = 2;

export interface SequenceSettings {
  readonly sampling: SpeechSampling;
  readonly maxFrames: number;
  /** Stop when the codes loop. */
  readonly guardLoops: boolean;
  /** Codes that are fed back instead of the chosen ones, time-major; they end the sequence too. */
  readonly forcedCodes: Int32Array | null;
}

/** One speech while it is generated: its codes so far, how the next are chosen, and where it stands in the talker. */
export class SpeechSequence {
  readonly cache: KvCache;
  /** Text that goes along with the frames, `[trailing, hidden]`. */
  readonly trailing: readonly Float32Array[];
  /** Where the next row goes in the cache. */
  position: number;
  /** The talker's latest state and scores. */
  hidden: Float32Array = new Float32Array(0);
  logits: Float32Array = new Float32Array(0);
  /** Chosen codes, time-major. */
  readonly codes: number[] = [];
  /** Chosen codes of codebook 0, with the last, which is the end or has no frame. */
  readonly firstCodes: number[] = [];
  stopReason: StopReason | null = null;
  /** Frames before a loop. */
  usefulFrames: number | null = null;
  /** Sees the scores that codebook 0 is chosen from. */
  onScores: ((scores: Float32Array) => void) | null = null;
  readonly #config: Qwen3TtsConfig;
  readonly #settings: SequenceSettings;
  readonly #random: RandomStream;
  readonly #sampler = new Sampler();
  readonly #seen = new Set<number>();
  readonly #guard: CodeLoopGuard | null;
  readonly #scores: Float32Array;
  /** The frame being made, as it is fed back. */
  readonly #frame: Int32Array;

  constructor(
    config: Qwen3TtsConfig,
    settings: SequenceSettings,
    cache: KvCache,
    promptLength: number,
    trailing: readonly Float32Array[],
  ) {
    this.cache = cache;
    this.position = promptLength;
    this.trailing = trailing;
    this.#config = config;
    this.#settings = settings;
    this.#random = new RandomStream(settings.sampling.seed);
    this.#guard = settings.guardLoops ? new CodeLoopGuard() : null;
    this.#scores = new Float32Array(config.talker.codeCount + 1);
    this.#frame = new Int32Array(config.codeGroups);
  }

  get frames(): number {
    return this.codes.length / this.#config.codeGroups;
  }

  /** The latest frame as it was fed back. */
  get frame(): Int32Array {
    return this.#frame;
  }

  /** Draws code 0 of the next frame from the latest scores. @returns false if the speech has ended */
  begin(): boolean {
    if (this.stopReason !== null) return false;
    const { talker, codec } = this.#config;
    const { forcedCodes, maxFrames } = this.#settings;
    const chosen = this.#chooseFirst();
    this.firstCodes.push(chosen === talker.codeCount ? codec.eos : chosen);
    const at = this.codes.length;
    const ended = forcedCodes === null ? chosen === talker.codeCount : at >= forcedCodes.length;
    if (ended || this.frames >= maxFrames) {
      this.stopReason = chosen === talker.codeCount ? "eos" : "length";
      return false;
    }
    this.codes.push(chosen === talker.codeCount ? codec.eos : chosen);
    this.#frame[0] = forcedCodes?.[at] ?? chosen;
    this.#seen.add(this.#frame[0]!);
    return true;
  }

  /** Chooses code `group` (1 to the last) of the frame; `logits` is overwritten. @returns the code that is fed back */
  chooseCode(group: number, logits: Float32Array): number {
    const { sampling, forcedCodes } = this.#settings;
    const at = this.codes.length;
    const chosen = this.#sampler.choose(logits, sampling.predictor, this.#random);
    this.codes.push(chosen);
    return (this.#frame[group] = forcedCodes?.[at] ?? chosen);
  }

  /** After the last code of a frame. */
  endFrame(): void {
    const useful = this.#guard?.push(this.#frame[0]!) ?? null;
    if (useful === null) return;
    this.stopReason = "repetition";
    this.usefulFrames = useful;
  }

  /** Index of the code, or the count of codes for the end. */
  #chooseFirst(): number {
    const { codeCount } = this.#config.talker;
    const { sampling } = this.#settings;
    const scores = this.#scores;
    // What lies between the codes and the end are control ids, which must not come out.
    scores.set(this.logits.subarray(0, codeCount));
    scores[codeCount] = this.logits[this.#config.codec.eos]!;
    penalizeRepetition(scores, this.#seen, sampling.repetitionPenalty);
    if (this.firstCodes.length < MIN_FRAMES) scores[codeCount] = -Infinity;
    this.onScores?.(scores);
    return this.#sampler.choose(scores, sampling, this.#random);
  }
}
