import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePerf, perfCommand } from "./perf-counters.js";
import { parseStatus } from "./process-status.js";
import { readResults } from "./results-file.js";
import { spreadOf } from "./statistics.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test("spread of measurements", () => {
  expect(spreadOf([null, null])).toBeNull();
  expect(spreadOf([3])).toEqual({ median: 3, min: 3, max: 3, p95: 3, cv: 0 });
  expect(spreadOf([4, null, 1, 2, 3])).toEqual({
    median: 2.5,
    min: 1,
    max: 4,
    p95: expect.closeTo(3.85),
    cv: expect.closeTo(1.290994 / 2.5),
  });
});

test("resident parts of a process", () => {
  const status = "Name:\tnode\nVmHWM:\t  200 kB\nRssAnon:\t  120 kB\nRssFile:\t   80 kB\nRssShmem:\t 0 kB\n";
  expect(parseStatus(status)).toEqual({ privateBytes: 120 * 1024, mappedBytes: 80 * 1024 });
  expect(parseStatus("Name:\tnode\n")).toBeNull();
});

test("counts of perf stat", () => {
  const counted =
    "# started on x\n\n123456789,,instructions:u,100,100.00,1.5,insn per cycle\n82304526,,cycles:u,100,100.00,,\n";
  expect(parsePerf(counted)).toEqual({ instructions: 123456789, cycles: 82304526 });
  const none = "<not supported>,,instructions:u,0,100.00,,\n<not counted>,,cycles:u,0,0.00,,\n";
  expect(parsePerf(none)).toEqual({ instructions: null, cycles: null });
  expect(perfCommand("out", ["node", "x"]).slice(-3)).toEqual(["--", "node", "x"]);
});

test("results of another run: by label or path, and what is no result file", () => {
  const path = file(
    "old.jsonl",
    '{"kind":"bench","label":"old","started":"s"}\n{"kind":"summary","model":"m"}\n',
  );
  expect(readResults("old", folder)).toMatchObject({ label: "old", summaries: [{ model: "m" }] });
  expect(readResults(path, "elsewhere").summaries).toHaveLength(1);
  expect(() => readResults("older", folder)).toThrow(/older\.jsonl: no such run/);
  expect(() => readResults(file("x.jsonl", "{}\n"), folder)).toThrow(/not a result file/);
  expect(() => readResults(file("y.jsonl", "no\n"), folder)).toThrow(/not a result file/);
});
