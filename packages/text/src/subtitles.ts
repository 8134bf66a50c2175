import { collapseSpace, isBlank, splitLines, stripSpace } from "./whitespace.js";

/** A stretch of a recording with its text. Times in seconds from the recording's start. */
export interface TextSegment {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly speaker?: string | undefined;
}

export interface SpeakerOptions {
  /** Write the speakers' names, where the format has a place for them. Default false. */
  readonly speakers?: boolean;
}

/** A segment of the JSON output: offsets in integer milliseconds, the same as time stamps, the raw text. */
export interface JsonSegment {
  readonly timestamps: { readonly from: string; readonly to: string };
  readonly offsets: { readonly from: number; readonly to: number };
  readonly text: string;
  readonly speaker?: string;
}

/*
 * The shapes are those of whisper.cpp's command line (`examples/cli/cli.cpp`), with its gaps closed: times are rounded to
 * the nearest millisecond, blank segments left out (of all but JSON), and text escaped as each format needs. All texts
 * end with a line break.
 */

/** Plain text, one segment per line. */
export function toTxt(segments: readonly TextSegment[]): string {
  return withText(segments).map((segment) => `${oneLine(segment.text)}\n`).join(""); // prettier-ignore
}

/** SubRip. `-->` in a text becomes `->`, because readers look for it. */
export function toSrt(segments: readonly TextSegment[]): string {
  return withText(segments)
    .map(
      (segment, i) => `${i + 1}\n${times(segment, ",")}\n${lines(segment.text).replaceAll("-->", "->")}\n\n`,
    )
    .join("");
}

/** WebVTT, speakers as voice tags. */
export function toVtt(segments: readonly TextSegment[], { speakers = false }: SpeakerOptions = {}): string {
  const cues = withText(segments).map((segment) => {
    const voice =
      speakers && segment.speaker !== undefined ? `<v ${escapeMarkup(oneLine(segment.speaker))}>` : "";
    return `${times(segment, ".")}\n${voice}${escapeMarkup(lines(segment.text))}\n\n`;
  });
  return `WEBVTT\n\n${cues.join("")}`;
}

/** Lyrics: one line per segment with its start; minutes may exceed 59. */
export function toLrc(segments: readonly TextSegment[], by = "voxquant"): string {
  const timed = withText(segments).map((segment) => {
    const centiseconds = Math.floor(milliseconds(segment.start) / 10);
    const minutes = Math.floor(centiseconds / 6000);
    const seconds = Math.floor(centiseconds / 100) % 60;
    return `[${pad(minutes)}:${pad(seconds)}.${pad(centiseconds % 100)}]${oneLine(segment.text)}\n`;
  });
  return `[by:${by}]\n${timed.join("")}`;
}

/** Comma-separated values (RFC 4180 quoting) with times in integer milliseconds. */
export function toCsv(segments: readonly TextSegment[], { speakers = false }: SpeakerOptions = {}): string {
  const rows = withText(segments).map((segment) => {
    const speaker = speakers ? `${quote(oneLine(segment.speaker ?? ""))},` : "";
    return `${milliseconds(segment.start)},${milliseconds(segment.end)},${speaker}${quote(oneLine(segment.text))}\n`;
  });
  return `start,end,${speakers ? "speaker," : ""}text\n${rows.join("")}`;
}

/** The segments of the JSON output, blank ones included; speakers if asked for. */
export function toJsonSegments(
  segments: readonly TextSegment[],
  { speakers = false }: SpeakerOptions = {},
): JsonSegment[] {
  return segments.map(({ start, end, text, speaker }) => ({
    timestamps: { from: timestamp(start, ","), to: timestamp(end, ",") },
    offsets: { from: milliseconds(start), to: milliseconds(end) },
    text,
    ...(speakers && speaker !== undefined ? { speaker } : {}),
  }));
}

function withText(segments: readonly TextSegment[]): TextSegment[] {
  return segments.filter((segment) => !isBlank(segment.text));
}

function milliseconds(seconds: number): number {
  return Math.floor(seconds * 1000 + 0.5);
}

function times(segment: TextSegment, point: string): string {
  return `${timestamp(segment.start, point)} --> ${timestamp(segment.end, point)}`;
}

function timestamp(time: number, point: string): string {
  const ms = milliseconds(time);
  const seconds = Math.floor(ms / 1000);
  const clock = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => pad(Math.floor(part)));
  return `${clock.join(":")}${point}${pad(ms % 1000, 3)}`;
}

function pad(value: number, digits = 2): string {
  return String(value).padStart(digits, "0");
}

function oneLine(text: string): string {
  return stripSpace(collapseSpace(text));
}

/** A blank line would end the cue. */
function lines(text: string): string {
  return splitLines(text)
    .map(stripSpace)
    .filter((line) => line !== "")
    .join("\n");
}

function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function quote(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
