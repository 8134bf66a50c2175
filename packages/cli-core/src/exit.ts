import { VoxquantError } from "@voxquant/quant-core";

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
/** The command line itself is wrong: unknown flag, missing argument, value that is not on a list. */
export const EXIT_USAGE = 2;
/** Ctrl-C or a request to terminate: 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

/** A command line that cannot be understood; the message says which part and what is possible. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A failure that the command itself has put into words. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE;
  return isAbort(error) ? EXIT_INTERRUPTED : EXIT_FAILURE;
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** What a person should read: the message of an error that was foreseen, the stack too of one that was not. */
export function describeError(error: unknown): string {
  if (isAbort(error)) return "interrupted";
  if (!(error instanceof Error)) return String(error);
  if (error instanceof VoxquantError || error instanceof UsageError || error instanceof CommandFailure)
    return error.message;
  if (isSystemError(error)) return error.message;
  return `unexpected error, please report it: ${error.stack ?? error.message}`;
}

/** An error of the operating system (missing file, full disk ...): its message already names call and path. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return (
    error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string" && "syscall" in error
  );
}
