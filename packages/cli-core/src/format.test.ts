import { UsageError } from "./exit.js";
import { formatBytes, formatDuration, formatTable, parseBytes } from "./format.js";
import { progressLine } from "./progress.js";

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [99_949, "99.9 kB"],
  [99_960, "100 kB"],
  [999_600, "1.0 MB"],
  [1_876_543_210, "1.9 GB"],
])("%d bytes", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.2, "1 s"],
  [59.5, "1:00"],
  [125, "2:05"],
  [3723, "1:02:03"],
])("%d seconds", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test.each([
  ["4GB", 4e9],
  ["512MiB", 512 * 1024 * 1024],
  ["1.5g", 1.5e9],
  ["1000000", 1e6],
])("size %s", (text, bytes) => expect(parseBytes(text, "--memory-limit")).toBe(bytes));

test.each(["", "4XB", "-1", "GB", "1e9"])("size %j is refused", (text) => {
  expect(() => parseBytes(text, "--memory-limit")).toThrow(UsageError);
});

test("tables have text flush left and numbers flush right", () => {
  expect(
    formatTable(
      ["type", "bytes"],
      [
        ["Q8_0", "7"],
        ["F32", "1,000"],
      ],
      1,
    ),
  ).toBe("type  bytes\nQ8_0      7\nF32   1,000");
});

test("a progress line has amount, rate and time left, and nothing that the terminal would obey", () => {
  const line = progressLine("Loading", "bytes", { done: 5e6, total: 20e6, note: "a\u001b[2J" }, 2);
  expect(line).toBe("Loading  [#####---------------] 25 %  5.0 MB of 20.0 MB  2.5 MB/s  6 s left  a\\x1b[2J");
  expect(progressLine("x", "audio", { done: 120, total: null, note: "" }, 2)).toBe(
    "x  2:00  60.0x real time",
  );
});
