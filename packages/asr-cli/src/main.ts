import { readFileSync } from "node:fs";
import yargs from "yargs";
import { benchCommand } from "./commands/bench.js";
import { imatrixCommand } from "./commands/imatrix.js";
import { inspectCommand } from "./commands/inspect.js";
import { modelsCommand } from "./commands/models.js";
import { quantizeCommand } from "./commands/quantize.js";
import { transcribeCommand } from "./commands/transcribe.js";
import { EXIT_OK, UsageError, describeError, exitCodeOf, isAbort } from "./exit.js";
import { onInterrupt } from "./interrupt.js";
import { protectDashes } from "./options.js";
import type { Session } from "./session.js";
import { Terminal } from "./terminal.js";

const EPILOGUE =
  "Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.";

/** Runs one command line. Everything that goes wrong is thrown. */
export async function runCommand(args: readonly string[], session: Session): Promise<void> {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const parser = yargs(protectDashes(args))
    .scriptName("asr-cli")
    .usage("$0 <command>\n\nSpeech recognition with quantized models.")
    .locale("en")
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    })
    .command(transcribeCommand(session) as never)
    .command(quantizeCommand(session) as never)
    .command(inspectCommand(session) as never)
    .command(modelsCommand(session))
    .command(imatrixCommand(session) as never)
    .command(benchCommand(session) as never)
    .demandCommand(
      1,
      "what should be done? Choose one of: transcribe, quantize, inspect, models, imatrix, bench",
    )
    .middleware((argv) => {
      session.terminal.quiet = argv["quiet"] === true;
    }, true)
    .strict()
    .version(version)
    .help()
    .epilogue(EPILOGUE)
    .wrap(100)
    .exitProcess(false)
    .fail((message, error) => {
      // yargs throws some of its own complaints, and wraps what a flag's check throws.
      if (error === undefined || error.name === "YError") throw new UsageError(message ?? error.message);
      throw error;
    });
  await parser.parseAsync();
}

/** The whole program: runs the command line, says what went wrong, ends the process with the matching exit code. */
export async function runAndExit(args: readonly string[]): Promise<void> {
  const terminal = new Terminal();
  // A reader that has seen enough (`| head`) is no failure, and nothing can be said to it any more.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT_OK);
    terminal.error(`stdout: ${error.message}`);
    process.exit(1);
  });
  const { signal, dispose } = onInterrupt();
  let code = EXIT_OK;
  try {
    await runCommand(args, { terminal, signal, env: process.env });
  } catch (error) {
    const thrown = signal.aborted && !isAbort(error) ? signal.reason : error;
    code = exitCodeOf(thrown);
    if (thrown instanceof UsageError) terminal.error(`${thrown.message}\nsee: asr-cli ${helpOf(args)}--help`);
    else terminal.error(describeError(thrown));
  }
  dispose();
  // Not left to the event loop: an unread stdin or a parked thread pool would keep the process alive.
  process.stdout.write("", () => process.exit(code));
}

function helpOf(args: readonly string[]): string {
  const command = args[0] ?? "";
  return ["transcribe", "quantize", "inspect", "models", "imatrix", "bench"].includes(command)
    ? `${command} `
    : "";
}
