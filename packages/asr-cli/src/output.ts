import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { ResourceError } from "@voxquant/quant-core";
import { UsageError } from "./exit.js";

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

/**
 * Says before the work what would go wrong after it: the file exists already, or its folder cannot be written to.
 * @throws ResourceError
 */
export async function checkWritable(path: string, force: boolean): Promise<void> {
  if (existsSync(path)) {
    if (statSync(path).isDirectory()) throw new ResourceError(`${path} is a folder; name a file in it`);
    if (!isSpecial(path) && !force)
      throw new ResourceError(
        `${path} exists already: choose another --output, or overwrite it with --force`,
      );
    if (isSpecial(path)) return;
  }
  let folder = dirname(resolve(path));
  while (!existsSync(folder)) folder = dirname(folder);
  const probe = temporaryName(join(folder, "probe"));
  try {
    await (await open(probe, "wx")).close();
  } catch (error) {
    throw new ResourceError(`${path} cannot be written: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(probe, { force: true }).catch(() => undefined);
  }
}

/**
 * Writes a whole file or nothing: into a temporary file beside it, to the disk, then renamed. Devices and pipes are written
 * directly.
 * @throws ResourceError for a full disk or anything else that the system refuses
 */
export async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  try {
    if (isSpecial(path)) {
      await writeFile(path, content);
      return;
    }
    await mkdir(dirname(resolve(path)), { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new ResourceError(
      `${path} could not be written, nothing was left there: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** A device or pipe such as /dev/stdout: it exists always, and must not be replaced by a file. */
function isSpecial(path: string): boolean {
  if (!existsSync(path)) return false;
  const status = statSync(path);
  return !status.isFile() && !status.isDirectory();
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.partial`);
}
