import type { Rule } from "./scanner.js";

const asWritten = (match: RegExpExecArray): string => match[0];

/** Addresses and file names stay as they are. */
export const ADDRESS_RULES: readonly Rule[] = [
  {
    kind: "protect",
    starts: "letter",
    first: "hHfFwW",
    pattern: /(?:https?:\/\/|ftp:\/\/|www\.)[^\s"«»“”<>]+/iuy,
    say: asWritten,
  },
  {
    kind: "protect",
    starts: "letter",
    pattern: /[a-z][\w.+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![a-z0-9])/iuy,
    say: asWritten,
  },
  {
    kind: "protect",
    starts: "letter",
    pattern:
      /(?:[A-Za-z0-9][A-Za-z0-9-]{1,62}\.){1,8}[a-z]{2,24}(?![A-Za-z0-9])(?:\/[^\s"«»“”<>]{0,2000})?/uy,
    say: asWritten,
  },
];

/** Versions and network addresses: 1.2.3. Tried after dates. */
export const VERSION_RULES: readonly Rule[] = [
  { kind: "protect", starts: "digit", pattern: /\d+(?:\.\d+){2,}/uy, say: asWritten },
];
