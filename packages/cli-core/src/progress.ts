import cliProgress from "cli-progress";
import { formatBytes, formatDuration } from "./format.js";
import { escapeControl, type Terminal } from "./terminal.js";

/** `bytes` are shown as sizes with a rate per second, `audio` as time with a multiple of real time, `weights` as a share alone, `sentences` as a number. */
export type Unit = "bytes" | "audio" | "weights" | "sentences";

export interface Progress {
  /** `total` null: not known (yet). `note` is shown at the end of the line. */
  update(done: number, total: number | null, note?: string): void;
  /** Takes the bar away; may be called twice. */
  stop(): void;
}

/**
 * A bar on stderr with amount, rate and time left; nothing where stderr is not a terminal or the user wants silence.
 */
export function startProgress(terminal: Terminal, label: string, unit: Unit): Progress {
  if (!terminal.showsProgress) return { update: () => undefined, stop: () => undefined };
  const started = performance.now();
  let latest: { done: number; total: number | null; note: string } = { done: 0, total: null, note: "" };
  const bar = new cliProgress.SingleBar({
    stream: terminal.stderr as NodeJS.WriteStream,
    clearOnComplete: true,
    // A killed process could not bring the cursor and the terminal's line wrapping back.
    hideCursor: false,
    linewrap: true,
    fps: 8,
    gracefulExit: false,
    format: () => {
      const line = progressLine(label, unit, latest, (performance.now() - started) / 1000);
      return line.slice(0, (terminal.stderr.columns ?? 80) - 1);
    },
  });
  bar.start(1, 0);
  let running = true;
  const progress: Progress = {
    update(done, total, note = "") {
      latest = { done, total, note };
      if (running) bar.update(total === null || total === 0 ? 0 : Math.min(done / total, 1));
    },
    stop() {
      if (!running) return;
      running = false;
      terminal.setAroundLine(null);
      bar.stop();
    },
  };
  terminal.setAroundLine((write) => {
    terminal.stderr.write("\r\u001b[K");
    write();
    bar.render();
  });
  return progress;
}

/** One line of a bar, e.g. `Loading  [#####-----] 50 %  1.2 GB of 2.4 GB  600 MB/s  2 s left`. */
export function progressLine(
  label: string,
  unit: Unit,
  state: { done: number; total: number | null; note: string },
  seconds: number,
): string {
  const { done, total, note } = state;
  const amount = AMOUNT[unit];
  const parts = [label];
  if (total !== null && total > 0) {
    const share = Math.min(done / total, 1);
    const filled = Math.round(share * BAR_WIDTH);
    parts.push(`[${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}] ${Math.floor(share * 100)} %`);
    if (unit !== "weights") parts.push(`${amount(done)} of ${amount(total)}`);
  } else {
    parts.push(amount(done));
  }
  if (seconds > 0.5 && done > 0) {
    const rate = done / seconds;
    if (unit === "bytes") parts.push(`${formatBytes(rate)}/s`);
    if (unit === "audio") parts.push(`${rate.toFixed(1)}x real time`);
    if (total !== null && total > done) parts.push(`${formatDuration((total - done) / rate)} left`);
  }
  if (note !== "") parts.push(escapeControl(note));
  return parts.join("  ");
}

const BAR_WIDTH = 20;

const AMOUNT: Readonly<Record<Unit, (value: number) => string>> = {
  bytes: formatBytes,
  audio: formatDuration,
  weights: (value) => value.toLocaleString("en"),
  sentences: (value) => value.toLocaleString("en"),
};
