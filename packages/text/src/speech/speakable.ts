const SPEAKABLE = /[\p{L}\p{N}]/u;

/** False for a text without a letter or digit: empty, or of white space, punctuation, symbols or emoji alone. */
export function isSpeakable(text: string): boolean {
  return SPEAKABLE.test(text);
}
