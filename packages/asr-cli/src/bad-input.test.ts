import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "./testing/cli.js";
import { MINI, SAMPLE, copyConfig, copyModel, wav, writeSparseTensor, writeText } from "./testing/inputs.js";

const root = mkdtempSync(join(tmpdir(), "voxquant-bad-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Fails with exit code 1, a message and nothing on stdout; no stack of an unforeseen error. */
async function refuses(args: readonly string[], ...messages: RegExp[]): Promise<void> {
  const { code, stdout, stderr } = await runCli(args);
  for (const message of messages) expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/unexpected error| {4}at /);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
}

const transcribe = (model: string, ...more: string[]): string[] => [
  "transcribe",
  SAMPLE,
  "--model",
  model,
  ...more,
];

/** A new model folder, changed by `change`. */
function model(name: string, change: (folder: string) => void): string {
  const folder = copyModel(join(root, name));
  change(folder);
  return folder;
}

function changeConfig(
  folder: string,
  change: (config: { thinker_config: Record<string, Record<string, unknown>> }) => void,
): void {
  const path = join(folder, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as {
    thinker_config: Record<string, Record<string, unknown>>;
  };
  change(config);
  writeFileSync(path, JSON.stringify(config));
}

describe("models", () => {
  test("missing folder or file", async () => {
    await refuses(transcribe(join(root, "nowhere")), /nowhere: no such file or folder/, /qwen3-asr-0\.6b/);
    await refuses(["transcribe", join(root, "nowhere.wav"), "--model", MINI], /nowhere\.wav: no such file/);
    await refuses(["quantize", "-i", join(root, "nowhere"), "-o", join(root, "x.gguf")], /nowhere/);
  });

  test("a model of another family is named, with the command to use", async () => {
    const folder = model("tts", (tts) => writeText(join(tts, "config.json"), '{"model_type": "qwen3_tts"}'));
    await refuses(transcribe(folder), /Qwen3-TTS model/, /tts-cli/);
    await refuses(
      ["quantize", "-i", folder, "-o", join(root, "x.gguf")],
      /Qwen3-TTS model/,
      /tts-cli quantize/,
    );
  });

  test("missing shard", async () => {
    const folder = copyConfig(join(root, "shards"));
    const weight_map = { "thinker.model.norm.weight": "model-00001-of-00002.safetensors" };
    writeText(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    await refuses(transcribe(folder), /model-00001-of-00002\.safetensors/);
    await refuses(
      ["quantize", "-i", folder, "-o", join(root, "x.gguf")],
      /model-00001-of-00002\.safetensors/,
    );
  });

  test("missing tokenizer, weights, config or config field", async () => {
    await refuses(
      transcribe(model("tokenizer", (folder) => rmSync(join(folder, "vocab.json")))),
      /vocab\.json/,
    );
    await refuses(transcribe(copyConfig(join(root, "no-weights"))), /safetensors|weights/);
    await refuses(
      transcribe(model("no-config", (folder) => rmSync(join(folder, "config.json")))),
      /config\.json is missing/,
    );
    const field = model("field", (folder) =>
      changeConfig(
        folder,
        ({ thinker_config }) => delete thinker_config["text_config"]!["num_hidden_layers"],
      ),
    );
    await refuses(transcribe(field), /num_hidden_layers/);
  });

  test("truncated and foreign files", async () => {
    const truncated = model("truncated", (folder) => {
      const path = join(folder, "model.safetensors");
      writeFileSync(path, readFileSync(path).subarray(0, 1_000_000));
    });
    await refuses(transcribe(truncated), /model\.safetensors/);
    const zip = join(root, "zip.gguf");
    writeFileSync(zip, Buffer.concat([Buffer.from("PK\u0003\u0004"), Buffer.alloc(200)]));
    await refuses(transcribe(zip), /zip\.gguf/, /zip/i);
    await refuses(["inspect", zip], /zip\.gguf/);
    const html = join(root, "page.gguf");
    writeFileSync(html, "<!DOCTYPE html><html><body>Not found</body></html>");
    await refuses(["inspect", html], /page\.gguf.*web page/);
  });

  test("several .gguf files: the known name is taken and said, none known is an error", async () => {
    const one = join(root, "one.gguf");
    expect((await runCli(["quantize", "-i", MINI, "-o", one, "--scope", "all", "--quiet"])).code).toBe(0);
    const several = model("several", (folder) => {
      for (const name of ["model-q8_0.gguf", "other.gguf"]) copyFileSync(one, join(folder, name));
    });
    const chosen = await runCli(transcribe(several));
    expect(chosen.stderr).toMatch(/model-q8_0\.gguf/);
    expect(chosen).toMatchObject({ code: 0, stdout: "Turn on the kitchen light.\n" });
    const unknown = join(root, "unknown");
    mkdirSync(unknown);
    for (const name of ["a.gguf", "b.gguf"]) copyFileSync(one, join(unknown, name));
    await refuses(transcribe(unknown), /several \.gguf files \(a\.gguf, b\.gguf\)/);
  });

  test("too large for WASM, or for the memory that may be used: said before loading", async () => {
    const huge = copyConfig(join(root, "huge"));
    writeSparseTensor(join(huge, "model.safetensors"), "thinker.model.embed_tokens.weight", [1 << 20, 2560]);
    await refuses(
      transcribe(huge, "--backend", "wasm", "--memory-limit", "100GB"),
      /WASM can address 4 GiB/,
      /native/,
    );
    await refuses(
      transcribe(huge, "--memory-limit", "1GB"),
      /is estimated to need .* GB of memory/,
      /limit is 1\.\d* GB/,
    );
    await refuses(transcribe(MINI, "--memory-limit", "1MB"), /is estimated to need/);
  });

  test("unknown language", async () => {
    await refuses(transcribe(MINI, "--language", "Klingon"), /Klingon/, /English/);
  });
});

describe("audio", () => {
  const audio = (name: string, content: Uint8Array): string => {
    const path = join(root, name);
    writeFileSync(path, content);
    return path;
  };

  test.each([
    ["empty.wav", new Uint8Array(0), /empty/i],
    ["no-samples.wav", wav([]), /no-samples\.wav|no audio|no samples/i],
    ["short.wav", wav(new Float32Array(200)), /200 samples|too short/i],
    ["blink.wav", wav(new Float32Array(320).fill(0.1)), /blink\.wav: .*too short: 320 samples/],
    ["nan.wav", wav(new Float32Array(16_000).fill(NaN), true), /NaN|not finite|not numbers/i],
    ["noise.mp3", Buffer.from("this is no audio at all, whatever its name says"), /noise\.mp3/],
  ])("%s", async (name, content, message) => {
    await refuses(["transcribe", audio(name, content), "--model", MINI], message);
  });

  test("output that cannot be written, and a full disk", async () => {
    await refuses(
      transcribe(MINI, "--output", join(MINI, "config.json", "x.txt")),
      /x\.txt cannot be written/,
    );
    await refuses(
      transcribe(MINI, "--output", MINI, "--format", "json", "--trace", join(MINI, "config.json", "x")),
      /cannot be written/,
    );
    const text = join(root, "full.json");
    const { code, stderr } = await runCli(transcribe(MINI, "--output", text, "--json", "--quiet"), {
      fileLimit: 0,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/full\.json could not be written, nothing was left there/);
  });
});
