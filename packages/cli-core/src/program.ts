import { readFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { EXIT_OK, UsageError, describeError, exitCodeOf, isAbort } from "./exit.js";
import { onInterrupt } from "./interrupt.js";
import { protectDashes } from "./options.js";
import type { Session } from "./session.js";
import { Terminal } from "./terminal.js";

/** A command of yargs, whatever its flags are. */
export interface Command {
  /** Its name and operands: `transcribe [files..]`. */
  readonly command?: CommandModule["command"];
  readonly describe?: CommandModule["describe"];
  readonly builder?: unknown;
  handler(this: void, given: never): void | Promise<void>;
}

/** What makes one command line program. */
export interface Program {
  /** As it is typed. */
  readonly name: string;
  /** One sentence for the help. */
  readonly description: string;
  readonly version: string;
  /** Makes the commands, in the order of the help. */
  commands(session: Session): readonly Command[];
}

const EPILOGUE =
  "Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.";

/** Runs one command line. Everything that goes wrong is thrown. */
export async function runCommand(program: Program, args: readonly string[], session: Session): Promise<void> {
  // Here and not above: a measuring process loads this package too, and parses no command line.
  const { default: yargs } = await import("yargs");
  const commands = program.commands(session);
  const parser = yargs(protectDashes(args))
    .scriptName(program.name)
    .usage(`$0 <command>\n\n${program.description}`)
    .locale("en")
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    });
  for (const command of commands) parser.command(command as CommandModule);
  await parser
    .demandCommand(1, `what should be done? Choose one of: ${commands.map(nameOf).join(", ")}`)
    .middleware((argv) => {
      session.terminal.quiet = argv["quiet"] === true;
    }, true)
    .strict()
    .version(program.version)
    .help()
    .epilogue(EPILOGUE)
    .wrap(100)
    .exitProcess(false)
    .fail((message, error) => {
      // yargs throws some of its own complaints, and wraps what a flag's check throws.
      if (error === undefined || error.name === "YError") throw new UsageError(message ?? error.message);
      throw error;
    })
    .parseAsync();
}

/** The whole program: runs the command line, says what went wrong, ends the process with the matching exit code. */
export async function runAndExit(program: Program, args: readonly string[]): Promise<void> {
  const terminal = new Terminal();
  // A reader that has seen enough (`| head`) is no failure, and nothing can be said to it any more.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT_OK);
    terminal.error(`stdout: ${error.message}`);
    process.exit(1);
  });
  const { signal, dispose } = onInterrupt();
  const session: Session = { terminal, signal, env: process.env };
  let code = EXIT_OK;
  try {
    await runCommand(program, args, session);
  } catch (error) {
    const thrown = signal.aborted && !isAbort(error) ? signal.reason : error;
    code = exitCodeOf(thrown);
    if (thrown instanceof UsageError) {
      const command = program
        .commands(session)
        .map(nameOf)
        .find((name) => name === args[0]);
      terminal.error(
        `${thrown.message}\nsee: ${program.name} ${command === undefined ? "" : `${command} `}--help`,
      );
    } else {
      terminal.error(describeError(thrown));
    }
  }
  dispose();
  // Not left to the event loop: an unread stdin or a parked thread pool would keep the process alive.
  process.stdout.write("", () => process.exit(code));
}

/** What a program's package exports, and its executable calls. */
export interface EntryPoints {
  /** Runs one command line. Everything that goes wrong is thrown. */
  runCommand(args: readonly string[], session: Session): Promise<void>;
  /** The whole program: runs the command line, says what went wrong, ends the process with the matching exit code. */
  runAndExit(args: readonly string[]): Promise<void>;
}

export function entryPoints(program: Program): EntryPoints {
  return {
    runCommand: (args, session) => runCommand(program, args, session),
    runAndExit: (args) => runAndExit(program, args),
  };
}

/** The version that a package.json has. */
export function versionOf(packageJson: URL): string {
  return (JSON.parse(readFileSync(packageJson, "utf8")) as { version: string }).version;
}

/** `transcribe` of `transcribe [files..]`. */
function nameOf({ command }: Command): string {
  return String(command).split(" ")[0]!;
}
