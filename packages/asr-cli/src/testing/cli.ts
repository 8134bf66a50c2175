import { fileURLToPath } from "node:url";
import { runProcess, type CliOptions, type CliResult as ProcessResult } from "@voxquant/cli-core/testing";

const program = fileURLToPath(new URL("../../bin/asr-cli.mjs", import.meta.url));
export const repository = fileURLToPath(new URL("../../../..", import.meta.url));

/** What this program writes is text. */
export type CliResult = Omit<ProcessResult, "bytes">;

/** Runs the built program from the repository's root. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { code, stdout, stderr } = await runProcess(program, args, { cwd: repository, ...options });
  return { code, stdout, stderr };
}
