import { fileURLToPath } from "node:url";
import { runProcess, type CliOptions, type CliResult } from "@voxquant/cli-core/testing";

const program = fileURLToPath(new URL("../../bin/tts-cli.mjs", import.meta.url));
export const repository = fileURLToPath(new URL("../../../..", import.meta.url));

/** Runs the built program from the repository's root. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return runProcess(program, args, { cwd: repository, ...options });
}
