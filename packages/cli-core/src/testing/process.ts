import { spawn } from "node:child_process";

export interface CliResult {
  /** Exit code, or null if a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What stdout is the text of. */
  readonly bytes: Buffer;
}

export interface CliOptions {
  /** Default: this process's. */
  readonly cwd?: string;
  readonly stdin?: Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Flags for node itself, such as `--import`. */
  readonly node?: readonly string[];
  /** Largest file that the process may write, in KiB: how a full disk looks like to a program. */
  readonly fileLimit?: number;
  /** Sent as soon as stderr has matched. */
  readonly interruptAfter?: RegExp;
}

/** Runs a program's file as a user does. */
export function runProcess(
  program: string,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const command = [process.execPath, ...(options.node ?? []), program, ...args];
  const [file, ...rest] =
    options.fileLimit === undefined
      ? command
      : ["sh", "-c", `ulimit -f ${options.fileLimit * 2}; exec "$@"`, "sh", ...command];
  // No setting of the machine that runs the tests may reach the program.
  const { PATH, HOME, TMPDIR } = process.env;
  const env = { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...options.env };
  const cwd = options.cwd ?? process.cwd();
  const child = spawn(file!, rest, { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined); // the program need not read all of it
  child.stdin.end(options.stdin ?? new Uint8Array());
  const stdout: Buffer[] = [];
  let stderr = "";
  let interrupted = false;
  child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    if (options.interruptAfter?.test(stderr) === true && !interrupted) {
      interrupted = true;
      child.kill("SIGINT");
    }
  });
  return new Promise((done) => {
    child.on("close", (code) => {
      const bytes = Buffer.concat(stdout);
      done({ code, stdout: bytes.toString("utf8"), stderr, bytes });
    });
  });
}
