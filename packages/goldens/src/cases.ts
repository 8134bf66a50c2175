import type { GoldenCase, GoldenVariant } from "./folders.js";
import type { GoldenTensor } from "./tensors.js";
import { compareTensor, type ToleranceRules } from "./tolerances.js";

/** Backends that every golden runs on; `cpu` is the slow reference. */
export const GOLDEN_BACKENDS = ["cpu", "wasm", "native"] as const;

export type GoldenBackend = (typeof GOLDEN_BACKENDS)[number];

/**
 * Compares the tensors of a case that its rules want compared.
 * @param actualOf the elements that a program made of a tensor: undefined if none, null to leave the tensor out
 * @returns how many were compared
 * @throws Error with a line for each that differs or was not made
 */
export function compareCase(
  rules: ToleranceRules,
  variant: GoldenVariant,
  golden: GoldenCase,
  expected: ReadonlyMap<string, GoldenTensor>,
  actualOf: (name: string, tensor: GoldenTensor) => ArrayLike<number> | undefined | null,
): number {
  const failures: string[] = [];
  let compared = 0;
  for (const [name, tensor] of expected) {
    const rule = rules.find(variant.name, golden.name, name);
    if (rule.use === "input" || rule.use === "info") continue;
    const actual = actualOf(name, tensor);
    if (actual === null) continue;
    if (actual === undefined) {
      failures.push(`${name} was not traced`);
      continue;
    }
    const { ok, message } = compareTensor(name, actual, tensor, rule);
    if (!ok) failures.push(message);
    compared++;
  }
  if (failures.length > 0) throw new Error(`${variant.name}/${golden.name}:\n${failures.join("\n")}`);
  return compared;
}

/** Models by variant and backend, each loaded once. */
export class GoldenModels<T> {
  readonly #load: (variant: GoldenVariant, backend: GoldenBackend) => Promise<T>;
  readonly #loaded = new Map<string, Promise<T | null>>();

  constructor(load: (variant: GoldenVariant, backend: GoldenBackend) => Promise<T>) {
    this.#load = load;
  }

  /** Null where the backend is not available. */
  of(variant: GoldenVariant, backend: GoldenBackend): Promise<T | null> {
    const key = `${variant.folder} ${backend}`;
    let model = this.#loaded.get(key);
    if (model === undefined) {
      model = whereAvailable(backend, () => this.#load(variant, backend));
      this.#loaded.set(key, model);
    }
    return model;
  }

  /** All that were loaded. */
  async all(): Promise<T[]> {
    const models = await Promise.all(this.#loaded.values());
    return models.filter((model) => model !== null);
  }
}

/** What `load` gives, null (and one line on stderr) where it throws a BackendError. */
export async function whereAvailable<T>(backend: GoldenBackend, load: () => Promise<T>): Promise<T | null> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "BackendError") throw error;
    process.stderr.write(`goldens: backend ${backend} is not available, its tests are skipped\n`);
    return null;
  }
}

/** What was compared of a variant and what was not. */
export class GoldenTally {
  readonly cases = new Set<string>();
  readonly skipped = new Set<string>();
  compared = 0;

  /** Says it in one line on stderr. */
  report(family: string, variant: GoldenVariant): void {
    const compared = this.compared === 0 ? "" : `, ${this.compared} tensors compared`; // else by their texts
    const skipped = this.skipped.size === 0 ? "none" : [...this.skipped].join(", ");
    process.stderr.write(
      `goldens: ${family}/${variant.name}: ${this.cases.size} cases${compared}, skipped: ${skipped}\n`,
    );
  }
}
