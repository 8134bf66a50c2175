/**
 * Root mean square below which a frame is silent, -50 dB of full scale: room tone and breath of a quiet recording are
 * louder, what a model makes when it has lost its end is not.
 */
const SILENT_RMS = 10 ** (-50 / 20);
/** So much silence is no pause in a sentence any more. */
const LOST_SECONDS = 2.5;
/** What is kept of it. */
const KEPT_SECONDS = 0.4;

/**
 * Watches the sound of a speech for an end that its codes have missed: a model that does not give its end code goes on
 * with silence (QwenLM/Qwen3-TTS issue 118).
 */
export class SilenceGuard {
  readonly #samplesPerFrame: number;
  readonly #lostFrames: number;
  readonly #keptFrames: number;
  readonly #textFrames: number;
  #frames = 0;
  /** Frames up to the last that is not silent. */
  #heard = 0;

  /** @param textFrames frames during which the model still gets text, so that silence is no sign of an end */
  constructor(samplesPerFrame: number, frameRate: number, textFrames: number) {
    this.#samplesPerFrame = samplesPerFrame;
    this.#lostFrames = Math.ceil(LOST_SECONDS * frameRate);
    this.#keptFrames = Math.ceil(KEPT_SECONDS * frameRate);
    this.#textFrames = textFrames;
  }

  /** Adds the samples of whole frames. */
  push(samples: Float32Array): void {
    const size = this.#samplesPerFrame;
    for (let at = 0; at < samples.length; at += size) {
      this.#frames++;
      // Not a number is loud: a broken model must not sound like silence.
      if (!(rms(samples.subarray(at, at + size)) < SILENT_RMS)) this.#heard = this.#frames;
    }
  }

  /** The speech has been silent for longer than any pause. */
  get isLost(): boolean {
    return this.#frames - Math.max(this.#heard, this.#textFrames) >= this.#lostFrames;
  }

  /** Frames that stay if the speech turns out to be lost. */
  get usefulFrames(): number {
    return Math.min(this.#frames, this.#heard + this.#keptFrames);
  }
}

function rms(samples: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i]! * samples[i]!;
  return Math.sqrt(sum / samples.length);
}
