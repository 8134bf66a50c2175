import type { SynthesisRequest } from "./synthesizer-request.js";
import type { SpokenSentence } from "./synthesizer-sentence.js";
import type { AudioChunk, SynthesizedSentence } from "./tts-model.js";

/** Longest chunk of silence, seconds: a long pause is not built at once. */
const SILENCE_SECONDS = 1;

/** Puts sentences and pauses one after the other, and keeps count of the samples. */
export class Timeline {
  readonly #request: SynthesisRequest;
  readonly #sampleRate: number;
  #samples = 0;
  #sentenceStart = 0;

  constructor(request: SynthesisRequest, sampleRate: number) {
    this.#request = request;
    this.#sampleRate = sampleRate;
  }

  /** Seconds so far. */
  get seconds(): number {
    return this.#samples / this.#sampleRate;
  }

  /** The silence before sentence `index`: only the first has some of its own. */
  *begin(index: number): Generator<AudioChunk, void, undefined> {
    if (index === 0) yield* this.#silence(index, this.#request.script.pauseSeconds);
    this.#sentenceStart = this.#samples;
  }

  /** The next samples of the sentence. */
  add(index: number, samples: Float32Array): AudioChunk {
    const start = this.seconds;
    this.#samples += samples.length;
    return { samples, sampleRate: this.#sampleRate, start, sentence: index };
  }

  /** The sentence's times, once its samples are all there. */
  end(index: number, { stopReason, codes }: SpokenSentence): SynthesizedSentence {
    const { text } = this.#request.script.sentences[index]!;
    const start = this.#sentenceStart / this.#sampleRate;
    return { text, start, end: this.seconds, stopReason, codes };
  }

  /** The silence after it, which belongs to it: the next one then begins with its sound, also when it is spoken later. */
  pause(index: number): Generator<AudioChunk, void, undefined> {
    return this.#silence(index, this.#request.script.sentences[index]!.pauseSeconds);
  }

  *#silence(index: number, seconds: number): Generator<AudioChunk, void, undefined> {
    let left = Math.round(seconds * this.#sampleRate);
    const most = Math.round(SILENCE_SECONDS * this.#sampleRate);
    for (; left > 0; left -= most) yield this.add(index, new Float32Array(Math.min(left, most)));
  }
}
