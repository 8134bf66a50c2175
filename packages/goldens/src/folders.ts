import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const repository = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** A folder beside the repository that holds larger evaluation material, or null where there is none. */
export function sharedFolder(...parts: string[]): string | null {
  const folder = join(repository, "..", "shared", ...parts);
  return existsSync(folder) ? folder : null;
}

/**
 * Path of a golden folder or file, or null (with one line on stderr) where it is missing: whatever a set lacks is skipped.
 * Looked for in `GOLDENS_DIR` alone if that is set, else in the repository's fixtures.
 */
export function goldensFolder(...parts: string[]): string | null {
  const root = process.env["GOLDENS_DIR"] ?? join(repository, "fixtures", "goldens");
  const path = join(root, ...parts);
  if (existsSync(path)) return path;
  process.stderr.write(`goldens: ${parts.join("/")} is not in ${root}, its tests are skipped\n`);
  return null;
}

export interface GoldenCase {
  /** File name without extension. */
  readonly name: string;
  readonly jsonPath: string;
  /** Path of the tensors, null for a case of rules or text alone. */
  readonly tensorsPath: string | null;
}

export interface GoldenVariant {
  readonly name: string;
  /** The checkpoint as a user would have it on disk. */
  readonly folder: string;
  readonly cases: readonly GoldenCase[];
}

/** Every `NAME/VARIANT/` that has a `cases/` folder, sorted by name. */
export function goldenVariants(name: string): GoldenVariant[] {
  const root = goldensFolder(name);
  if (root === null) return [];
  return readdirSync(root)
    .sort()
    .filter((variant) => existsSync(join(root, variant, "cases")))
    .map((variant) => {
      const folder = join(root, variant);
      const files = readdirSync(join(folder, "cases")).sort();
      const cases = files
        .filter((file) => file.endsWith(".json") && file !== "tolerances.json")
        .map((file) => {
          const caseName = file.slice(0, -".json".length);
          const tensors = `${caseName}.safetensors`;
          return {
            name: caseName,
            jsonPath: join(folder, "cases", file),
            tensorsPath: files.includes(tensors) ? join(folder, "cases", tensors) : null,
          };
        });
      return { name: variant, folder, cases };
    });
}

export function readGoldenJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}
