import { existsSync } from "node:fs";
import { join } from "node:path";
import { readGoldenJson, goldensFolder } from "./folders.js";
import type { GoldenTensor } from "./tensors.js";

export interface ToleranceRule {
  readonly variant?: string;
  readonly case?: string;
  readonly tensor: string;
  /** `equal`: integers, identical. `input`: given to the program. `info`: not compared. Absent: compared within `tolerance`. */
  readonly use?: "equal" | "input" | "info";
  readonly tolerance?: number;
  readonly absolute?: boolean;
}

/** The rules of `NAME/tolerances.json`: the first whose patterns match the whole names counts. */
export class ToleranceRules {
  readonly #rules: readonly ToleranceRule[];

  constructor(name: string) {
    const folder = goldensFolder(name);
    const path = folder === null ? null : join(folder, "tolerances.json");
    this.#rules =
      path !== null && existsSync(path) ? readGoldenJson<{ rules: ToleranceRule[] }>(path).rules : [];
  }

  find(variant: string, caseName: string, tensor: string): ToleranceRule {
    const rule = this.#rules.find(
      (r) => matches(r.variant, variant) && matches(r.case, caseName) && matches(r.tensor, tensor),
    );
    if (rule === undefined) throw new Error(`no tolerance rule for ${variant}/${caseName}/${tensor}`);
    return rule;
  }
}

function matches(pattern: string | undefined, name: string): boolean {
  return pattern === undefined || new RegExp(`^(?:${pattern})$`).test(name);
}

export interface Comparison {
  readonly ok: boolean;
  /** max |x - golden|, divided by the golden's RMS unless the rule is absolute. */
  readonly error: number;
  readonly limit: number;
  /** One line for the test's message. */
  readonly message: string;
}

/** Compares all elements of `actual` with the golden by its rule (goldens/README.md, "Tolerances, mechanically"). */
export function compareTensor(
  name: string,
  actual: ArrayLike<number>,
  golden: GoldenTensor,
  rule: ToleranceRule,
): Comparison {
  const expected = golden.data;
  if (actual.length !== expected.length) {
    const message = `${name}: ${actual.length} elements, golden has ${expected.length} [${golden.shape.join(", ")}]`;
    return { ok: false, error: Infinity, limit: 0, message };
  }
  if (rule.use === "equal") {
    for (let i = 0; i < expected.length; i++) {
      if (actual[i] !== expected[i]) {
        const message = `${name}[${i}] is ${actual[i]}, golden ${expected[i]}`;
        return { ok: false, error: Infinity, limit: 0, message };
      }
    }
    return { ok: true, error: 0, limit: 0, message: `${name}: equal` };
  }
  let squares = 0;
  let finite = 0;
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const want = expected[i]!;
    const got = actual[i]!;
    if (!Number.isFinite(want)) {
      if (!Object.is(want, got)) {
        return { ok: false, error: Infinity, limit: 0, message: `${name}[${i}] is ${got}, golden ${want}` };
      }
      continue;
    }
    squares += want * want;
    finite++;
    const difference = Math.abs(got - want);
    if (!(difference <= worst)) {
      worst = difference;
      at = i;
    }
  }
  const rms = Math.sqrt(squares / Math.max(finite, 1));
  const error = rule.absolute === true || rms === 0 ? worst : worst / rms;
  const limit = rule.tolerance ?? 0;
  const message = `${name}: error ${error.toExponential(2)} (limit ${limit}) at ${at}: ${actual[at]} for ${expected[at]}`;
  return { ok: error <= limit, error, limit, message };
}
