import { spawnSync } from "node:child_process";

/** User-space events of a process and its threads; null where the machine does not count them. */
export interface PerfCounts {
  readonly instructions: number | null;
  readonly cycles: number | null;
}

const EVENTS = "instructions:u,cycles:u";

/** Arguments that run a command under Linux's `perf stat`, which writes its counts to `output`. */
export function perfCommand(output: string, command: readonly string[]): string[] {
  return ["perf", "stat", "-x", ",", "-o", output, "-e", EVENTS, "--", ...command];
}

/** Counts in the output of `perf stat -x ,`. */
export function parsePerf(text: string): PerfCounts {
  const count = (event: string): number | null => {
    for (const line of text.split("\n")) {
      const [value = "", , name = ""] = line.split(",");
      if (name.startsWith(event) && /^\d+$/.test(value)) return Number(value);
    }
    return null; // e.g. <not supported>
  };
  return { instructions: count("instructions"), cycles: count("cycles") };
}

/** Whether `perf stat` is installed, allowed and counts on this machine. */
export function canCountEvents(): boolean {
  const { status, stdout } = spawnSync(
    "perf",
    ["stat", "-x", ",", "--log-fd", "1", "-e", EVENTS, "--", "true"],
    {
      encoding: "utf8",
    },
  );
  return status === 0 && parsePerf(stdout).instructions !== null;
}
