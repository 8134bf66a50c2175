import { EventEmitter } from "node:events";
import { Terminal, escapeControl, type TextStream } from "./terminal.js";

class Screen implements TextStream {
  text = "";
  constructor(readonly isTTY: boolean) {}
  write(text: string | Uint8Array): void {
    this.text += String(text);
  }
}

test("control characters become visible, text of all languages stays", () => {
  expect(escapeControl("a\u001b[31mred\u0007\r\u0000\u007f\u009b2J")).toBe(
    "a\\x1b[31mred\\x07\\x0d\\x00\\x7f\\x9b2J",
  );
  expect(escapeControl("abc\u202edef\u2066")).toBe("abc\\u202edef\\u2066");
  expect(escapeControl("Öffne\tdas\nFenster. Привет 你好 👩‍👩‍👧")).toBe("Öffne\tdas\nFenster. Привет 你好 👩‍👩‍👧");
});

test("results are escaped on a terminal and exact in a pipe", () => {
  const hostile = "\u001b]0;title\u0007text\n";
  const pipe = new Screen(false);
  new Terminal(pipe, new Screen(false)).result(hostile);
  expect(pipe.text).toBe(hostile);
  const screen = new Screen(true);
  new Terminal(screen, new Screen(true)).result(hostile);
  expect(screen.text).toBe("\\x1b]0;title\\x07text\n");
});

test("messages are escaped always; quiet leaves errors", () => {
  const stderr = new Screen(false);
  const terminal = new Terminal(new Screen(false), stderr);
  terminal.info("file \u001b[2J");
  terminal.quiet = true;
  terminal.info("note");
  terminal.warn("careful");
  terminal.error("broken");
  expect(stderr.text).toBe("file \\x1b[2J\nerror: broken\n");
  expect(new Terminal(new Screen(true), new Screen(true)).showsProgress).toBe(true);
  expect(terminal.showsProgress).toBe(false);
});

test("a growing text shows its end on one line", () => {
  const screen = new Screen(true);
  new Terminal(screen, new Screen(true)).partial(`${"x".repeat(100)}end`);
  expect(screen.text.startsWith("\r\u001b[Kx")).toBe(true);
  expect(screen.text.endsWith("end")).toBe(true);
  expect(screen.text.length).toBe(4 + 79);
});

test("wide characters take two columns of that line, accents none", () => {
  const shown = (text: string): string => {
    const screen = new Screen(true);
    new Terminal(screen, new Screen(true)).partial(text);
    return screen.text.slice(4);
  };
  expect(shown("今".repeat(100))).toBe("今".repeat(39));
  expect(shown("😀한글カ，".repeat(20))).toBe("한글カ，" + "😀한글カ，".repeat(7));
  expect(shown("e\u0301".repeat(100))).toHaveLength(2 * 79 + 1);
});

test("bytes wait for a reader that is behind, and give up when aborted", async () => {
  class Slow extends EventEmitter implements TextStream {
    readonly written: (string | Uint8Array)[] = [];
    write(content: string | Uint8Array): boolean {
      this.written.push(content);
      return false;
    }
  }
  const slow = new Slow();
  const terminal = new Terminal(slow, new Screen(false));
  const controller = new AbortController();
  let done = false;
  const first = terminal.bytes(Uint8Array.of(1), controller.signal).then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toBe(false);
  slow.emit("drain");
  await first;
  const second = terminal.bytes(Uint8Array.of(2), controller.signal);
  controller.abort(new Error("stop"));
  await expect(second).rejects.toThrow("stop");
  await expect(terminal.bytes(Uint8Array.of(3), controller.signal)).rejects.toThrow("stop");
  expect(slow.written).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
  expect(slow.listenerCount("drain")).toBe(0);
});
