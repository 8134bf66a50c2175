import { UsageError } from "../exit.js";

/** Repositories of the Hub as `owner/name` by the short names (lower case) that a program knows them by. */
export type Repositories = Readonly<Record<string, string>>;

/** Owner and name as the Hub allows them; no part may be `.` or `..`, since both become part of a path. */
const REPOSITORY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/;

/** The `owner/name` that a user means by a short name (any case) or a full id. @throws UsageError with the list of names */
export function repositoryOf(name: string, repositories: Repositories): string {
  const known = repositories[name.toLowerCase()];
  if (known !== undefined) return known;
  if (REPOSITORY_ID.test(name) && !name.includes("..")) return name;
  throw new UsageError(
    `"${name}" is no model that can be downloaded. Choose one of ${Object.keys(repositories).join(", ")}, ` +
      "or give a repository of the Hub as owner/name.",
  );
}
