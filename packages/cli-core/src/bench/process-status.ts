import { readFileSync } from "node:fs";

/** Parts of a process's resident memory, in bytes: private pages, and pages of mapped files. */
export interface ResidentParts {
  readonly privateBytes: number;
  readonly mappedBytes: number;
}

/** From the text of Linux's /proc/PID/status; null if it does not have the fields. */
export function parseStatus(text: string): ResidentParts | null {
  const bytes = (field: string): number | null => {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text);
    return match === null ? null : Number(match[1]) * 1024;
  };
  const privateBytes = bytes("RssAnon");
  const mappedBytes = bytes("RssFile");
  return privateBytes === null || mappedBytes === null ? null : { privateBytes, mappedBytes };
}

const SAMPLE_MS = 50;

/**
 * Largest private and mapped parts of a process, read from outside every 50 ms: the process itself is too busy to look.
 * Stays null where there is no /proc.
 */
export class ResidentSampler {
  peak: ResidentParts | null = null;
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.sample(), SAMPLE_MS);
  }

  sample(): void {
    let status: ResidentParts | null;
    try {
      status = parseStatus(readFileSync(`/proc/${this.#pid}/status`, "latin1"));
    } catch {
      return this.stop(); // no /proc, or the process is gone
    }
    if (status === null) return;
    this.peak = {
      privateBytes: Math.max(status.privateBytes, this.peak?.privateBytes ?? 0),
      mappedBytes: Math.max(status.mappedBytes, this.peak?.mappedBytes ?? 0),
    };
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
