/** Everything that a terminal may act upon instead of showing: C0, DEL, C1, and Unicode's direction overrides. */
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text from a file, model or server made harmless for a terminal; line breaks and tabs stay. */
export function escapeControl(text: string): string {
  return text.replace(CONTROL, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** East Asian characters and emoji take two columns, at most: some of these blocks have narrow ones too. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** As much of a line's end as a terminal shows in `columns`. */
function endWithin(line: string, columns: number): string {
  const characters = [...line];
  let first = characters.length;
  for (let width = 0; first > 0; first--) {
    const character = characters[first - 1]!;
    width += WIDE.test(character) ? 2 : NO_WIDTH.test(character) ? 0 : 1;
    if (width > columns) break;
  }
  return characters.slice(first).join("");
}

export interface TextStream {
  /** False if the reader is behind; `drain` follows. */
  write(content: string | Uint8Array): unknown;
  once?(event: "drain", listener: () => void): unknown;
  off?(event: "drain", listener: () => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Where a command writes: its result alone to stdout, everything about its progress to stderr. */
export class Terminal {
  quiet = false;
  readonly #stdout: TextStream;
  readonly #stderr: TextStream;
  /** Takes a progress bar off the screen while a line is written. */
  #aroundLine: ((write: () => void) => void) | null = null;

  constructor(stdout: TextStream = process.stdout, stderr: TextStream = process.stderr) {
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  get stderr(): TextStream {
    return this.#stderr;
  }

  get stdoutIsTerminal(): boolean {
    return this.#stdout.isTTY === true;
  }

  get columns(): number {
    return this.#stdout.columns ?? 80;
  }

  /** True where a progress bar may be drawn. */
  get showsProgress(): boolean {
    return !this.quiet && this.#stderr.isTTY === true;
  }

  /** A part of the result, exactly as it is in a pipe or file, made harmless on a terminal. */
  result(text: string): void {
    this.#between(() => this.#stdout.write(this.stdoutIsTerminal ? escapeControl(text) : text));
  }

  /**
   * Bytes of a result, e.g. audio for another program. Waits while the reader is behind.
   * @throws the signal's reason when aborted
   */
  async bytes(content: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stream = this.#stdout;
    if (stream.write(content) !== false || stream.once === undefined) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (done: () => void) => () => {
        stream.off?.("drain", onDrain);
        signal.removeEventListener("abort", onAbort);
        done();
      };
      const onDrain = settle(resolve);
      const onAbort = settle(() => reject(signal.reason as Error));
      stream.once!("drain", onDrain);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Replaces the current line of a terminal by the end of a text that is still growing. */
  partial(text: string): void {
    const line = endWithin(escapeControl(text.replace(/\s+/g, " ")), Math.max(this.columns - 1, 1));
    this.#stdout.write(`\r\u001b[K${line}`);
  }

  /** Takes away what `partial` showed. */
  clearPartial(): void {
    this.#stdout.write("\r\u001b[K");
  }

  info(message: string): void {
    if (!this.quiet) this.#line(message);
  }

  warn(message: string): void {
    if (!this.quiet) this.#line(`warning: ${message}`);
  }

  /** Errors are shown even when quiet. */
  error(message: string): void {
    this.#line(`error: ${message}`);
  }

  setAroundLine(around: ((write: () => void) => void) | null): void {
    this.#aroundLine = around;
  }

  #line(message: string): void {
    this.#between(() => this.#stderr.write(`${escapeControl(message)}\n`));
  }

  #between(write: () => void): void {
    if (this.#aroundLine === null) write();
    else this.#aroundLine(write);
  }
}
