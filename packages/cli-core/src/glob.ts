import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { sep } from "node:path";

const MAGIC = /[*?[]/;

/**
 * The files that a pattern stands for, sorted: `*` and `?` within a name, `[a-z]` sets, `**` for any folders. A path that
 * exists, or has no such character, stands for itself; so shells that expand patterns and those that do not (Windows)
 * give the same list. Names that begin with a dot match only patterns that do.
 */
export async function expandGlob(pattern: string): Promise<string[]> {
  if (!MAGIC.test(pattern) || existsSync(pattern)) return [pattern];
  const segments = (sep === "\\" ? pattern.replaceAll("\\", "/") : pattern).split("/");
  const first = segments.findIndex((segment) => MAGIC.test(segment));
  const base = segments.slice(0, first).join("/");
  const found = await walk(first === 1 && base === "" ? "/" : base, segments.slice(first));
  return [...new Set(found)].sort();
}

/** True if a relative path with `/` matches the whole pattern. */
export function matchesGlob(path: string, pattern: string): boolean {
  return matchSegments(path.split("/"), pattern.split("/"));
}

function matchSegments(path: readonly string[], pattern: readonly string[]): boolean {
  if (pattern.length === 0) return path.length === 0;
  if (pattern[0] === "**") {
    return (
      matchSegments(path, pattern.slice(1)) || (path.length > 0 && matchSegments(path.slice(1), pattern))
    );
  }
  return (
    path.length > 0 && segmentMatcher(pattern[0]!)(path[0]!) && matchSegments(path.slice(1), pattern.slice(1))
  );
}

async function walk(folder: string, segments: readonly string[]): Promise<string[]> {
  const [segment, ...rest] = segments;
  if (segment === undefined) return [];
  const entries = await readdir(folder === "" ? "." : folder, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  const path = (name: string): string =>
    folder === "" ? name : folder === "/" ? `/${name}` : `${folder}/${name}`;
  if (segment === "**") {
    found.push(...(await walk(folder, rest.length === 0 ? ["*"] : rest)));
    for (const entry of entries) {
      // Links are not followed here: a link to a parent folder would never end.
      if (entry.isDirectory() && !entry.name.startsWith("."))
        found.push(...(await walk(path(entry.name), segments)));
    }
    return found;
  }
  const matches = MAGIC.test(segment) ? segmentMatcher(segment) : (name: string): boolean => name === segment;
  for (const entry of entries) {
    if (!matches(entry.name)) continue;
    if (rest.length > 0) found.push(...(await walk(path(entry.name), rest)));
    else if (!entry.isDirectory()) found.push(path(entry.name));
  }
  return found;
}

/** Backtracking over one name, linear for each `*`: no regular expression that a pattern could make exponential. */
function segmentMatcher(pattern: string): (name: string) => boolean {
  const parts = parseSegment(pattern);
  return (name) => {
    if (name.startsWith(".") && !pattern.startsWith(".")) return false;
    const characters = [...name];
    let at = 0;
    let part = 0;
    let starPart = -1;
    let starAt = 0;
    while (at < characters.length) {
      const test = parts[part];
      if (test === "*") {
        starPart = part++;
        starAt = at;
      } else if (test !== undefined && test(characters[at]!)) {
        part++;
        at++;
      } else if (starPart >= 0) {
        part = starPart + 1;
        at = ++starAt;
      } else {
        return false;
      }
    }
    while (parts[part] === "*") part++;
    return part === parts.length;
  };
}

function parseSegment(pattern: string): ("*" | ((character: string) => boolean))[] {
  const parts: ("*" | ((character: string) => boolean))[] = [];
  const characters = [...pattern];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    const close = character === "[" ? characters.indexOf("]", i + 2) : -1;
    if (character === "*") {
      parts.push("*");
    } else if (character === "?") {
      parts.push(() => true);
    } else if (close > 0) {
      parts.push(characterSet(characters.slice(i + 1, close)));
      i = close;
    } else {
      parts.push((other) => other === character);
    }
  }
  return parts;
}

function characterSet(set: string[]): (character: string) => boolean {
  const negated = set[0] === "!" || set[0] === "^";
  const members = negated ? set.slice(1) : set;
  return (character) => {
    let inside = false;
    for (let i = 0; i < members.length; i++) {
      if (members[i + 1] === "-" && members[i + 2] !== undefined) {
        inside ||= character >= members[i]! && character <= members[i + 2]!;
        i += 2;
      } else {
        inside ||= character === members[i];
      }
    }
    return inside !== negated;
  };
}
