import { Terminal, escapeControl, type TextStream } from "./terminal.js";

class Screen implements TextStream {
  text = "";
  constructor(readonly isTTY: boolean) {}
  write(text: string): void {
    this.text += text;
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
