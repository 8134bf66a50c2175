import { splitWords, type ByteLevelBpe } from "@voxquant/text";
import { audioPads, checkAudioTokens, type AudioTokenIds } from "./prompt.js";

/** Cuts a text into words, in order; what lies between words may be left in. */
export type WordSegmenter = (text: string) => Iterable<string>;

export interface AlignerWordOptions {
  /**
   * Segmenter for Japanese. Default: the engine's own (`Intl.Segmenter`). Upstream uses nagisa, a trained tagger, whose
   * cuts differ here and there.
   */
  readonly japanese?: WordSegmenter;
  /**
   * Korean words (upstream's `korean_dict_jieba.dict`, first column) by which a particle is cut off its noun. Without
   * them Korean words stay as they are written.
   */
  readonly koreanWords?: ReadonlySet<string>;
}

/** A word with its time in seconds. */
export interface AlignedWord {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const NOT_IN_WORDS = /[^'\p{L}\p{N}]/gu;
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff]/gu;

/**
 * The words that the forced aligner times (`qwen_asr/inference/qwen3_forced_aligner.py`): letters, numbers and
 * apostrophes of what lies between white space, each CJK ideograph a word of its own. Japanese is cut by a segmenter,
 * Korean by a word list.
 * @param language English name, in any case
 */
export function alignerWords(text: string, language: string, options: AlignerWordOptions = {}): string[] {
  const clean = (words: Iterable<string>): string[] =>
    Array.from(words, (word) => word.replace(NOT_IN_WORDS, "")).filter((word) => word !== "");
  switch (language.toLowerCase()) {
    case "japanese":
      return clean((options.japanese ?? segmentJapanese)(text));
    case "korean":
      return clean(splitWords(text).flatMap((word) => splitKorean(word, options.koreanWords)));
    default:
      return clean(splitWords(text)).flatMap((word) => splitWords(word.replace(IDEOGRAPH, " $& ")));
  }
}

function segmentJapanese(text: string): string[] {
  return Array.from(
    new Intl.Segmenter("ja", { granularity: "word" }).segment(text),
    ({ segment }) => segment,
  );
}

/** Cuts off what follows the longest listed beginning of two characters or more (soynlp 0.0.493, `LTokenizer`). */
function splitKorean(word: string, listed: ReadonlySet<string> | undefined): string[] {
  const characters = Array.from(word);
  for (let length = characters.length; length >= 2 && characters.length > 2; length--) {
    const left = characters.slice(0, length).join("");
    if (listed?.has(left) === true)
      return length === characters.length ? [word] : [left, word.slice(left.length)];
  }
  return [word];
}

/** Text of the aligner's input, with a single `<|audio_pad|>`: no chat template, no spaces between words. */
export function alignerText(words: readonly string[]): string {
  const pair = "<timestamp><timestamp>";
  return `<|audio_start|><|audio_pad|><|audio_end|>${words.join(pair)}${pair}`;
}

/**
 * Ids of the aligner's input: audio, then every word with two timestamps after it, its start and end. A text without
 * words has one pair all the same.
 * @throws ConfigError for a tokenizer that does not belong to the config
 */
export function buildAlignerInput(
  tokenizer: ByteLevelBpe,
  tokens: AudioTokenIds,
  { words, audioTokens }: { readonly words: readonly string[]; readonly audioTokens: number },
): number[] {
  checkAudioTokens(tokenizer, tokens);
  const [before, after] = alignerText(words).split("<|audio_pad|>") as [string, string];
  return [...tokenizer.encode(before), ...audioPads(tokens, audioTokens), ...tokenizer.encode(after)];
}

/**
 * Repairs times that go back (`fix_timestamp`): those outside the longest non-decreasing subsequence take the value of
 * the nearer neighbour inside it, runs of three and more are interpolated.
 * @param times milliseconds, two per word
 * @returns whole milliseconds that never decrease
 */
export function fixTimestamps(times: ArrayLike<number>): number[] {
  const normal = longestNonDecreasing(times);
  const fixed = Array.from(times);
  for (let start = 0; start < fixed.length; start++) {
    if (normal[start]) continue;
    let end = start;
    while (end < fixed.length && !normal[end]) end++;
    const left = start > 0 ? fixed[start - 1]! : undefined;
    const right = end < fixed.length ? fixed[end]! : undefined;
    for (let i = start; i < end; i++) fixed[i] = between(left, right, i - start + 1, end - start);
    start = end;
  }
  return fixed.map(Math.trunc);
}

/** Value of the `index`-th (from 1) of `count` broken times between two good ones, of which one may be missing. */
function between(left: number | undefined, right: number | undefined, index: number, count: number): number {
  if (left === undefined || right === undefined) return left ?? right!;
  if (count <= 2) return index <= count + 1 - index ? left : right;
  return left + ((right - left) / (count + 1)) * index;
}

/** Marks the longest non-decreasing subsequence; of equally long ones that which ends first. O(n²), as upstream. */
function longestNonDecreasing(values: ArrayLike<number>): boolean[] {
  const count = values.length;
  const lengths = new Int32Array(count).fill(1);
  const previous = new Int32Array(count).fill(-1);
  let last = -1;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      if (values[j]! <= values[i]! && lengths[j]! + 1 > lengths[i]!) {
        lengths[i] = lengths[j]! + 1;
        previous[i] = j;
      }
    }
    if (last < 0 || lengths[i]! > lengths[last]!) last = i;
  }
  const marked = new Array<boolean>(count).fill(false);
  for (let i = last; i >= 0; i = previous[i]!) marked[i] = true;
  return marked;
}

/** Words with their repaired times; a text without words has none, though the model gave it a pair. */
export function alignedWords(words: readonly string[], fixedMs: readonly number[]): AlignedWord[] {
  return words.map((text, i) => ({ text, start: fixedMs[2 * i]! / 1000, end: fixedMs[2 * i + 1]! / 1000 }));
}
