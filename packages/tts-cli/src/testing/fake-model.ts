import type {
  AudioChunk,
  SynthesisTimings,
  SynthesizedSentence,
  SynthesizeOptions,
  TtsModel,
  TtsModelInfo,
  Voice,
} from "@voxquant/acoustic-model";
import type { StreamEvents } from "../commands/synthesize.js";
import type { LoadOptions } from "../model-options.js";

export const SAMPLE_RATE = 1000;
const GROUPS = 2;
/** Samples of each of a sentence's two chunks. */
export const CHUNK = 50;

/** A model whose speech tells sentence, chunk and seed; what it was asked for is written down. */
export class FakeModel implements TtsModel {
  readonly loads: { source: string; options: LoadOptions }[] = [];
  readonly requests: { text: string; options: SynthesizeOptions & Partial<StreamEvents> }[] = [];
  readonly references: { samples: number; text: string | undefined }[] = [];
  disposed = 0;
  /** Called before each chunk, with its sentence. */
  beforeChunk: (sentence: number) => void | Promise<void> = () => undefined;
  info: TtsModelInfo = {
    family: "qwen3-tts",
    variant: "custom_voice",
    size: "0b0",
    location: "fake",
    weights: "F32",
    backend: "cpu",
    precision: "exact",
    sampleRate: SAMPLE_RATE,
    frameRate: 12.5,
    codeGroups: GROUPS,
    speakers: [
      { name: "leo", id: 1, dialect: null },
      { name: "ava", id: 2, dialect: null },
    ],
    languages: ["auto", "english"],
    canClone: true,
    takesInstruct: true,
    parameterBytes: 4,
  };

  readonly load = (source: string, options: LoadOptions): Promise<TtsModel> => {
    this.loads.push({ source, options });
    return Promise.resolve(this);
  };

  async *synthesize(
    text: string,
    options: SynthesizeOptions & Partial<StreamEvents> = {},
  ): AsyncGenerator<AudioChunk> {
    this.requests.push({ text, options });
    const sentences = text.split("|");
    let start = 0;
    options.onWarning?.("careful");
    options.onWarning?.("careful");
    for (let sentence = options.fromSentence ?? 0; sentence < sentences.length; sentence++) {
      for (let part = 0; part < 2; part++) {
        await this.beforeChunk(sentence);
        options.signal?.throwIfAborted();
        yield {
          samples: chunkSamples(sentence, part, options.seed ?? 0),
          sampleRate: SAMPLE_RATE,
          start,
          sentence,
        };
        start += CHUNK / SAMPLE_RATE;
      }
      const codes = Int32Array.of(sentence, 1, sentence, 2);
      const spoken: SynthesizedSentence = {
        text: sentences[sentence]!,
        start: start - (2 * CHUNK) / SAMPLE_RATE,
        end: start,
        stopReason: "eos",
        codes,
      };
      options.onSentence?.(spoken);
      options.onProgress?.({ sentencesDone: sentence + 1, sentencesTotal: sentences.length, seconds: start });
    }
    options.onFinish?.(TIMINGS);
  }

  synthesizeToBuffer(): Promise<never> {
    return Promise.reject(new Error("not streamed"));
  }

  synthesizeBatch(): Promise<never> {
    return Promise.reject(new Error("not streamed"));
  }

  createVoice(audio: { samples: Float32Array }, { text }: { text?: string } = {}): Promise<Voice> {
    this.references.push({ samples: audio.samples.length, text });
    const referenceCodes = text === undefined ? null : Int32Array.of(1, 2);
    return Promise.resolve({
      xVector: Float32Array.of(0.5, -0.25),
      referenceCodes,
      referenceText: text ?? null,
    });
  }

  dispose(): Promise<void> {
    this.disposed++;
    return Promise.resolve();
  }
}

export const TIMINGS: SynthesisTimings = {
  promptMs: 1,
  firstAudioMs: 2,
  talkerMs: 3,
  predictorMs: 4,
  codecMs: 5,
  totalMs: 6,
  promptTokens: 7,
  frames: 8,
};

function chunkSamples(sentence: number, part: number, seed: number): Float32Array {
  return new Float32Array(CHUNK).fill((4 * (sentence + 1) + part + (seed % 2) / 2) / 64);
}

/** The samples of a whole text of so many sentences, from one on. */
export function expectedSamples(sentences: number, seed: number, from = 0): number[] {
  const samples: number[] = [];
  for (let sentence = from; sentence < sentences; sentence++)
    for (let part = 0; part < 2; part++) samples.push(...chunkSamples(sentence, part, seed));
  return samples;
}
