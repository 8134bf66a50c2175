import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT_USAGE, Terminal, UsageError, exitCodeOf } from "@voxquant/cli-core";
import { runCommand } from "./main.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-usage-"));
const audio = join(folder, "a.wav");
writeFileSync(audio, "");
afterAll(() => rmSync(folder, { recursive: true }));

async function run(...args: string[]): Promise<unknown> {
  const silent = { write: () => undefined };
  const terminal = new Terminal(silent, silent);
  try {
    await runCommand(args, { terminal, signal: new AbortController().signal, env: {} });
    return null;
  } catch (error) {
    return error;
  }
}

/** Command lines that cannot be understood: exit code 2, and a message that says what is possible. */
const wrong: [string[], RegExp][] = [
  [[], /what should be done\? Choose one of: transcribe, quantize/],
  [["transcript"], /Unknown (argument|command): transcript/],
  [["transcribe", audio, "--model", "m", "--fast"], /Unknown argument: fast/],
  [["transcribe", audio, "--model"], /Not enough arguments following: model/],
  [["transcribe", "--model", "m"], /no audio/],
  [["transcribe", join(folder, "*.mp3"), "--model", "m"], /no file matches .*\*\.mp3/],
  [
    ["transcribe", audio, "--model", "m", "--format", "xml"],
    /--format "xml" is not known. Choose one of: text, json, srt, vtt, lrc, csv/,
  ],
  [
    ["transcribe", audio, "--model", "m", "--backend", "cuda"],
    /Choose one of: auto, native, wasm, cpu, tensorflow/,
  ],
  [
    ["transcribe", audio, "--model", "m", "--decoder-weights", "bin"],
    /Choose one of: auto, safetensors, gguf/,
  ],
  [
    ["transcribe", audio, "--model", "m", "--decoder-weights", "safetensors", "--decoder-gguf", "x.gguf"],
    /contradicts/,
  ],
  [
    ["transcribe", audio, "--model", "m", "--threads", "many"],
    /--threads "many" is not a whole number of 1 to 1024/,
  ],
  [
    ["transcribe", audio, "--model", "m", "--segment-seconds", "0"],
    /--segment-seconds "0" is not a number of 1 to 1200/,
  ],
  [["transcribe", audio, "--model", "m", "--memory-limit", "much"], /--memory-limit "much" is not a size/],
  [["transcribe", audio, "--model", "m", "--model", "n"], /given more than once: m, n/],
  [["transcribe", audio, "--model", "m", "--timestamps", "word"], /needs --aligner/],
  [["transcribe", audio, audio, "--model", "m", "--format", "srt"], /needs a folder to write to/],
  [["transcribe", audio, audio, "--model", "m", "--trace", "t.safetensors"], /--trace is for one input/],
  [["transcribe", "-", "-", "--model", "m"], /stdin \(-\) can be read only once/],
  [["transcribe", "--stream", audio, "--model", "m"], /only "-"/],
  [["transcribe", audio, "--stream", "-", "--model", "m"], /give no files/],
  [["transcribe", "--stream", "-", "--model", "m", "--format", "srt"], /--stream prints text/],
  [["quantize", "--output", "o.gguf"], /Missing required argument: input/],
  [["quantize", "-i", folder, "-o", "o.gguf", "--qtype", "q9"], /q9.*q4_0.*q8_0/],
  [["quantize", "-i", folder, "-o", "o.gguf", "--tensor-type", "q4_0"], /is not REGEX=TYPE/],
  [["quantize", "-i", folder, "-o", "o.gguf", "--tensor-type", "head=q9"], /q9.*q4_0.*q8_0/],
  [["quantize", "-i", folder, "-o", "o.gguf", "--tensor-type", "(=q4_0"], /Invalid regular expression/],
  [["quantize", "-i", folder, "-o", "o.gguf", "--layout", "onnx"], /Choose one of: checkpoint, llama.cpp/],
  [["inspect"], /Not enough non-option arguments/],
  [["inspect", "x.gguf", "--context", "-5"], /context/],
  [["models"], /Choose one of: list, check, download/],
  [
    ["models", "download", "whatever"],
    /Choose one of qwen3-asr-0.6b, qwen3-asr-1.7b, qwen3-forced-aligner-0.6b/,
  ],
  [["models", "download", "../x/y"], /no model that can be downloaded/],
  [["models", "download", "a/.."], /no model that can be downloaded/],
  [["imatrix", "-o", "m.gguf"], /no audio/],
];

test.each(wrong)("asr-cli %j", async (args, message) => {
  const error = await run(...args);
  expect(error).toBeInstanceOf(Error);
  expect((error as Error).message).toMatch(message);
  expect(error).toBeInstanceOf(UsageError);
  expect(exitCodeOf(error)).toBe(EXIT_USAGE);
});

test("what is missing or unreadable is no matter of the command line", async () => {
  for (const args of [
    ["transcribe", join(folder, "missing.wav"), "--model", "m"],
    ["transcribe", audio, "--model", join(folder, "missing")],
    ["models", "check", "--model", join(folder, "missing")],
    ["models", "list", "--root", join(folder, "missing")],
    ["inspect", join(folder, "missing.gguf")],
  ]) {
    const error = await run(...args);
    expect((error as Error).message).toMatch(/missing(\.wav|\.gguf)?: /);
    expect(exitCodeOf(error)).toBe(1);
  }
});

test("a model that was not downloaded yet is told how to get", async () => {
  const terminal = new Terminal({ write: () => undefined }, { write: () => undefined });
  const session = { terminal, signal: new AbortController().signal, env: { HF_HUB_CACHE: folder } };
  await expect(runCommand(["transcribe", audio, "--model", "qwen3-asr-0.6b"], session)).rejects.toThrow(
    /not downloaded yet: run "asr-cli models download qwen3-asr-0.6b"/,
  );
});
