import type { Options } from "yargs";
import { UsageError } from "./exit.js";

/** Marks what yargs must not take for a flag, or drop: no argument of a program can contain a zero byte. */
const OPERAND = "\0";

/** The command line for yargs: a lone `-`, and after `--` whatever begins with a dash, are operands. */
export function protectDashes(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const operands = end < 0 ? [] : args.slice(end + 1);
  return [
    ...flags.map((arg) => (arg === "-" ? OPERAND + arg : arg)),
    ...operands.map((arg) => (arg.startsWith("-") ? OPERAND + arg : arg)),
  ];
}

/** Operands as they were written. */
export function operandsOf(values: readonly string[] | undefined): string[] {
  return (values ?? []).map(operandOf);
}

/** An operand as it was written. */
export function operandOf(value: string): string {
  return value.startsWith(OPERAND) ? value.slice(OPERAND.length) : value;
}

/** A flag with one value, which is obligatory. */
export function text<T extends Options = object>(describe: string, more?: T): T & { type: "string" } {
  return { ...more!, type: "string", nargs: 1, describe, coerce: once };
}

function once(value: unknown): unknown {
  if (Array.isArray(value))
    throw new UsageError(`a flag that has one value is given more than once: ${value.join(", ")}`);
  return typeof value === "string" ? operandOf(value) : value;
}

/** A flag that is on or off. */
export function flag(describe: string): Options & { type: "boolean"; default: boolean } {
  return { type: "boolean", default: false, describe };
}

/** A flag that may be given several times. */
export function repeatable(describe: string): Options & { type: "string"; array: true } {
  return { type: "string", array: true, nargs: 1, describe };
}

/** The number of a flag, checked. @throws UsageError */
export function numberOf(
  value: string | undefined,
  name: string,
  { min, max = Infinity, integer = false }: { min: number; max?: number; integer?: boolean },
): number | undefined {
  if (value === undefined) return undefined;
  const number = value.trim() === "" ? NaN : Number(value);
  if (number >= min && number <= max && (!integer || Number.isSafeInteger(number))) return number;
  const range = max === Infinity ? `${min} or more` : `${min} to ${max}`;
  throw new UsageError(`--${name} "${value}" is not ${integer ? "a whole number" : "a number"} of ${range}`);
}

/** @throws UsageError with the list */
export function choiceOf<T extends string>(value: string, name: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value.toLowerCase());
  if (found === undefined)
    throw new UsageError(`--${name} "${value}" is not known. Choose one of: ${choices.join(", ")}`);
  return found;
}

export const BACKENDS = ["auto", "native", "wasm", "cpu", "tensorflow"] as const;
