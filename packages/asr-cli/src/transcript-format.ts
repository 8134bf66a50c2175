import type { AsrModel, Transcript } from "@voxquant/asr-model";
import { toCsv, toLrc, toSrt, toVtt } from "@voxquant/text";

export const FORMATS = ["text", "json", "srt", "vtt", "lrc", "csv"] as const;
export type Format = (typeof FORMATS)[number];

/** A transcript in one of the formats, ending with a line break. With `several` a text begins with its file's name. */
export function formatTranscript(
  transcript: Transcript,
  format: Format,
  { input, model, several }: { input: string; model: AsrModel; several: boolean },
): string {
  switch (format) {
    case "text":
      return plainText(transcript.text, several ? input : null);
    case "json":
      return `${JSON.stringify(transcriptRecord(transcript, input, model), null, 2)}\n`;
    case "srt":
      return toSrt(transcript.segments);
    case "vtt":
      return toVtt(transcript.segments);
    case "lrc":
      return toLrc(transcript.segments);
    case "csv":
      return toCsv(transcript.segments);
  }
}

/** One line; of silence nothing, or its file's name alone. */
function plainText(text: string, name: string | null): string {
  if (name === null) return text === "" ? "" : `${text}\n`;
  return text === "" ? `${name}:\n` : `${name}: ${text}\n`;
}

/** The object that `--format json` writes for one file: the library's result and where it comes from. */
export function transcriptRecord(transcript: Transcript, input: string, model: AsrModel): object {
  return {
    file: input,
    model: model.location,
    weights: model.weights,
    backend: model.backend,
    ...transcript,
  };
}
