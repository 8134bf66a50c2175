import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

/** Where and with what figures were measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Frequency governor, null where the system does not tell. */
  readonly governor: string | null;
  readonly memory_bytes: number;
  readonly system: string;
  readonly node: string;
  /** Of this program, null outside its repository; `-dirty` with local changes. */
  readonly commit: string | null;
  /** Of the last minute, at the start. */
  readonly load_average: number;
  /** More than half of the cores were busy with something else at the start. */
  readonly noisy: boolean;
}

export function describeMachine(): Machine {
  const cores = availableParallelism();
  const load = loadavg()[0] ?? 0;
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores,
    governor: readLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    memory_bytes: totalmem(),
    system: `${platform()} ${release()}`,
    node: process.version,
    commit: commitOf(fileURLToPath(new URL(".", import.meta.url))),
    load_average: load,
    noisy: load >= 0.5 * cores,
  };
}

function readLine(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function commitOf(folder: string): string | null {
  const git = (...args: string[]): string | null => {
    const { status, stdout } = spawnSync("git", ["-C", folder, ...args], { encoding: "utf8" });
    return status === 0 ? stdout.trim() : null;
  };
  const commit = git("rev-parse", "--short", "HEAD");
  if (commit === null) return null;
  return git("status", "--porcelain", "--untracked-files=no") === "" ? commit : `${commit}-dirty`;
}
