import { compareRuns } from "./compare.js";
import { formatHtml } from "./html.js";
import { formatMarkdown } from "./markdown.js";
import type { Metrics, Workload } from "./measurement.js";
import { stageTimes, ticks } from "./plots.js";
import type { BenchRun } from "./results-file.js";
import type { RunResult } from "./run-child.js";
import type { Scenario } from "./scenario.js";
import { summarize, type Measured, type Summary } from "./summary.js";

const METRICS: Metrics = {
  cold_start_ms: 400,
  load_ms: 100,
  warmup_ms: 900,
  audio_ms: 10,
  features_ms: 20,
  encoder_ms: 200,
  prefill_ms: 100,
  prefill_tokens: 405,
  decode_ms: 600,
  decode_tokens: 61,
  decode_context: null,
  decode_ms_per_token: 10,
  total_ms: 1000,
  rtf: 0.1,
  ttft_ms: 340,
  event_loop_max_ms: 12,
  user_ms: 1800,
  sys_ms: 20,
  peak_rss_bytes: 9e8,
  private_bytes: 1e8,
  mapped_bytes: 8e8,
  minor_faults: 1000,
  major_faults: 2,
  instructions: null,
  cycles: null,
  wall_ms: 2500,
};

function measured(
  weights: string,
  types: string,
  totals: readonly number[],
  texts: string[],
  kind: Workload["kind"] = "files",
): Measured {
  const scenario = {
    model: "<model> | x",
    weights,
    job: { backend: "native", precision: "fast", workload: { kind } },
    files: [],
    fileBytes: types.startsWith("BF16") ? 2e9 : 1e9,
  } as unknown as Scenario;
  const results = totals.map((total): RunResult => ({
    metrics: { ...METRICS, total_ms: total, rtf: total / 10_000 },
    backend: "native",
    isa: "avx2",
    threads: 2,
    weightTypes: types,
    audioSeconds: 10,
    texts,
    languages: texts.map(() => "English"),
    note: null,
  }));
  return { scenario, results };
}

const FLOAT = measured("safetensors", "BF16", [1000, 1200, 1100], ["alpha beta gamma delta"]);
const QUANTIZED = measured("q4_0", "Q4_0 with F16", [700, 500, 600], ["alpha beta gamma delts"]);

function runOf(summaries: readonly Summary[]): BenchRun {
  const machine = {
    cpu: "A <fast> CPU",
    cores: 2,
    governor: null,
    memory_bytes: 8e9,
    system: "linux",
    node: "v20",
    commit: null,
    load_average: 1.5,
    noisy: true,
  };
  return { label: "today", started: "2025-01-01T00:00:00Z", machine, summaries };
}

test("medians, spread, and what could not be measured", () => {
  const [float, quantized] = summarize([FLOAT, QUANTIZED], null, "warm");
  expect(float).toMatchObject({ total_ms: 1100, min: { total_ms: 1000 }, max: { total_ms: 1200 }, runs: 3 });
  expect(quantized).toMatchObject({ total_ms: 600, rtf: 0.06, file_bytes: 1e9, instructions: null });
  expect(quantized!.p95.total_ms).toBeCloseTo(690);
  expect(quantized!.cv.total_ms).toBeCloseTo(1 / 6);
  expect("instructions" in quantized!.min).toBe(false);
});

test("errors count against the reference, else against the float run; stars by what was added", () => {
  const [float, quantized] = summarize([FLOAT, QUANTIZED], null, "warm");
  expect(float).toMatchObject({ wer: 0, wer_against: "float run", stars: 5 });
  expect(quantized).toMatchObject({ wer: 0.25, wer_against: "float run", stars: 0 });
  // Both have an error against what was said: quantizing added none.
  const [, other] = summarize([FLOAT, QUANTIZED], ["Alpha, beta, gamma eta."], "warm");
  expect(other).toMatchObject({ wer: 0.25, wer_against: "reference", stars: 5 });
  expect(summarize([QUANTIZED], null, "warm")[0]).toMatchObject({
    wer: null,
    stars: null,
    wer_against: null,
  });
  expect(summarize([QUANTIZED], ["alpha beta gamma delta"], "warm")[0]).toMatchObject({
    wer: 0.25,
    stars: null,
  });
  const synthetic = measured("q4_0", "Q4_0", [1], ["x"], "synthetic");
  expect(summarize([synthetic], null, "warm")[0]).toMatchObject({ wer: null, cer: null, stars: null });
});

test("texts that differ between runs are noted", () => {
  const [first, ...rest] = FLOAT.results;
  const unsteady = { ...FLOAT, results: [{ ...first!, texts: ["other"] }, ...rest] };
  expect(summarize([unsteady], null, "warm")[0]!.note).toMatch(/different texts/);
  expect(summarize([FLOAT], null, "warm")[0]!.note).toBeNull();
});

test("comparison: ratios, and what got worse beyond its tolerance", () => {
  const before = summarize([FLOAT], null, "warm");
  const [same] = compareRuns(before, before);
  expect(same).toMatchObject({ worse: [], ratios: { total_ms: 1, peak_rss_bytes: 1 } });
  const now = before.map((summary) => ({ ...summary, total_ms: 1200, peak_rss_bytes: 9.1e8, wer: 0.01 }));
  const [worse] = compareRuns(now, before);
  expect(worse!.ratios.total_ms).toBeCloseTo(1200 / 1100);
  expect(worse!.worse).toEqual(["time", "errors"]);
  const elsewhere = before.map((summary) => ({ ...summary, threads: 1 }));
  expect(compareRuns(now, elsewhere)[0]).toMatchObject({
    before: null,
    worse: [],
    ratios: { total_ms: null },
  });
});

test("reports name the machine and the method and escape what comes from outside", () => {
  const run = runOf(summarize([FLOAT, QUANTIZED], null, "cold"));
  const comparison = compareRuns(run.summaries, run.summaries);
  const markdown = formatMarkdown(run, comparison);
  expect(markdown).toContain("NOISY");
  expect(markdown).toContain("cold file cache");
  expect(markdown).toContain("600 ms (500 ms–700 ms)");
  expect(markdown).toContain("★★★★★");
  expect(markdown).toContain("<model> \\| x");
  const rows = markdown.split("\n").filter((line) => line.startsWith("|"));
  expect(rows).toHaveLength(4 * 4);
  const html = formatHtml(run, comparison);
  expect(html).toContain("A &lt;fast&gt; CPU");
  expect(html).not.toMatch(/<model>|<script|<link|src=|https?:/);
  expect(html.match(/<svg /g)).toHaveLength(2);
  expect(html.match(/<circle /g)).toHaveLength(2);
});

test("stages add up to the total", () => {
  const [float] = summarize([FLOAT], null, "warm");
  const stages = stageTimes(float!);
  expect(stages.map(({ stage }) => stage)).toEqual([
    "audio",
    "features",
    "encoder",
    "prefill",
    "decode",
    "other",
  ]);
  expect(stages.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(float!.total_ms);
});

test.each([
  [11.2, 6, [0, 2, 4, 6, 8, 10, 12]],
  [1, 4, [0, 0.25, 0.5, 0.75, 1]],
  [0, 4, [0]],
])("ticks up to %d", (max, count, expected) => {
  const found = ticks(max, count);
  expect(found.slice(0, expected.length)).toEqual(expected.map((value) => expect.closeTo(value)));
  expect(found.at(-1)).toBeGreaterThanOrEqual(max);
});
