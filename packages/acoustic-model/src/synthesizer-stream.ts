import { within } from "@voxquant/nn";
import type { SynthesisClock } from "./synthesizer-clock.js";
import type { SynthesisRequest } from "./synthesizer-request.js";
import { beginSentence, endSentence, stopWarning, type SpeechParts } from "./synthesizer-sentence.js";
import { Timeline } from "./synthesizer-timeline.js";
import type { AudioChunk, TracedSynthesizeOptions } from "./tts-model.js";

/**
 * Speaks sentence after sentence. `emit` takes the chunks in order, and holds the speech back while its promise is not
 * settled.
 */
export async function speak(
  parts: SpeechParts,
  request: SynthesisRequest,
  options: TracedSynthesizeOptions,
  clock: SynthesisClock,
  signal: AbortSignal,
  emit: (chunk: AudioChunk) => Promise<void>,
): Promise<void> {
  const { script, fromSentence, warnings } = request;
  const timeline = new Timeline(request, parts.codec.config.sampleRate);
  const total = script.sentences.length;
  for (const message of warnings) options.onWarning?.(message);
  for (let index = fromSentence; index < total; index++) {
    for (const chunk of timeline.begin(index)) await emit(chunk);
    const words = request.sentence(index);
    const audio = beginSentence(parts, request, words, clock, signal, (samples) =>
      emit(timeline.add(index, samples)),
    );
    try {
      const trace = options.trace && (total === 1 ? options.trace : within(options.trace, String(index)));
      const [speech] = await parts.model.generate([words], {
        signal,
        timings: clock,
        ...(trace === undefined ? {} : { trace }),
        onFrame: (_, __, codes) => audio.push(codes),
      });
      const sentence = timeline.end(index, await endSentence(audio, speech!));
      const warning = stopWarning(sentence, index);
      if (warning !== null) options.onWarning?.(warning);
      options.onSentence?.(sentence);
    } finally {
      audio.dispose();
    }
    for (const chunk of timeline.pause(index)) await emit(chunk);
    options.onProgress?.({ sentencesDone: index + 1, sentencesTotal: total, seconds: timeline.seconds });
  }
  options.onFinish?.(clock.read());
}
