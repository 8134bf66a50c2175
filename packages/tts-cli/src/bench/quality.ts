import type { Judge } from "@voxquant/cli-core";
import { normalizeBasic, scoreCorpus, scoreTranscript } from "@voxquant/text";
import type { TtsBench } from "./measurement.js";

/** How good a run's speech is; fractions, null where that is not known. */
export interface TtsQuality {
  /** Word errors of what a recogniser heard against the text. */
  readonly wer: number | null;
  readonly cer: number | null;
  /** Codes equal to the float run's at the same place, of the longer run's codes. */
  readonly code_agreement: number | null;
  /** Frames by the float run's. */
  readonly length_ratio: number | null;
}

/** Most additional word errors for 5, 4, 3, 2 and 1 stars, in fractions of the words. */
const STAR_LIMITS = [0.002, 0.005, 0.015, 0.04, 0.1] as const;

/** Judges speech by what is heard, and by the float run's codes. */
export const judgeSpeech: Judge<TtsBench> = ({ scenario, results }, baseline) => {
  const { workload } = scenario.job;
  if (workload.kind === "synthetic")
    return { wer: null, cer: null, code_agreement: null, length_ratio: null, stars: null };
  const { heard, codes } = results[0]!.detail;
  const floatRun = baseline?.results[0]?.detail ?? null;
  const { wer, cer } = errorsOf(workload.texts, heard);
  const floatWer = floatRun === null ? null : errorsOf(workload.texts, floatRun.heard).wer;
  return {
    wer,
    cer,
    ...(floatRun === null
      ? { code_agreement: null, length_ratio: null }
      : compareCodes(floatRun.codes, codes)),
    stars: wer === null || floatWer === null ? null : starsOf(wer - floatWer),
  };
};

function errorsOf(
  texts: readonly string[],
  heard: readonly string[] | null,
): { wer: number | null; cer: number | null } {
  if (heard === null) return { wer: null, cer: null };
  const words = (text: string): string => normalizeBasic(text).trim();
  const { wer, cer } = scoreCorpus(texts.map((text, i) => scoreTranscript(words(text), words(heard[i]!))));
  return { wer, cer };
}

/** @param expected codes of the float run, per text */
function compareCodes(
  expected: readonly (readonly number[])[],
  codes: readonly (readonly number[])[],
): { code_agreement: number | null; length_ratio: number | null } {
  let [equal, longer, length, expectedLength] = [0, 0, 0, 0];
  expected.forEach((reference, text) => {
    const found = codes[text]!;
    equal += reference.filter((code, i) => code === found[i]).length;
    longer += Math.max(reference.length, found.length);
    length += found.length;
    expectedLength += reference.length;
  });
  return {
    code_agreement: longer === 0 ? null : equal / longer,
    length_ratio: expectedLength === 0 ? null : length / expectedLength,
  };
}

/** Stars for what quantization costs: word errors beyond those of the float run's speech. */
function starsOf(added: number): number {
  const at = STAR_LIMITS.findIndex((limit) => added <= limit);
  return at < 0 ? 0 : STAR_LIMITS.length - at;
}
