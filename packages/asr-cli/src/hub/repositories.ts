import { UsageError } from "../exit.js";

/** The official repositories that this project runs, by their short names. */
export const REPOSITORIES: Readonly<Record<string, string>> = {
  "qwen3-asr-0.6b": "Qwen/Qwen3-ASR-0.6B",
  "qwen3-asr-1.7b": "Qwen/Qwen3-ASR-1.7B",
  "qwen3-forced-aligner-0.6b": "Qwen/Qwen3-ForcedAligner-0.6B",
};

/** Owner and name as the Hub allows them; no part may be `.` or `..`, since both become part of a path. */
const REPOSITORY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/;

/** The `owner/name` that a user means by a short name (any case) or a full id. @throws UsageError with the list of names */
export function repositoryOf(name: string): string {
  const known = REPOSITORIES[name.toLowerCase()];
  if (known !== undefined) return known;
  if (REPOSITORY_ID.test(name) && !name.includes("..")) return name;
  throw new UsageError(
    `"${name}" is no model that can be downloaded. Choose one of ${Object.keys(REPOSITORIES).join(", ")}, ` +
      "or give a repository of the Hub as owner/name.",
  );
}
