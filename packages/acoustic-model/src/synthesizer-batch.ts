import type { SentenceAudio } from "./synthesizer-audio.js";
import type { SpeechRequest } from "./qwen3-tts/generate.js";
import type { SynthesisClock } from "./synthesizer-clock.js";
import type { SynthesisRequest } from "./synthesizer-request.js";
import {
  beginSentence,
  endSentence,
  stopWarning,
  type SpeechParts,
  type SpokenSentence,
} from "./synthesizer-sentence.js";
import { Timeline } from "./synthesizer-timeline.js";
import type {
  AudioChunk,
  BatchOptions,
  SynthesizedSentence,
  SynthesizedSpeech,
  SynthesizeOptions,
} from "./tts-model.js";

/** One of several texts that are spoken together. */
export interface BatchText {
  readonly request: SynthesisRequest;
  readonly options: SynthesizeOptions;
}

/** A sentence of a batch. */
interface BatchSentence {
  readonly text: BatchText;
  readonly index: number;
  readonly words: SpeechRequest;
  readonly samples: Float32Array[];
  /** While it is made. */
  audio: SentenceAudio | null;
  /** When it is complete. */
  spoken: SpokenSentence | null;
}

/**
 * Speaks the sentences of several texts together, as many at once as the model takes. What each sounds like does not depend
 * on the others.
 */
export async function speakBatch(
  parts: SpeechParts,
  texts: readonly BatchText[],
  { onProgress }: BatchOptions,
  clock: SynthesisClock,
  signal: AbortSignal,
): Promise<SynthesizedSpeech[]> {
  const { sampleRate } = parts.codec.config;
  const sentences: BatchSentence[] = texts.flatMap((text) => {
    const { script, fromSentence } = text.request;
    return script.sentences
      .map((_, index) => index)
      .slice(fromSentence)
      .map((index): BatchSentence => {
        const words = text.request.sentence(index);
        return { text, index, words, samples: [], audio: null, spoken: null };
      });
  });
  for (const { request, options } of texts) {
    for (const message of request.warnings) options.onWarning?.(message);
  }
  const open = new Set<SentenceAudio>();
  try {
    await parts.model.generate(
      sentences.map(({ words }) => words),
      {
        signal,
        timings: clock,
        onFrame: (at, _, codes) => {
          const sentence = sentences[at]!;
          if (sentence.audio === null) {
            const { text, words, samples } = sentence;
            sentence.audio = beginSentence(parts, text.request, words, clock, signal, (chunk) => {
              samples.push(chunk);
            });
            open.add(sentence.audio);
          }
          return sentence.audio.push(codes);
        },
        onSpeech: async (at, speech) => {
          const sentence = sentences[at]!;
          const audio = sentence.audio!; // every speech has a frame
          sentence.spoken = await endSentence(audio, speech);
          sentence.audio = null;
          open.delete(audio);
          audio.dispose();
          const own = sentences.filter(({ text }) => text === sentence.text);
          sentence.text.options.onProgress?.(progressOf(own, sampleRate));
          onProgress?.(progressOf(sentences, sampleRate));
        },
      },
    );
  } finally {
    for (const audio of open) audio.dispose();
  }
  return texts.map((text) => {
    const own = sentences.filter((sentence) => sentence.text === text);
    return assemble(text, own, parts, clock);
  });
}

function progressOf(sentences: readonly BatchSentence[], sampleRate: number) {
  let [sentencesDone, samples] = [0, 0];
  for (const sentence of sentences) {
    if (sentence.spoken !== null) sentencesDone++;
    for (const { length } of sentence.samples) samples += length;
  }
  return { sentencesDone, sentencesTotal: sentences.length, seconds: samples / sampleRate };
}

/** The sentences one after the other, as if they had been spoken so. */
function assemble(
  { request, options }: BatchText,
  own: readonly BatchSentence[],
  { codec }: SpeechParts,
  clock: SynthesisClock,
): SynthesizedSpeech {
  const { sampleRate, groups } = codec.config;
  const timeline = new Timeline(request, sampleRate);
  const chunks: AudioChunk[] = [];
  const sentences: SynthesizedSentence[] = [];
  const warnings = [...request.warnings];
  let [promptTokens, frames] = [0, 0];
  for (const { index, samples, spoken } of own) {
    chunks.push(...timeline.begin(index));
    for (const part of samples) chunks.push(timeline.add(index, part));
    const sentence = timeline.end(index, spoken!);
    chunks.push(...timeline.pause(index));
    const warning = stopWarning(sentence, index);
    if (warning !== null) {
      warnings.push(warning);
      options.onWarning?.(warning);
    }
    sentences.push(sentence);
    options.onSentence?.(sentence);
    promptTokens += spoken!.promptTokens;
    frames += sentence.codes.length / groups;
  }
  const timings = clock.read({ promptTokens, frames });
  options.onFinish?.(timings);
  const { seed } = request;
  return {
    samples: joined(chunks),
    sampleRate,
    duration: timeline.seconds,
    sentences,
    seed,
    warnings,
    timings,
  };
}

function joined(chunks: readonly AudioChunk[]): Float32Array {
  const samples = new Float32Array(chunks.reduce((length, chunk) => length + chunk.samples.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    samples.set(chunk.samples, at);
    at += chunk.samples.length;
  }
  return samples;
}
