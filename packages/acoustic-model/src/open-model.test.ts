import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ConfigError,
  openModelFiles,
  quantizeCheckpoint,
  ResourceError,
  UnsupportedError,
  VoxquantError,
} from "@voxquant/quant-core";
import { openTtsModel, type OpenTtsOptions } from "./open-model.js";
import { CodecWeights, codecTensors } from "./qwen3-tts/codec/weights.js";
import { qwen3TtsQuantizeProfile } from "./qwen3-tts/quantize-profile.js";
import { expectedTensors } from "./qwen3-tts/tensor-names.js";

const MODELS = fileURLToPath(new URL("../../../models/", import.meta.url));
const MINI = join(MODELS, "qwen3-tts-mini");

const root = mkdtempSync(join(tmpdir(), "voxquant-tts-open-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
function copy(change: (path: string) => void = () => undefined): string {
  const path = join(root, String(made++));
  cpSync(MINI, path, { recursive: true, filter: (from) => !/\.wav$|expected\.json$/.test(from) });
  change(path);
  return path;
}

function emptyFolder(): string {
  const path = join(root, String(made++));
  mkdirSync(path);
  return path;
}

function edit(path: string, change: (config: Record<string, unknown>) => void): void {
  const config = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  change(config);
  rmSync(path);
  writeFileSync(path, JSON.stringify(config));
}

const whole = join(root, "whole.gguf");
const talker = join(root, "talker.gguf");
const predictor = join(root, "predictor.gguf");

beforeAll(async () => {
  const profile = await qwen3TtsQuantizeProfile(await openModelFiles(MINI));
  const write = (output: string, scope?: string) =>
    quantizeCheckpoint({ input: MINI, output, qtype: "q4_0", ...(scope && { scope }) }, profile);
  await write(whole);
  await write(talker, "talker");
  await write(predictor, "predictor");
});

/** Opens a model, checks that nothing of it is missing, and tells where parts come from. */
async function opened(source: string | ArrayBuffer | Blob, options: OpenTtsOptions = {}) {
  const logs: string[] = [];
  const model = await openTtsModel(source, { ...options, onLog: (line) => logs.push(line) });
  try {
    const { config, weights, codec, codecConfig, files } = model;
    expect(expectedTensors(config).filter((name) => !weights.tensors.has(name))).toEqual([]);
    const codecWeights = new CodecWeights(codec, codecConfig);
    for (const { name, part } of codecTensors(codecConfig)) {
      if (part === "decoder") expect([name, codecWeights.has(name)]).toEqual([name, true]);
    }
    expect(await files.readText("vocab.json")).not.toBeNull();
    await weights.read("talker.model.norm.weight");
    await model.verifyUnchanged();
    const typeOf = (name: string) => weights.tensors.get(name)!.dtype;
    return {
      location: model.location,
      talker: typeOf("talker.model.layers.0.mlp.up_proj.weight"),
      predictor: typeOf("talker.code_predictor.model.layers.0.mlp.up_proj.weight"),
      derives: codec !== weights,
      logs,
    };
  } finally {
    await model.close();
  }
}

async function failure(source: string, options: OpenTtsOptions = {}): Promise<Error> {
  const error: unknown = await openTtsModel(source, options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(VoxquantError);
  return error as Error;
}

describe("sources", () => {
  test("a folder of safetensors", async () => {
    expect(await opened(MINI)).toMatchObject({ location: MINI, talker: "BF16", derives: true });
  });

  test("the safetensors file itself", async () => {
    expect(await opened(join(MINI, "model.safetensors"))).toMatchObject({ talker: "BF16", derives: true });
  });

  test("one complete GGUF, as a file, as content, and alone in a folder", async () => {
    const expected = { talker: "Q4_0", predictor: "Q8_0", derives: false };
    expect(await opened(whole)).toMatchObject(expected);
    expect(await opened(new Blob([readFileSync(whole)]))).toMatchObject(expected);
    const folder = emptyFolder();
    cpSync(whole, join(folder, "speaks.gguf"));
    expect(await opened(folder)).toMatchObject(expected);
  });

  test("a talker's GGUF in its model's folder, by name, by option and as the file that is given", async () => {
    const folder = copy((path) => {
      cpSync(talker, join(path, "model-q4_0.gguf"));
      cpSync(predictor, join(path, "other.gguf"));
    });
    const auto = await opened(folder);
    expect(auto).toMatchObject({ talker: "Q4_0", predictor: "Q8_0", derives: true });
    expect(auto.logs.join("\n")).toMatch(/uses model-q4_0\.gguf.*other\.gguf, safetensors/);
    expect(await opened(folder, { talkerWeights: "safetensors" })).toMatchObject({ talker: "BF16" });
    const mixed = { talker: "BF16", predictor: "Q8_0", derives: true };
    expect(await opened(folder, { talkerGguf: "other.gguf" })).toMatchObject(mixed);
    expect(await opened(join(folder, "other.gguf"))).toMatchObject(mixed);
    expect(await opened(MINI, { talkerGguf: talker })).toMatchObject({ talker: "Q4_0", derives: true });
  });

  test("the source system's layout: all names in one GGUF without metadata, no safetensors", async () => {
    const folder = copy((path) => {
      rmSync(join(path, "model.safetensors"));
      cpSync(talker, join(path, "model-q8_0.gguf"));
    });
    expect(await opened(folder)).toMatchObject({ talker: "Q4_0", derives: true });
  });

  test("shards", async () => {
    const folder = copy((path) => {
      renameSync(join(path, "model.safetensors"), join(path, "model-00001-of-00001.safetensors"));
      const codec = join(path, "speech_tokenizer");
      renameSync(join(codec, "model.safetensors"), join(codec, "model-00001-of-00001.safetensors"));
    });
    expect(await opened(folder)).toMatchObject({ talker: "BF16", derives: true });
  });
});

describe("URLs", () => {
  let server: Server;
  let base: string;
  let sent = 0;

  /** Serves the files below the temporary folder, by ranges. */
  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = join(root, decodeURIComponent(new URL(request.url!, "http://localhost").pathname));
      if (!existsSync(path) || !statSync(path).isFile()) {
        response.writeHead(404).end();
        return;
      }
      const file = readFileSync(path);
      const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      const [start, end] =
        match === null ? [0, file.length] : [Number(match[1]), Math.min(Number(match[2]) + 1, file.length)];
      sent += end - start;
      const range = { "content-range": `bytes ${start}-${end - 1}/${file.length}` };
      response.writeHead(match === null ? 200 : 206, { "content-length": end - start, ...(match && range) });
      response.end(file.subarray(start, end));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => new Promise((resolve) => server.close(resolve)));

  test("one complete file, of which the header alone is fetched", async () => {
    sent = 0;
    expect(await opened(`${base}/whole.gguf`)).toMatchObject({ talker: "Q4_0", derives: false });
    expect(sent).toBeLessThan(statSync(whole).size / 2);
  });

  test("a folder with its codec below it, and a talker's file in one", async () => {
    const name = copy((path) => cpSync(talker, join(path, "model.gguf"))).slice(root.length);
    expect(await opened(`${base}${name}`)).toMatchObject({ talker: "BF16", derives: true });
    expect(await opened(`${base}${name}/model.gguf`)).toMatchObject({ talker: "Q4_0", derives: true });
    expect(await failure(`${base}/talker.gguf`)).toBeInstanceOf(ResourceError);
  });
});

describe("what cannot be opened", () => {
  test("a missing codec, and a talker alone", async () => {
    const without = copy((path) => rmSync(join(path, "speech_tokenizer"), { recursive: true }));
    const error = await failure(without);
    expect(error).toBeInstanceOf(ResourceError);
    expect(error.message).toMatch(/speech_tokenizer\/config\.json is missing.*whole model folder/);
    expect((await failure(talker)).message).toMatch(
      /config\.json is missing \(neither in the file nor beside/,
    );
    const onlyConfig = copy((path) => rmSync(join(path, "speech_tokenizer", "model.safetensors")));
    expect(await failure(onlyConfig)).toBeInstanceOf(ResourceError);
    const lonely = copy((path) => {
      rmSync(join(path, "model.safetensors"));
      cpSync(predictor, join(path, "model.gguf"));
    });
    expect((await failure(lonely)).message).toMatch(/has no tensors talker\.model\.….*give the model folder/);
  });

  test("a recogniser is named with its command, the codec alone with its place", async () => {
    const asr = join(MODELS, "qwen3-asr-mini");
    if (!existsSync(asr)) return;
    const error = await failure(asr);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/is a Qwen3-ASR model, which transcribes.*asr-cli transcribe .*--model/);
    expect((await failure(join(asr, "model.safetensors"))).message).toMatch(/Qwen3-ASR.*asr-cli/);
    expect((await failure(join(MINI, "speech_tokenizer"))).message).toMatch(
      /codec alone.*speech_tokenizer\//,
    );
  });

  test("configs of other versions or with missing fields", async () => {
    const withConfig = (change: (config: Record<string, unknown>) => void) =>
      failure(copy((path) => edit(join(path, "config.json"), change)));
    const hertz25 = await withConfig((config) => (config["tokenizer_type"] = "qwen3_tts_tokenizer_25hz"));
    expect(hertz25).toBeInstanceOf(UnsupportedError);
    for (const key of ["tokenizer_type", "tts_model_type", "talker_config", "tts_eos_token_id"]) {
      const error = await withConfig((config) => delete config[key]);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain(key);
    }
    const fewer = await withConfig((config) => {
      const talkerConfig = config["talker_config"] as Record<string, unknown>;
      const predictorConfig = talkerConfig["code_predictor_config"] as Record<string, unknown>;
      talkerConfig["num_code_groups"] = predictorConfig["num_code_groups"] = 8;
    });
    expect(fewer).toBeInstanceOf(ConfigError);
    expect(fewer.message).toMatch(/num_code_groups is 8, but the codec.*takes 16/);
    expect(await withConfig((config) => (config["model_type"] = "llama"))).toBeInstanceOf(ConfigError);
  });

  test("contradictory options, nothing at the path", async () => {
    expect(await failure(whole, { talkerGguf: "x.gguf" })).toBeInstanceOf(ConfigError);
    expect(await failure(MINI, { talkerWeights: "gguf" })).toBeInstanceOf(ResourceError);
    expect(await failure(join(root, "nowhere"))).toBeInstanceOf(ResourceError);
  });

  test("a complete file that is cut or damaged anywhere: a typed error or intact parts", async () => {
    const bytes = readFileSync(whole);
    const path = join(root, "damaged.gguf");
    for (let i = 0; i < 24; i++) {
      const cut = Math.floor((bytes.length * i) / 24);
      writeFileSync(path, bytes.subarray(0, cut));
      await failure(path);
      const flipped = Buffer.from(bytes.subarray(0, 200_000));
      const at = (i * 7919) % flipped.length;
      flipped[at] = flipped[at]! ^ (1 << (i % 8));
      writeFileSync(path, Buffer.concat([flipped, bytes.subarray(flipped.length)]));
      const result = await openTtsModel(path).catch((error: unknown) => error);
      if (result instanceof Error) expect(result).toBeInstanceOf(VoxquantError);
      else await (result as Awaited<ReturnType<typeof openTtsModel>>).close();
    }
  });
});
