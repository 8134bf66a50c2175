import { createReadStream } from "node:fs";
import { UsageError } from "@voxquant/cli-core";
import { FormatError, ResourceError } from "@voxquant/quant-core";

/** Some 300 hours of speech; more is a mistake. */
const MAX_TEXT_BYTES = 16 * 2 ** 20;

/**
 * The text to speak: of the command line, of a file, or of stdin (`-` in either place).
 * @throws UsageError if none or several are given; ResourceError, FormatError for one that cannot be read as UTF-8
 */
export async function readText(
  words: readonly string[],
  file: string | undefined,
  stdin: AsyncIterable<Uint8Array>,
): Promise<string> {
  if (file !== undefined && words.length > 0)
    throw new UsageError("the text is given twice: on the command line and with --text-file");
  if (file !== undefined && file !== "-") return decode(createReadStream(file), `--text-file ${file}`);
  if (file === "-" || (words.length === 1 && words[0] === "-")) return decode(stdin, "stdin");
  if (words.length === 0)
    throw new UsageError("no text: give it in quotes, with --text-file FILE, or - to read stdin");
  return words.join(" ");
}

async function decode(source: AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > MAX_TEXT_BYTES) break;
      text += decoder.decode(chunk, { stream: true });
    }
    if (bytes <= MAX_TEXT_BYTES) return text + decoder.decode();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA")
      throw new FormatError(`${name}: is not UTF-8 text`, { cause });
    throw new ResourceError(`${name}: ${(cause as Error).message}`, { cause });
  }
  throw new FormatError(`${name}: has more than ${MAX_TEXT_BYTES / 2 ** 20} MiB of text: split it`);
}
