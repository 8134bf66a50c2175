import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Terminal, UsageError } from "@voxquant/cli-core";
import { runCommand } from "../main.js";
import { runCli, type CliResult } from "../testing/cli.js";
import { MINI, SAMPLE } from "../testing/inputs.js";
import { SYNTHETIC_SIZES } from "./shapes.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-bench-cli-"));
const results = join(folder, "results");
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]): Promise<CliResult> {
  return runCli(["bench", "--results", results, "--cache", join(folder, "cache"), ...args]);
}

/** Keys that programs may rely on. */
const KEYS = [
  ...["model", "weights", "backend", "isa", "threads", "audio_s", "load_ms", "features_ms", "encoder_ms"],
  ...["prefill_ms", "prefill_tokens", "decode_ms_per_token", "decode_tokens", "total_ms", "rtf"],
  ...["peak_rss_bytes", "mapped_bytes", "file_bytes", "file_sha256", "cold_start_ms", "ttft_ms", "wall_ms"],
  ...["event_loop_delay_max_ms", "user_ms", "sys_ms", "minor_faults", "major_faults", "instructions"],
  ...["cycles", "private_bytes", "wer", "cer", "stars"],
];

test("a model in two types, compared with an earlier run", async () => {
  const args = ["--model", MINI, "--weights", "safetensors,q8_0", "--audio", SAMPLE, "--backend", "auto"];
  const first = await bench(...args, "--runs", "1", "--run-label", "first", "--json");
  expect(first).toMatchObject({ code: 0 });
  const summaries = first.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(summaries.map(({ weights }) => weights)).toEqual(["safetensors", "q8_0"]);
  for (const summary of summaries) {
    for (const key of KEYS) expect(summary).toHaveProperty(key);
    expect(summary).toMatchObject({
      model: "qwen3-asr-mini",
      runs: 1,
      wer: 0,
      wer_against: "float run",
      stars: 5,
    });
    expect(summary["total_ms"]).toBeGreaterThan(0);
    expect(summary["cold_start_ms"]).toBeGreaterThan(summary["load_ms"] as number);
    expect(summary["decode_tokens"]).toBeGreaterThan(1);
    expect(summary["file_sha256"]).toMatch(/^[0-9a-f]{64}$/);
  }
  expect(summaries[0]!["file_bytes"]).toBeGreaterThan(summaries[1]!["file_bytes"] as number);
  expect(readdirSync(results).sort()).toEqual(["first.html", "first.jsonl", "first.md"]);

  const reference = join(folder, "reference.txt");
  writeFileSync(reference, "wholly other words");
  const again = await bench(
    ...args,
    ...[
      "--weights",
      "q8_0",
      "--runs",
      "1",
      "--run-label",
      "second",
      "--compare",
      "first",
      "--reference",
      reference,
    ],
  );
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toMatch(/## Compared/);
  expect(again.stdout).toMatch(/against the reference/);
  expect(readFileSync(join(results, "second.md"), "utf8")).toBe(again.stdout);

  const refused = await bench(...args, "--run-label", "first");
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/first\.jsonl exists already/);
});

test("a scenario that fails leaves the others, and exit code 1", async () => {
  const broken = join(folder, "broken.gguf");
  writeFileSync(broken, "GGUF, but not really");
  const { code, stdout, stderr } = await bench(
    ...["--model", `${MINI},${broken}`, "--audio", SAMPLE, "--runs", "1", "--run-label", "broken"],
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(/broken\.gguf/);
  expect(stderr).toMatch(/1 of 2 scenarios failed/);
  expect(stdout).toMatch(/qwen3-asr-mini +\| safetensors/);
});

const NAMES = Object.keys(SYNTHETIC_SIZES).join(", ");
const wrong: [string[], string | RegExp][] = [
  [[], "no audio"],
  [["--audio", join(folder, "missing.wav")], "no such file"],
  [["--synthetic", "qwen9"], `"qwen9" is not known. Choose one of: ${NAMES}`],
  [["--synthetic", "qwen3-asr-0.6b", "--model", MINI], "--model cannot be used with --synthetic"],
  [["--synthetic", "qwen3-asr-0.6b", "--batch", "8", "--audio-seconds", "2"], "at least 6"],
  [["--synthetic", "qwen3-asr-0.6b", "--qtype", "q9"], /q9.*q4_0.*q8_0/],
  [["--audio", SAMPLE, "--context", "400"], "--context is for --synthetic"],
  [["--audio", SAMPLE, "--model", MINI, "--weights", "q9"], /q9.*q4_0.*q8_0/],
  [["--audio", SAMPLE, "--model", MINI, "--backend", "native,cuda"], /"cuda" is not known/],
  [["--audio", SAMPLE, "--model", MINI, "--threads", "1,x"], "--threads"],
  [["--audio", SAMPLE, "--model", MINI, "--runs", "0"], "--runs"],
  [["--audio", SAMPLE, "--model", MINI, "--run-label", "../x"], "--run-label"],
];

test.each(wrong)("asr-cli bench %j is no command line", async (args, message) => {
  const silent = { write: () => undefined };
  const session = { terminal: new Terminal(silent, silent), signal: new AbortController().signal, env: {} };
  const run = runCommand(["bench", "--results", join(folder, "none"), "--cache", folder, ...args], session);
  const error: unknown = await run.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toMatch(message);
  expect(existsSync(join(folder, "none"))).toBe(false);
});
