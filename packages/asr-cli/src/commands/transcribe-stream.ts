import type { AsrModel, TranscribeOptions } from "@voxquant/asr-model";
import type { Terminal } from "@voxquant/cli-core";

/** Raw PCM that `--stream` reads: little-endian, one channel. */
export const PCM_FORMATS = ["s16le", "f32le"] as const;

export interface PcmInput {
  readonly rate: number;
  readonly format: (typeof PCM_FORMATS)[number];
}

/**
 * Transcribes stdin while it comes in. On a terminal the current line follows the growing text; in a pipe every state of
 * the text is a line of its own (with `json` an object with `text`, `language` and `final`), the last one being final.
 */
export async function transcribePcm(
  model: AsrModel,
  input: PcmInput,
  options: TranscribeOptions,
  json: boolean,
  terminal: Terminal,
): Promise<void> {
  const { openAudio } = await import("@voxquant/audio");
  const signal = options.signal;
  const pcm = openAudio(asWavStream(process.stdin, input), {
    sampleRate: 16_000,
    ...(signal === undefined ? {} : { signal }),
  });
  const live = terminal.stdoutIsTerminal && !json;
  for await (const state of model.transcribeStream(pcm, options)) {
    if (json) {
      terminal.result(
        `${JSON.stringify({ text: state.text, language: state.language, final: state.final })}\n`,
      );
    } else if (!live) {
      terminal.result(`${state.text}\n`);
    } else if (state.final) {
      terminal.clearPartial();
      terminal.result(`${state.text}\n`);
    } else {
      terminal.partial(state.text);
    }
  }
}

/** Raw PCM as a WAV file of unknown length, which the audio package decodes and resamples while it arrives. */
export async function* asWavStream(
  source: AsyncIterable<Uint8Array>,
  { rate, format }: PcmInput,
): AsyncGenerator<Uint8Array> {
  const bytesPerSample = format === "s16le" ? 2 : 4;
  const header = Buffer.alloc(44);
  header.write("RIFF", 0, "latin1");
  header.writeUInt32LE(0xffffffff, 4);
  header.write("WAVEfmt ", 8, "latin1");
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(format === "s16le" ? 1 : 3, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * bytesPerSample, 28);
  header.writeUInt16LE(bytesPerSample, 32);
  header.writeUInt16LE(bytesPerSample * 8, 34);
  header.write("data", 36, "latin1");
  header.writeUInt32LE(0xffffffff, 40);
  yield header;
  yield* source;
}
