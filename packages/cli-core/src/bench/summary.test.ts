import { compareRuns } from "./compare.js";
import { formatHtml } from "./html.js";
import { duration, formatMarkdown, percent, starText } from "./markdown.js";
import type { BenchJob, CommonMetrics, Measured, RunResult } from "./measurement.js";
import { stageTimes, ticks } from "./plots.js";
import type { Report } from "./report.js";
import type { BenchRun } from "./results-file.js";
import { summarize, type Judge, type Summary } from "./summary.js";

/** A bench of two stages whose quality is a rate of errors. */
interface ToyBench {
  job: BenchJob;
  stages: { readonly read_ms: number; readonly write_ms: number | null };
  detail: { readonly words: readonly string[] };
  quality: { readonly errors: number | null };
}

const COMMON: CommonMetrics = {
  cold_start_ms: 400,
  load_ms: 100,
  warmup_ms: 900,
  total_ms: 1000,
  rtf: 0.1,
  event_loop_delay_max_ms: 12,
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

const REPORT: Report<ToyBench> = {
  qualityColumns: [{ title: "errors", cell: ({ errors }) => percent(errors) }],
  stageColumns: [{ title: "read", cell: ({ read_ms }) => duration(read_ms) }],
  stages: [
    { name: "read", metric: "read_ms" },
    { name: "write", metric: "write_ms" },
  ],
  compared: ["total_ms", "read_ms", "peak_rss_bytes"],
  worse: (now, before) => ((now.errors ?? 0) > (before.errors ?? 0) ? ["errors"] : []),
  pointNote: ({ errors }) => (errors === null ? "" : `errors ${percent(errors)}`),
  method: () => "Errors against the float run.",
};

/** The share of words that the float run has otherwise; all stars or none. */
const JUDGE: Judge<ToyBench> = ({ results }, baseline) => {
  if (baseline === null) return { errors: null, stars: null };
  const expected = baseline.results[0]!.detail.words;
  const wrong = results[0]!.detail.words.filter((word, i) => word !== expected[i]).length;
  return { errors: wrong / expected.length, stars: wrong === 0 ? 5 : 0 };
};

function measured(
  weights: string,
  types: string,
  totals: readonly number[],
  words: string[],
): Measured<ToyBench> {
  const results = totals.map((total): RunResult<ToyBench> => ({
    metrics: { ...COMMON, total_ms: total, rtf: total / 10_000, read_ms: 300, write_ms: 600 },
    backend: "native",
    isa: "avx2",
    threads: 2,
    weightTypes: types,
    audioSeconds: 10,
    detail: { words },
    note: null,
  }));
  const job: BenchJob = { backend: "native", threads: null, precision: "fast" };
  const fileBytes = types.startsWith("BF16") ? 2e9 : 1e9;
  return {
    scenario: { model: "<model> | x", weights, job, files: [], fileBytes },
    fileSha256: "0".repeat(64),
    results,
  };
}

const FLOAT = measured("safetensors", "BF16", [1000, 1200, 1100], ["alpha", "beta", "gamma", "delta"]);
const QUANTIZED = measured("q4_0", "Q4_0 with F16", [700, 500, 600], ["alpha", "beta", "gamma", "delts"]);

function runOf(summaries: readonly Summary<ToyBench>[]): BenchRun<ToyBench> {
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
  const [float, quantized] = summarize([FLOAT, QUANTIZED], "warm", JUDGE);
  expect(float).toMatchObject({ total_ms: 1100, min: { total_ms: 1000 }, max: { total_ms: 1200 }, runs: 3 });
  expect(quantized).toMatchObject({
    total_ms: 600,
    rtf: 0.06,
    file_bytes: 1e9,
    file_sha256: "0".repeat(64),
    instructions: null,
  });
  expect(quantized!.p95.total_ms).toBeCloseTo(690);
  expect(quantized!.cv.total_ms).toBeCloseTo(1 / 6);
  expect("instructions" in quantized!.min).toBe(false);
});

test("the judge gets the float run of the same model", () => {
  const [float, quantized] = summarize([FLOAT, QUANTIZED], "warm", JUDGE);
  expect(float).toMatchObject({ errors: 0, stars: 5 });
  expect(quantized).toMatchObject({ errors: 0.25, stars: 0 });
  expect(summarize([QUANTIZED], "warm", JUDGE)[0]).toMatchObject({ errors: null, stars: null });
});

test("results that differ between runs are noted", () => {
  const [first, ...rest] = FLOAT.results;
  const unsteady = { ...FLOAT, results: [{ ...first!, detail: { words: ["other"] } }, ...rest] };
  expect(summarize([unsteady], "warm", JUDGE)[0]!.note).toMatch(/different results/);
  expect(summarize([FLOAT], "warm", JUDGE)[0]!.note).toBeNull();
});

test("comparison: ratios, and what got worse beyond its tolerance", () => {
  const before = summarize([FLOAT], "warm", JUDGE);
  const [same] = compareRuns(before, before, REPORT);
  expect(same).toMatchObject({ worse: [], ratios: { total_ms: 1, peak_rss_bytes: 1 } });
  const now = before.map((summary) => ({ ...summary, total_ms: 1200, peak_rss_bytes: 9.1e8, errors: 0.01 }));
  const [worse] = compareRuns(now, before, REPORT);
  expect(worse!.ratios.total_ms).toBeCloseTo(1200 / 1100);
  expect(worse!.worse).toEqual(["time", "errors"]);
  const elsewhere = before.map((summary) => ({ ...summary, threads: 1 }));
  expect(compareRuns(now, elsewhere, REPORT)[0]).toMatchObject({
    before: null,
    worse: [],
    ratios: { total_ms: null },
  });
});

test("reports name the machine and the method and escape what comes from outside", () => {
  const run = runOf(summarize([FLOAT, QUANTIZED], "cold", JUDGE));
  const comparison = compareRuns(run.summaries, run.summaries, REPORT);
  const markdown = formatMarkdown(run, comparison, REPORT);
  expect(markdown).toContain("NOISY");
  expect(markdown).toContain("cold file cache");
  expect(markdown).toContain("600 ms (500 ms–700 ms)");
  expect(markdown).toContain("★★★★★");
  expect(markdown).toContain("<model> \\| x");
  const rows = markdown.split("\n").filter((line) => line.startsWith("|"));
  expect(rows).toHaveLength(4 * 4);
  const html = formatHtml(run, comparison, REPORT);
  expect(html).toContain("A &lt;fast&gt; CPU");
  expect(html).not.toMatch(/<model>|<script|<link|src=|https?:/);
  expect(html.match(/<svg /g)).toHaveLength(2);
  expect(html.match(/<circle /g)).toHaveLength(2);
});

test("stages add up to the total", () => {
  const [float] = summarize([FLOAT], "warm", JUDGE);
  const stages = stageTimes(float!, REPORT);
  expect(stages.map(({ stage }) => stage)).toEqual(["read", "write", "other"]);
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

test("stars", () => expect(starText(2)).toBe("★★☆☆☆"));
