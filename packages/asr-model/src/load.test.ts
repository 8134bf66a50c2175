import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  BackendError,
  ConfigError,
  openModelFiles,
  quantizeCheckpoint,
  ResourceError,
} from "@voxquant/quant-core";
import { loadAsrModel, loadForcedAligner, type LoadAsrOptions } from "./load.js";
import { qwen3AsrQuantizeProfile } from "./qwen3-asr/quantize-profile.js";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const MINI = join(repository, "models/qwen3-asr-mini");
const SAMPLE = join(repository, "samples/kitchen-light-en.wav");
const SAID = "Turn on the kitchen light.";

const root = mkdtempSync(join(tmpdir(), "voxquant-load-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
function folder(): string {
  const path = join(root, String(made++));
  mkdirSync(path);
  return path;
}

/** A copy of the mini model without some of its files. */
function copyWithout(...names: string[]): string {
  const path = folder();
  cpSync(MINI, path, { recursive: true });
  for (const name of names) rmSync(join(path, name));
  return path;
}

function withConfig(change: (config: Record<string, unknown>) => void): string {
  const path = copyWithout();
  const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as Record<string, unknown>;
  change(config);
  rmSync(join(path, "config.json"));
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  return path;
}

const whole = join(root, "whole.gguf");
const decoder = join(root, "decoder.gguf");

beforeAll(async () => {
  const profile = await qwen3AsrQuantizeProfile(await openModelFiles(MINI));
  await quantizeCheckpoint({ input: MINI, output: whole, qtype: "q8_0", scope: "all" }, profile);
  await quantizeCheckpoint({ input: MINI, output: decoder, qtype: "q8_0" }, profile);
});

async function transcribeWith(source: string | ArrayBuffer, options: LoadAsrOptions = {}) {
  const logs: string[] = [];
  const model = await loadAsrModel(source, { ...options, onLog: (line) => logs.push(line) });
  try {
    const { text } = await model.transcribe(SAMPLE);
    return { text, weights: model.weights, location: model.location, logs };
  } finally {
    await model.dispose();
  }
}

describe("sources", () => {
  test("a folder of safetensors", async () => {
    const result = await transcribeWith(MINI);
    expect(result).toMatchObject({ text: SAID, weights: "BF16", location: MINI });
    expect(result.logs[0]).toMatch(/^backend (native|wasm|cpu): /);
  });

  test("a file of safetensors", async () => {
    expect((await transcribeWith(join(MINI, "model.safetensors"))).text).toBe(SAID);
  });

  test("one GGUF file, alone", async () => {
    const result = await transcribeWith(whole);
    expect(result.text).toBe(SAID);
    expect(result.weights).toMatch(/^Q8_0/);
  });

  test("the content of one, as in a browser", async () => {
    const { buffer, byteOffset, byteLength } = readFileSync(whole);
    const content = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
    expect((await transcribeWith(content)).text).toBe(SAID);
  });

  test("a folder with nothing but one GGUF, of any name", async () => {
    const path = folder();
    cpSync(whole, join(path, "mine.gguf"));
    expect((await transcribeWith(path)).text).toBe(SAID);
  });

  test("the decoder's GGUF beside the safetensors, by order of preference, by name, or not", async () => {
    const path = copyWithout();
    cpSync(decoder, join(path, "model-q8_0.gguf"));
    cpSync(decoder, join(path, "other.gguf"));
    const auto = await transcribeWith(path);
    expect(auto.text).toBe(SAID);
    expect(auto.weights).toMatch(/Q8_0/);
    expect(auto.logs.join("\n")).toMatch(/uses model-q8_0\.gguf.*other\.gguf/);
    expect((await transcribeWith(path, { decoderWeights: "safetensors" })).weights).toBe("BF16");
    expect((await transcribeWith(path, { decoderGguf: "other.gguf" })).weights).toMatch(/Q8_0/);
    expect((await transcribeWith(join(path, "other.gguf"))).weights).toMatch(/Q8_0/);
  });

  test("progress goes up to the end", async () => {
    const seen: { bytesDone: number; bytesTotal: number }[] = [];
    const model = await loadAsrModel(whole, {
      onProgress: ({ bytesDone, bytesTotal }) => seen.push({ bytesDone, bytesTotal }),
    });
    await model.dispose();
    expect(seen.map(({ bytesDone }) => bytesDone)).toEqual(
      [...seen.map(({ bytesDone }) => bytesDone)].sort((a, b) => a - b),
    );
    expect(seen.at(-1)!.bytesDone).toBeLessThanOrEqual(seen.at(-1)!.bytesTotal);
    expect(seen.at(-1)!.bytesDone).toBeGreaterThan(0.9 * seen.at(-1)!.bytesTotal);
  });
});

describe("refused", () => {
  const config = (value: object) => {
    const path = folder();
    writeFileSync(join(path, "config.json"), JSON.stringify(value));
    return path;
  };

  test.each<[string, () => string, new (message: string) => Error, RegExp, LoadAsrOptions | null]>([
    [
      "a missing folder",
      () => join(root, "nowhere"),
      ResourceError,
      /nowhere: there is no such file or folder/,
      null,
    ],
    ["an empty folder", folder, ResourceError, /has no weights/, null],
    [
      "a Qwen3-TTS model",
      () => config({ model_type: "qwen3_tts" }),
      ConfigError,
      /is a Qwen3-TTS model.*tts-cli synthesize --model/,
      null,
    ],
    [
      "a Whisper model",
      () => config({ model_type: "whisper" }),
      ConfigError,
      /is a Whisper model.*Qwen3-ASR models only/,
      null,
    ],
    [
      "an unknown model",
      () => config({ model_type: "llama" }),
      ConfigError,
      /"llama"; supported: "qwen3_asr"/,
      null,
    ],
    [
      "a forced aligner",
      () => config({ model_type: "qwen3_asr", thinker_config: { model_type: "qwen3_forced_aligner" } }),
      ConfigError,
      /is a Qwen3-ForcedAligner model.*--aligner/,
      null,
    ],
    ["a missing config", () => copyWithout("config.json"), ResourceError, /config\.json is missing/, null],
    ["a missing tokenizer", () => copyWithout("vocab.json"), ConfigError, /vocab\.json is missing/, null],
    ["missing weights", () => copyWithout("model.safetensors"), ResourceError, /has no weights/, null],
    [
      "a missing field",
      () =>
        withConfig(
          (c) =>
            delete (c["thinker_config"] as Record<string, Record<string, unknown>>)["text_config"]![
              "head_dim"
            ],
        ),
      ConfigError,
      /thinker_config\.text_config\.head_dim/,
      null,
    ],
    [
      "a config that does not fit the weights",
      () =>
        withConfig(
          (c) =>
            ((c["thinker_config"] as Record<string, Record<string, unknown>>)["text_config"]!["head_dim"] =
              64),
        ),
      ConfigError,
      /q_proj.*asks for/,
      null,
    ],
    [
      "a config that is no JSON",
      () => {
        const path = copyWithout("config.json");
        writeFileSync(join(path, "config.json"), "{");
        return path;
      },
      ConfigError,
      /config\.json is not valid JSON/,
      null,
    ],
    ["a decoder alone", () => decoder, ConfigError, /has no audio encoder/, null],
    [
      "a choice of decoder for a file",
      () => whole,
      ConfigError,
      /for a model folder only/,
      { decoderWeights: "gguf" },
    ],
    [
      "a memory limit that is too low",
      () => MINI,
      ConfigError,
      /needs?.*MB of memory.*limit is 1\.00 MB/,
      { memoryLimitBytes: 1e6 },
    ],
    [
      "a missing shard",
      () => {
        const path = copyWithout();
        renameSync(join(path, "model.safetensors"), join(path, "model-00001-of-00002.safetensors"));
        return path;
      },
      ResourceError,
      /model-00002-of-00002\.safetensors: this shard.*missing/,
      null,
    ],
    [
      "several GGUF files of unknown names",
      () => {
        const path = folder();
        cpSync(whole, join(path, "a.gguf"));
        cpSync(whole, join(path, "b.gguf"));
        return path;
      },
      ConfigError,
      /several \.gguf files \(a\.gguf, b\.gguf\)/,
      null,
    ],
  ])("%s", async (_, make, type, message, options) => {
    const error = await loadAsrModel(make(), options ?? {}).then(
      () => null,
      (thrown: unknown) => thrown as Error,
    );
    expect(error).toBeInstanceOf(type);
    expect(error!.message).toMatch(message);
  });

  test("a model too large for WASM's memory, before its weights are read", async () => {
    const path = copyWithout("model.safetensors");
    const bytes = 4 * 2 ** 30 - 2 ** 25;
    const header = JSON.stringify({
      "thinker.audio_tower.conv_out.weight": { dtype: "U8", shape: [bytes], data_offsets: [0, bytes] },
    });
    const file = join(path, "model.safetensors");
    const start = Buffer.alloc(8 + header.length);
    start.writeBigUInt64LE(BigInt(header.length));
    start.write(header, 8);
    writeFileSync(file, start);
    truncateSync(file, start.length + bytes); // a sparse file
    const error = await loadAsrModel(path, { backend: "wasm" }).then(
      () => null,
      (thrown: unknown) => thrown as Error,
    );
    expect(error).toBeInstanceOf(BackendError);
    expect(error!.message).toMatch(/4\.26 GB.*WASM can address 4 GiB/);
  });

  test("a recogniser as an aligner", async () => {
    await expect(loadForcedAligner(MINI)).rejects.toThrow(/is a Qwen3-ASR model, not a forced aligner/);
  });

  test("an aborted load", async () => {
    await expect(loadAsrModel(MINI, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});
