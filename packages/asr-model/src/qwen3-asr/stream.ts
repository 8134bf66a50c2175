import type { ByteLevelBpe } from "@voxquant/text";
import type { StreamedText, StreamOptions } from "../asr-model.js";
import { MIN_SAMPLES, SAMPLE_RATE } from "../pieces.js";
import { checkMaxTokens, languageOption, tokenBudget } from "../transcriber.js";
import type { Piece, Recognition } from "./model.js";
import { StreamingTranscript, type StreamingOptions } from "./streaming-rules.js";

/** Upstream's. */
const DEFAULT_CHUNK_SECONDS = 2;

/** Runs the model on one piece. */
export type RecognizePiece = (
  piece: Piece,
  signal: AbortSignal | undefined,
) => Promise<readonly Recognition[]>;

/**
 * The official streaming procedure over blocks of any length (16 kHz mono): one state of the text after each full chunk,
 * and a final one.
 * @param rollback how much of an answer the next step may change; default: upstream's
 * @throws ConfigError for an unknown language or an option out of range, the signal's reason when aborted
 */
export async function* streamTranscripts(
  pcm: AsyncIterable<Float32Array>,
  options: StreamOptions,
  tokenizer: ByteLevelBpe,
  recognize: RecognizePiece,
  rollback: Pick<StreamingOptions, "unfixedChunks" | "unfixedTokens"> = {},
): AsyncGenerator<StreamedText, void, undefined> {
  const { signal, prompt, maxTokens, chunkSeconds = DEFAULT_CHUNK_SECONDS } = options;
  if (maxTokens !== undefined) checkMaxTokens(maxTokens);
  const language = languageOption(options.language);
  const transcript = new StreamingTranscript(
    tokenizer,
    { ...rollback, language, chunkSeconds },
    async ({ audio, prefix }) => {
      if (audio.length < MIN_SAMPLES) return []; // it says nothing yet
      const prefixIds = tokenizer.encode(prefix);
      const piece: Piece = {
        samples: audio.slice(),
        language,
        prefixIds,
        maxTokens: maxTokens ?? Math.max(1, tokenBudget(audio.length) - prefixIds.length),
        ...(prompt === undefined ? {} : { context: prompt }),
      };
      const [result] = await recognize(piece, signal);
      return result!.ids;
    },
  );
  const state = (final: boolean): StreamedText => ({
    text: transcript.text,
    language: transcript.language,
    final,
  });
  const chunk = Math.max(1, Math.round(chunkSeconds * SAMPLE_RATE));
  for await (const block of pcm) {
    signal?.throwIfAborted();
    // Not beyond the next full chunk at once, so that each of its states is seen.
    for (let at = 0; at < block.length;) {
      const end = at + chunk - transcript.bufferedSamples;
      if (await transcript.push(block.subarray(at, end))) yield state(false);
      at = end;
    }
  }
  await transcript.finish();
  yield state(true);
}
