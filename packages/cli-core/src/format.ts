import { UsageError } from "./exit.js";

/** Decimal units, as disks and downloads are sold: `999 B`, `1.2 GB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `4 s`, `2:05`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Columns padded to their widest cell; numbers (all but the `left` columns) flush right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: number,
): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      widths
        .map((width, column) => {
          const cell = line[column] ?? "";
          return column < left ? cell.padEnd(width) : cell.padStart(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A size such as `4GB`, `512MiB` or `1000000`, in bytes. @throws UsageError */
export function parseBytes(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text.trim());
  if (match === null)
    throw new UsageError(`${flag} "${text}" is not a size: write for example 4GB, 512MiB or 1000000`);
  const power = " kmgt".indexOf(match[2]!.toLowerCase() || " ");
  return Number(match[1]) * (match[3] === "" ? 1000 : 1024) ** power;
}
