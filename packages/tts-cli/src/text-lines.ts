import { readFileSync } from "node:fs";
import { ResourceError } from "@voxquant/quant-core";

/** Lines of a text file that are not blank. @throws ResourceError naming the flag if it cannot be read */
export function linesOf(path: string, flagName: string): string[] {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ResourceError(`--${flagName} ${path}: ${(cause as Error).message}`, { cause });
  }
  return content
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
}
