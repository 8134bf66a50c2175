import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository, runCli } from "./testing/cli.js";

const MINI = join(repository, "models/qwen3-tts-mini");
const ASR_MINI = join(repository, "models/qwen3-asr-mini");

const folder = mkdtempSync(join(tmpdir(), "voxquant-tts-cli-"));
const gguf = join(folder, "mini.gguf");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  const { code, stdout } = await runCli(["quantize", "-i", MINI, "-o", gguf]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/mini\.gguf: .* MB, .* % of/);
  expect(stdout).toMatch(/BF16 -> Q8_0/);
});

/** Fails with this exit code, a message and nothing on stdout; no stack of an unforeseen error. */
async function refuses(code: number, args: readonly string[], ...messages: RegExp[]): Promise<void> {
  const result = await runCli(args);
  for (const message of messages) expect(result.stderr).toMatch(message);
  expect(result.stderr).not.toMatch(/unexpected error| {4}at /);
  expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: "" });
}

test("voices of a folder and of the file made of it", async () => {
  const table = await runCli(["voices", "--model", MINI]);
  expect(table).toMatchObject({ code: 0, stderr: "" });
  expect(table.stdout).toMatch(/^speaker +dialect +id\nleo +- +\d+\nava +- +\d+\nlanguages: auto, english\n/);
  const { stdout } = await runCli(["voices", "--model", gguf, "--json"]);
  const config = JSON.parse(readFileSync(join(MINI, "config.json"), "utf8")) as {
    talker_config: { spk_id: Record<string, number> };
  };
  const speakers = Object.entries(config.talker_config.spk_id).map(([name, id]) => ({ name, id }));
  expect(JSON.parse(stdout)).toMatchObject({
    location: gguf,
    variant: "custom_voice",
    speakers,
    languages: ["auto", "english"],
    canClone: false,
  });
});

test("models list and check; those of the other program are named", async () => {
  const list = await runCli(["models", "list", "--root", "models"]);
  expect(list).toMatchObject({
    code: 0,
    stdout:
      "qwen3-asr-mini: Qwen3-ASR, for asr-cli\nqwen3-tts-mini: OK (safetensors: 1 file(s), gguf: - (0))\n",
  });
  const ready = await runCli(["models", "check", "--model", gguf]);
  expect(ready.code).toBe(0);
  expect(ready.stdout).toMatch(/model: Qwen3-TTS\n(.|\n)*talker gguf: (.|\n)*synthesize=OK/);
  const half = join(folder, "half");
  cpSync(MINI, half, { recursive: true });
  rmSync(join(half, "speech_tokenizer"), { recursive: true });
  const missing = await runCli(["models", "check", "--model", half]);
  expect(missing.code).toBe(1);
  expect(missing.stdout).toMatch(/problem: .*speech_tokenizer(.|\n)*synthesize=NO/);
});

test("inspect shows header, types and memory", async () => {
  const { code, stdout } = await runCli(["inspect", gguf]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/general\.architecture +string +"qwen3-tts"/);
  expect(stdout).toMatch(/Q8_0 +\d+ +[\d,]+ +[\d.]+ MB +8\.50/);
  expect(stdout).toMatch(/memory for 2048 tokens: .*key-value cache [1-9]/);
});

test("what cannot be used is refused, with the command to use instead", async () => {
  await refuses(1, ["voices", "--model", ASR_MINI], /Qwen3-ASR model/, /asr-cli/);
  const output = join(folder, "asr.gguf");
  await refuses(1, ["quantize", "-i", ASR_MINI, "-o", output], /Qwen3-ASR model/, /asr-cli quantize/);
  await refuses(
    1,
    ["voices", "--model", join(folder, "none")],
    /none: no such file or folder.*qwen3-tts-0\.6b-base/,
  );
  await refuses(1, ["quantize", "-i", MINI, "-o", gguf], /mini\.gguf exists already.*--force/);
  await refuses(
    2,
    ["quantize", "-i", MINI, "-o", output, "--layout", "llama.cpp"],
    /Unknown argument: layout/,
  );
  await refuses(2, ["models", "download", "qwen3-asr-0.6b"], /Choose one of qwen3-tts-0\.6b-customvoice, /);
  await refuses(
    2,
    [],
    /Choose one of: synthesize, voices, quantize, validate, inspect, models, bench\nsee: tts-cli --help/,
  );
});
