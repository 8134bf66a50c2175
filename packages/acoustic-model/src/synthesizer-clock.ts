import type { SpeechTimings } from "./qwen3-tts/generate.js";
import type { SynthesisTimings } from "./tts-model.js";

/** Where the time of a call goes; starts when it is made. */
export class SynthesisClock implements SpeechTimings {
  promptMs = 0;
  promptPositions = 0;
  talkerMs = 0;
  predictorMs = 0;
  codecMs = 0;
  frames = 0;
  readonly #start = performance.now();
  #firstAudioMs: number | null = null;

  /** Samples of speech were made. */
  heard(): void {
    this.#firstAudioMs ??= performance.now() - this.#start;
  }

  /** @param own counts of one request of several */
  read(own?: Pick<SynthesisTimings, "promptTokens" | "frames">): SynthesisTimings {
    const { promptMs, talkerMs, predictorMs, codecMs } = this;
    const totalMs = performance.now() - this.#start;
    const firstAudioMs = this.#firstAudioMs ?? totalMs;
    const counts = own ?? { promptTokens: this.promptPositions, frames: this.frames };
    return { promptMs, firstAudioMs, talkerMs, predictorMs, codecMs, totalMs, ...counts };
  }
}
