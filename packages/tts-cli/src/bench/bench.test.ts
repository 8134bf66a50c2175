import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Terminal, UsageError, type Measured } from "@voxquant/cli-core";
import { runCommand } from "../main.js";
import { repository, runCli } from "../testing/cli.js";
import type { TtsBench } from "./measurement.js";
import { judgeSpeech } from "./quality.js";
import { SYNTHETIC_SIZES } from "./shapes.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-bench-tts-"));
const results = join(folder, "results");
afterAll(() => rmSync(folder, { recursive: true }));

const MINI = join(repository, "models", "qwen3-tts-mini");
const RECOGNIZER = join(repository, "models", "qwen3-asr-mini");

/** Keys that programs may rely on. */
const KEYS = [
  ...["model", "weights", "backend", "isa", "threads", "audio_s", "load_ms", "prompt_ms", "prompt_tokens"],
  ...["talker_ms_per_frame", "predictor_ms_per_frame", "codec_ms_per_frame", "first_audio_ms", "frames"],
  ...["total_ms", "rtf", "peak_rss_bytes", "mapped_bytes", "file_bytes", "wer"],
];

test("a model in two batch sizes, listened to", async () => {
  if (!existsSync(MINI) || !existsSync(RECOGNIZER)) return;
  const { code, stdout, stderr } = await runCli([
    ...["bench", "--model", MINI, "--weights", "safetensors", "--batch", "1,2", "--runs", "1", "--json"],
    ...["--text", "Volume up.", "--text", "What time is it?", "--temperature", "0", "--speaker", "ava"],
    ...["--recognizer", RECOGNIZER, "--results", results, "--cache", folder, "--run-label", "first"],
  ]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  const summaries = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(summaries.map(({ weights, batch }) => [weights, batch])).toEqual([
    ["safetensors", 1],
    ["safetensors", 2],
  ]);
  for (const summary of summaries) {
    for (const key of KEYS) expect(summary).toHaveProperty(key);
    expect(summary).toMatchObject({ wer: 0, stars: 5, note: null });
    expect(summary["frames"]).toBeGreaterThan(10);
    expect(summary["audio_s"]).toBeCloseTo((summary["frames"] as number) / 12.5, 1);
    expect(summary["talker_ms_per_frame"]).toBeGreaterThan(0);
    expect(summary["first_audio_ms"] === null).toBe(summary["batch"] === 2);
  }
  const [float, together] = summaries;
  expect(float).toMatchObject({ code_agreement: 1, length_ratio: 1 });
  expect(together!["frames"]).toBe(float!["frames"]);
  expect(float!["prompt_tokens"]).toBeGreaterThan(20);
  expect(readdirSync(results).sort()).toEqual(["first.html", "first.jsonl", "first.md"]);
});

const NAMES = Object.keys(SYNTHETIC_SIZES).join(", ");
const wrong: [string[], string | RegExp][] = [
  [[], "no text"],
  [["--synthetic", "qwen9"], `"qwen9" is not known. Choose one of: ${NAMES}`],
  [["--synthetic", "qwen3-tts-0.6b", "--model", MINI], "--model cannot be used with --synthetic"],
  [["--synthetic", "qwen3-tts-0.6b", "--recognizer", MINI], "--recognizer cannot be used with --synthetic"],
  [["--synthetic", "qwen3-tts-0.6b", "--text-tokens", "301"], "--text-tokens"],
  [["--synthetic", "qwen3-tts-0.6b", "--qtype", "q9"], /q9.*q4_0.*q8_0/],
  [["--text", "One.", "--frames", "10"], "--frames is for --synthetic"],
  [["--text", "One.", "--model", MINI, "--batch", "0"], "--batch"],
  [["--text", "One.", "--model", MINI, "--weights", "q9"], /q9.*q4_0.*q8_0/],
];

test.each(wrong)("tts-cli bench %j is no command line", async (args, message) => {
  const silent = { write: () => undefined };
  const session = { terminal: new Terminal(silent, silent), signal: new AbortController().signal, env: {} };
  const run = runCommand(["bench", "--results", join(folder, "none"), "--cache", folder, ...args], session);
  const error: unknown = await run.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toMatch(message);
});

test("speech is judged by what is heard and by the codes of the float run", () => {
  const entry = (codes: number[][], heard: string[] | null): Measured<TtsBench> => {
    const workload = { kind: "texts", texts: ["One two three four.", "Five."] };
    return { scenario: { job: { workload } }, results: [{ detail: { codes, groups: 2, heard } }] } as never;
  };
  const float = entry(
    [
      [1, 2, 3, 4],
      [5, 6],
    ],
    ["one two three four", "five"],
  );
  const other = entry(
    [
      [1, 2, 3, 9],
      [5, 6, 7, 8],
    ],
    ["One two tree four!", "five"],
  );
  expect(judgeSpeech(other, float)).toEqual({
    wer: 1 / 5,
    cer: expect.closeTo(1 / 22, 1) as number,
    code_agreement: 5 / 8,
    length_ratio: 8 / 6,
    stars: 0,
  });
  expect(judgeSpeech(entry([[1, 2]], null), null)).toEqual({
    wer: null,
    cer: null,
    code_agreement: null,
    length_ratio: null,
    stars: null,
  });
});
