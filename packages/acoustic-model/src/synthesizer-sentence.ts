import type { GeneratedSpeech, SpeechRequest } from "./qwen3-tts/generate.js";
import type { Qwen3TtsModel } from "./qwen3-tts/model.js";
import { SentenceAudio, type SpeechCodec } from "./synthesizer-audio.js";
import type { SynthesisClock } from "./synthesizer-clock.js";
import type { SynthesisRequest } from "./synthesizer-request.js";
import { excerpt } from "./synthesizer-script.js";
import type { StopReason, SynthesizedSentence } from "./tts-model.js";

/** What a synthesis runs on. */
export interface SpeechParts {
  readonly model: Pick<Qwen3TtsModel, "config" | "prompt" | "generate">;
  readonly codec: SpeechCodec;
}

/** A sentence as it was generated, cut to what is speech. */
export interface SpokenSentence {
  readonly stopReason: StopReason;
  /** Positions of its prompt. */
  readonly promptTokens: number;
  /** Time-major, `[frames · groups]`. */
  readonly codes: Int32Array;
}

/** Makes a sentence of a request audible; to be disposed of. `emit` takes its samples, and may hold it back. */
export function beginSentence(
  { model, codec }: SpeechParts,
  { firstChunkFrames, chunkFrames }: SynthesisRequest,
  speech: SpeechRequest,
  clock: SynthesisClock,
  signal: AbortSignal,
  emit: (samples: Float32Array) => void | Promise<void>,
): SentenceAudio {
  const { referenceCodes = null, referenceText = null } = speech.voice ?? {};
  return new SentenceAudio(codec, {
    firstChunkFrames,
    chunkFrames,
    // A recording without its text is not continued.
    referenceCodes: referenceText === null ? null : referenceCodes,
    textFrames: model.prompt(speech).trailing.length,
    signal,
    timings: clock,
    emit: (samples) => {
      clock.heard();
      return emit(samples);
    },
  });
}

export async function endSentence(
  audio: SentenceAudio,
  { stopReason, promptPositions, usefulFrames }: GeneratedSpeech,
): Promise<SpokenSentence> {
  return { stopReason, promptTokens: promptPositions, codes: await audio.finish(stopReason, usefulFrames) };
}

const STOPPED: Record<Exclude<StopReason, "eos">, string> = {
  length: "did not end by itself and was cut at its length limit",
  silence: "went on in silence without an end, which was cut off",
  repetition: "began to repeat itself without an end and was cut there",
};

/** What to tell about a sentence that the model did not end, null for one that it did. */
export function stopWarning(
  { stopReason, text, start, end }: SynthesizedSentence,
  index: number,
): string | null {
  if (stopReason === "eos") return null;
  const seconds = (end - start).toFixed(1);
  const which = `sentence ${index + 1} (${JSON.stringify(excerpt(text))})`;
  return `${which} ${STOPPED[stopReason]}, after ${seconds} s; another seed may help`;
}
