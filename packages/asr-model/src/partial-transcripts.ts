import { AsyncQueue, LinkedAbort } from "@voxquant/nn";
import { joinTexts } from "@voxquant/text";
import type { PartialTranscript, TranscribeOptions } from "./asr-model.js";
import type { Transcript } from "./transcript.js";

/** What stands between the model's language tag and the text. */
const TEXT_TAG = "<asr_text>";

/**
 * A transcription as a sequence of texts that grow. `start` is called with the options that report to it; its signal is
 * aborted when the reader leaves the loop.
 */
export async function* partialTranscripts(
  options: TranscribeOptions,
  start: (options: TranscribeOptions) => Promise<Transcript>,
): AsyncGenerator<PartialTranscript, void, undefined> {
  const queue = new AsyncQueue<PartialTranscript>();
  const call = new LinkedAbort(options.signal);
  const separate = (options.vad ?? true) ? joinTexts : (texts: readonly string[]) => texts.join("");
  const forced = options.language !== undefined && options.language.trim() !== "";
  const finished: string[] = [];
  /** Raw output of the pieces that are being decoded, by their index. */
  const growing = new Map<number, string>();
  const textSoFar = () => {
    const current = [...growing].sort(([a], [b]) => a - b).map(([, raw]) => visibleText(raw, forced));
    return separate([...finished, ...current].filter((text) => text !== ""));
  };
  const running = start({
    ...options,
    signal: call.signal,
    onToken: (token) => {
      growing.set(token.segment, (growing.get(token.segment) ?? "") + token.text);
      queue.pushLatest({ text: textSoFar() }, (last) => last.segment === undefined);
      options.onToken?.(token);
    },
    onSegment: (segment) => {
      growing.clear(); // the batch is complete when its first segment comes
      finished.push(segment.text);
      queue.push({ text: textSoFar(), segment });
      options.onSegment?.(segment);
    },
  });
  running.then(
    (final) => {
      queue.push({ text: final.text, final });
      queue.close();
    },
    (error: unknown) => queue.fail(error),
  );
  try {
    yield* queue;
  } finally {
    call.abort();
    call.release();
    await running.catch(() => undefined); // its error, if any, went through the queue
  }
}

/** Of raw output as far as it came: the text without the language tag before it. */
function visibleText(raw: string, forced: boolean): string {
  if (forced) return raw.trimStart();
  const tag = raw.indexOf(TEXT_TAG);
  return tag < 0 ? "" : raw.slice(tag + TEXT_TAG.length).trimStart();
}
