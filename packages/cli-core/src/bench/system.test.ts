import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { underClocks } from "./child.js";
import { digestOf, readDigests } from "./file-cache.js";
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

test("the event loop's longest delay counts also where the work begins or ends with it", async () => {
  const { metrics } = await underClocks(() => {
    const end = performance.now() + 60;
    while (performance.now() < end);
    return Promise.resolve();
  });
  expect(metrics.event_loop_delay_max_ms).toBeGreaterThan(50);
});

test("one digest for a file, one for several in whatever order", async () => {
  const [a, b] = [file("a.safetensors", "abc"), file("b.safetensors", "")];
  const digests = await readDigests([b, a], new AbortController().signal);
  const ofA = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, appendix B.1
  expect(digestOf([a], digests)).toBe(ofA);
  // sha256sum a.safetensors b.safetensors | sha256sum
  expect(digestOf([b, a], digests)).toBe("d2d04e7d28b904f67fba46ec8a63649be04d39b956a8383039d8798ffd8ae516");
  expect(digestOf([a, b], digests)).toBe(digestOf([b, a], digests));
  expect(digestOf([], digests)).toBeNull();
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
