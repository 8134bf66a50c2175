import { splitWords } from "../whitespace.js";
import { align, editDistance, type Alignment } from "./alignment.js";

/** Errors of one transcript. Rates are null where the reference is empty and the hypothesis is not. */
export interface TranscriptScore {
  readonly refWords: number;
  /** Alignment of the words; its substitutions, deletions and insertions add up to `wordErrors`. */
  readonly words: Alignment;
  readonly wordErrors: number;
  readonly wer: number | null;
  readonly refChars: number;
  readonly charErrors: number;
  readonly cer: number | null;
  /** The hypothesis has more than twice the reference's words and ten more: the model ran on. */
  readonly runaway: boolean;
}

/** Sums over a corpus; the rates are errors per reference token, not means of the files' rates. */
export type CorpusScore = Pick<
  TranscriptScore,
  "refWords" | "wordErrors" | "wer" | "refChars" | "charErrors" | "cer"
> & { readonly substitutions: number; readonly deletions: number; readonly insertions: number };

export interface ScoreOptions {
  /**
   * What stands between words when characters are compared: a space (default), or nothing, for languages that are
   * written without spaces.
   */
  readonly wordSeparator?: " " | "";
}

/**
 * Word and character error rates of a hypothesis against a reference: words lie between Unicode white space, characters
 * are code points. Texts are compared as they are: normalize both first.
 */
export function scoreTranscript(
  reference: string,
  hypothesis: string,
  options: ScoreOptions = {},
): TranscriptScore {
  const separator = options.wordSeparator ?? " ";
  const ref = splitWords(reference);
  const hyp = splitWords(hypothesis);
  const words = align(ref, hyp);
  const wordErrors = words.substitutions + words.deletions + words.insertions;
  const refChars = Array.from(ref.join(separator));
  const charErrors = editDistance(refChars, Array.from(hyp.join(separator)));
  return {
    refWords: ref.length,
    words,
    wordErrors,
    wer: rate(wordErrors, ref.length),
    refChars: refChars.length,
    charErrors,
    cer: rate(charErrors, refChars.length),
    runaway: hyp.length > 2 * ref.length + 10,
  };
}

/** The corpus value of many transcripts' scores. */
export function scoreCorpus(scores: Iterable<TranscriptScore>): CorpusScore {
  const sum = {
    refWords: 0,
    wordErrors: 0,
    refChars: 0,
    charErrors: 0,
    substitutions: 0,
    deletions: 0,
    insertions: 0,
  };
  for (const score of scores) {
    sum.refWords += score.refWords;
    sum.wordErrors += score.wordErrors;
    sum.refChars += score.refChars;
    sum.charErrors += score.charErrors;
    sum.substitutions += score.words.substitutions;
    sum.deletions += score.words.deletions;
    sum.insertions += score.words.insertions;
  }
  return { ...sum, wer: rate(sum.wordErrors, sum.refWords), cer: rate(sum.charErrors, sum.refChars) };
}

function rate(errors: number, length: number): number | null {
  if (length > 0) return errors / length;
  return errors === 0 ? 0 : null;
}
