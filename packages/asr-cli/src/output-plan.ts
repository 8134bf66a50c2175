import { existsSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { UsageError } from "@voxquant/cli-core";
import { ResourceError } from "@voxquant/quant-core";

/** Where results go: all together to stdout or one file, or one file for each input. */
export type OutputPlan =
  | { readonly kind: "together"; readonly path: string | null }
  | { readonly kind: "each"; readonly paths: readonly string[] };

/**
 * What `--output` means for these inputs. A folder (existing, or written with a `/` at the end) gets one file per input,
 * named after it; so does any other name when one file cannot hold several results (`separate`).
 * @throws UsageError if several results cannot be told apart; ResourceError if two inputs would get the same file
 */
export function planOutput(
  output: string | undefined,
  inputs: readonly string[],
  extension: string,
  separate: boolean,
): OutputPlan {
  if (output === undefined) {
    if (separate && inputs.length > 1) {
      throw new UsageError(
        `--format ${extension} of ${inputs.length} files needs a folder to write to: --output FOLDER/`,
      );
    }
    return { kind: "together", path: null };
  }
  const isFolder = /[\\/]$/.test(output) || (existsSync(output) && statSync(output).isDirectory());
  if (!isFolder && (inputs.length === 1 || !separate)) return { kind: "together", path: output };
  const byPath = new Map<string, string>();
  const paths = inputs.map((input) => {
    const name = input === "-" ? "stdin" : basename(input, extname(input));
    const path = join(output, `${name}.${extension}`);
    const other = byPath.get(path);
    if (other !== undefined)
      throw new ResourceError(
        `${other} and ${input} would both be written to ${path}: transcribe them in two runs`,
      );
    byPath.set(path, input);
    return path;
  });
  return { kind: "each", paths };
}
