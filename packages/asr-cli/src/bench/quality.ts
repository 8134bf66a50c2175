import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Judge, Measured } from "@voxquant/cli-core";
import { FormatError, ResourceError } from "@voxquant/quant-core";
import { normalizeBasic, normalizeEnglish, scoreCorpus, scoreTranscript } from "@voxquant/text";
import type { AsrBench } from "./measurement.js";

/** Errors against a reference; rates are fractions, 0.05 is 5 %. Null where the reference is empty. */
export interface Quality {
  readonly wer: number | null;
  readonly cer: number | null;
}

/** What the summary of a run tells about its texts. */
export interface AsrQuality extends Quality {
  /** Against what the errors are counted, null if they are not. */
  readonly wer_against: "reference" | "float run" | null;
}

/** Judges the texts of a run by what is said, else by the texts of the float run. @param references texts per audio file */
export function judgeTexts(references: readonly string[] | null): Judge<AsrBench> {
  return ({ scenario, results }: Measured<AsrBench>, baseline: Measured<AsrBench> | null) => {
    const nothing = { wer: null, cer: null, wer_against: null, stars: null };
    if (scenario.job.workload.kind === "synthetic") return nothing;
    const against = references ?? baseline?.results[0]!.detail.texts ?? null;
    if (against === null) return nothing;
    const { languages } = (baseline ?? { results }).results[0]!.detail;
    const { wer, cer } = scoreTexts(against, results[0]!.detail.texts, languages);
    const floatWer =
      baseline === null ? null : scoreTexts(against, baseline.results[0]!.detail.texts, languages).wer;
    return {
      wer,
      cer,
      wer_against: references === null ? ("float run" as const) : ("reference" as const),
      stars: wer === null || floatWer === null ? null : starsOf(wer, floatWer),
    };
  };
}

/**
 * Texts to compare with, one for each audio file. `.jsonl`: lines with `file` (or `audio`, `audio_filepath`) and `text`,
 * matched by base name. Other files: plain text, which is that of a single audio file, or has one line for each.
 * @throws ResourceError if the file or a reference is missing, FormatError for a line that cannot be read
 */
export function readReferences(path: string, audio: readonly string[]): string[] {
  let content: string;
  try {
    content = readFileSync(path, "utf8").replace(/^\ufeff/, "");
  } catch (cause) {
    throw new ResourceError(`${path}: ${(cause as Error).message}`, { cause });
  }
  if (/\.jsonl?$/i.test(path)) return readJsonLines(path, content, audio);
  if (audio.length === 1) return [content];
  const lines = content.split(/\r?\n/);
  while (lines.at(-1)?.trim() === "") lines.pop();
  if (lines.length !== audio.length) {
    throw new FormatError(
      `${path}: has ${lines.length} lines for ${audio.length} audio files; give one line for each, in their order, or JSON lines with "file" and "text"`,
    );
  }
  return lines;
}

function readJsonLines(path: string, content: string, audio: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const [index, line] of content.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const { file, text } = parseLine(path, index + 1, line);
    byName.set(basename(file), text);
  }
  return audio.map((file) => {
    const text = byName.get(basename(file));
    if (text === undefined) throw new ResourceError(`${path}: has no line for ${basename(file)}`);
    return text;
  });
}

function parseLine(path: string, number: number, line: string): { file: string; text: string } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${path}, line ${number}: not JSON (${(cause as Error).message})`, { cause });
  }
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const file = fields["file"] ?? fields["audio"] ?? fields["audio_filepath"];
  const { text } = fields;
  if (typeof file !== "string" || typeof text !== "string")
    throw new FormatError(`${path}, line ${number}: expected the strings "file" and "text"`);
  return { file, text };
}

/**
 * Errors of texts against references, after the usual normalization (Whisper's, for English its own).
 * @param languages English names, per text
 */
export function scoreTexts(
  references: readonly string[],
  texts: readonly string[],
  languages: readonly string[],
): Quality {
  const scores = references.map((reference, i) => {
    const language = languages[i] ?? "";
    const normalize = (text: string): string =>
      language === "English" ? normalizeEnglish(text) : normalizeBasic(text);
    const wordSeparator = WITHOUT_SPACES.has(language) ? "" : " ";
    return scoreTranscript(normalize(reference), normalize(texts[i] ?? ""), { wordSeparator });
  });
  const { wer, cer } = scoreCorpus(scores);
  return { wer, cer };
}

/** Languages written without spaces between words, whose characters are compared without them. */
const WITHOUT_SPACES = new Set(["Chinese", "Cantonese", "Japanese", "Thai"]);

/** Most additional word errors for 5, 4, 3, 2 and 1 stars, in fractions of the words. */
const STAR_LIMITS = [0.002, 0.005, 0.015, 0.04, 0.1] as const;

/**
 * Stars for what quantization costs: the word error rate above that of the float run. Without a reference text both
 * numbers are about the float run's own text, whose rate is then 0.
 */
export function starsOf(wer: number, floatWer: number): number {
  const added = wer - floatWer;
  const at = STAR_LIMITS.findIndex((limit) => added <= limit);
  return at < 0 ? 0 : STAR_LIMITS.length - at;
}
