import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { goldensFolder, goldenVariants, readGoldenJson } from "@voxquant/goldens";
import {
  ConfigError,
  dequantize,
  elementCount,
  FormatError,
  openCheckpoint,
  openModelFiles,
  quantizeCheckpoint,
  ResourceError,
  UnsupportedError,
  type QuantizeReport,
} from "@voxquant/quant-core";
import { openTtsModel } from "../open-model.js";
import { CodecWeights, codecTensors } from "./codec/weights.js";
import { parseQwen3TtsConfig } from "./config.js";
import { qwen3TtsQuantizeProfile } from "./quantize-profile.js";
import { expectedTensors } from "./tensor-names.js";

const MINI = fileURLToPath(new URL("../../../../models/qwen3-tts-mini", import.meta.url));

const root = mkdtempSync(join(tmpdir(), "voxquant-tts-quantize-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
const newPath = (name: string) => join(root, `${made++}-${name}`);

/** A copy of a model folder, changed. */
function changed(folder: string, change: (path: string) => void): string {
  const path = newPath("model");
  cpSync(folder, path, {
    recursive: true,
    filter: (from) => !from.includes("cases") && !from.endsWith(".wav") && !from.endsWith("expected.json"),
  });
  change(path);
  return path;
}

function editJson(path: string, change: (value: Record<string, never>) => void): void {
  const value = JSON.parse(readFileSync(path, "utf8")) as Record<string, never>;
  change(value);
  rmSync(path);
  writeFileSync(path, JSON.stringify(value));
}

interface Quantized extends QuantizeReport {
  readonly typeOf: (name: string) => string | undefined;
}

async function quantize(
  input: string,
  options: Partial<Parameters<typeof quantizeCheckpoint>[0]> = {},
): Promise<Quantized> {
  const profile = await qwen3TtsQuantizeProfile(await openModelFiles(input));
  const report = await quantizeCheckpoint(
    { input, output: newPath("out.gguf"), qtype: "q8_0", ...options },
    profile,
  );
  const types = new Map(report.tensors.map(({ name, to }) => [name, to]));
  return { ...report, typeOf: (name) => types.get(name) };
}

const { abs, max } = Math;

/** The largest value of `x`, and the largest difference from it. */
function difference(x: Float32Array, y: Float32Array): { largest: number; worst: number } {
  let [largest, worst] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    largest = max(largest, abs(x[i]!));
    worst = max(worst, abs(x[i]! - y[i]!));
  }
  return { largest, worst };
}

interface TensorList {
  readonly list: readonly (readonly (string | number | readonly number[])[])[];
  readonly columns: readonly string[];
  readonly bytes_by_plan: Readonly<Record<string, number>>;
}

/** What the reference's plans store each tensor of a variant as. */
function planOf(variant: string): TensorList | null {
  const folder = goldensFolder("qwen3-tts", "tensor-lists");
  const path = folder === null ? null : join(folder, `${variant}.json`);
  return path !== null && existsSync(path) ? readGoldenJson<TensorList>(path) : null;
}

test("another family's model is named with its command", async () => {
  const config = JSON.stringify({ model_type: "qwen3_asr" });
  const files = {
    location: "there",
    readText: async (name: string) => (name === "config.json" ? config : null),
  };
  await expect(qwen3TtsQuantizeProfile(files)).rejects.toThrow(/there is a Qwen3-ASR model.*asr-cli/);
  const none = { location: "there", readText: async () => null };
  await expect(qwen3TtsQuantizeProfile(none)).rejects.toThrow(/there: config\.json is missing/);
});

const variants = [
  { name: "qwen3-tts-mini", folder: MINI },
  ...goldenVariants("qwen3-tts").filter(({ folder }) => existsSync(join(folder, "config.json"))),
];

for (const { name, folder } of variants) {
  const hasCodec = existsSync(join(folder, "speech_tokenizer", "config.json"));

  describe(name, () => {
    const planned = planOf(name);
    if (planned !== null) {
      // The reference keeps 16-bit tensors as F16; of a BF16 source they are kept as they are, at the same size.
      const type = (dtype: string | undefined) => (dtype === "BF16" ? "F16" : dtype);
      const everything = { pattern: /code_predictor\.(model\.layers|lm_head)|text_/, type: "Q4_0" as const };

      test.each([
        { plan: "q8_0", options: { qtype: "q8_0" } },
        { plan: "mixed", options: { qtype: "q4_0" } },
        { plan: "q4_0", options: { qtype: "q4_0", tensorTypes: [everything] } },
      ])("the reference's plan $plan, tensor by tensor", async ({ plan, options }) => {
        const { list, columns, bytes_by_plan: totals } = planned;
        const column = columns.indexOf(`plan ${plan}`);
        const prefixes = ["talker", "speaker"].filter((scope) =>
          list.some(([tensor]) => (tensor as string).startsWith(scope)),
        );
        const types = new Map<string, string>();
        let bytes = 0;
        for (const scope of prefixes) {
          const { tensors } = await quantize(folder, { ...options, scope });
          for (const { name: tensor, to, outputBytes } of tensors) {
            types.set(tensor, to);
            bytes += outputBytes;
          }
        }
        const wanted = list.map((row) => [row[0], row[column]]);
        expect(list.map(([tensor]) => [tensor, type(types.get(tensor as string))])).toEqual(wanted);
        expect(types.size).toBe(list.length);
        expect(bytes).toBe(totals[plan]);
      });
    }

    test("the tensors are those that the config asks for", async () => {
      const files = await openModelFiles(folder);
      const config = parseQwen3TtsConfig((await files.readText("config.json"))!, null, folder);
      const { tensors } = await openCheckpoint(folder);
      expect(expectedTensors(config).sort()).toEqual([...tensors.keys()].sort());
    });

    test.each(["q6_k", "f16", "bf16", "f32"])("%s: the talker alone", async (qtype) => {
      const { typeOf, tensors, output } = await quantize(folder, { qtype, scope: "talker" });
      const { tensors: sources } = await openCheckpoint(folder);
      const expected = [...sources.keys()].filter((tensor) => tensor.startsWith("talker."));
      expect(tensors.map((tensor) => tensor.name).sort()).toEqual(expected.sort());
      const { tensors: written } = await openCheckpoint(output);
      for (const [tensor, { dtype, shape }] of written) {
        expect(dtype).toBe(typeOf(tensor));
        const allowed =
          shape.length === 1 || qtype === "f32"
            ? ["F32"]
            : /codec_embedding|codec_head|small_to_mtp/.test(tensor)
              ? ["BF16", "F16"]
              : qtype !== "q6_k"
                ? [qtype.toUpperCase()]
                : /code_predictor|text_/.test(tensor)
                  ? ["Q8_0", "F16"]
                  : [shape[1]! % 256 === 0 ? "Q6_K" : shape[1]! % 32 === 0 ? "Q8_0" : "F16"];
        expect([tensor, allowed.includes(dtype)]).toEqual([tensor, true]);
      }
    });

    test("every role can be chosen otherwise, and embeddings asked for", async () => {
      const { typeOf } = await quantize(folder, {
        qtype: "q4_0",
        scope: "talker",
        quantizeEmbeddings: true,
        tensorTypes: [{ pattern: /code_predictor\.lm_head/, type: "F32" }],
      });
      expect(typeOf("talker.code_predictor.lm_head.0.weight")).toBe("F32");
      const { tensors } = await openCheckpoint(folder);
      const fits = (tensor: string) => tensors.get(tensor)!.shape[1]! % 32 === 0;
      const [text, codec] = ["talker.model.text_embedding.weight", "talker.model.codec_embedding.weight"];
      expect(typeOf(text)).toBe(fits(text) ? "Q4_0" : "F16");
      expect(typeOf(codec)).toBe(fits(codec) ? "Q8_0" : "F16");
    });

    test("a part alone", async () => {
      const { tensors } = await quantize(folder, { scope: "predictor" });
      expect(tensors.every((tensor) => tensor.name.startsWith("talker.code_predictor."))).toBe(true);
    });

    if (!hasCodec) {
      test("a complete file needs the codec", async () => {
        const attempt = quantize(folder);
        await expect(attempt).rejects.toThrow(ResourceError);
        await expect(attempt).rejects.toThrow(/speech_tokenizer\/config\.json is missing/);
      });
      return;
    }

    test.each(["f32", "q8_0", "q4_k"])("%s: one complete file, which needs no folder", async (qtype) => {
      const { output, typeOf, tensors } = await quantize(folder, { qtype });
      const ours = tensors.filter((tensor) => tensor.name.startsWith("codec."));
      expect(ours.every((tensor) => Buffer.byteLength(tensor.name) < 64)).toBe(true);
      const content = readFileSync(output);
      const fromFolder = await openTtsModel(folder);
      const fromFile = await openTtsModel(new Uint8Array(content));
      expect(fromFile.config).toEqual(fromFolder.config);
      expect(fromFile.codecConfig).toEqual(fromFolder.codecConfig);
      for (const file of ["vocab.json", "merges.txt", "tokenizer_config.json", "generation_config.json"]) {
        expect(await fromFile.files.readText(file)).toBe(await fromFolder.files.readText(file));
      }
      const { codecConfig } = fromFolder;
      const [official, written] = [fromFolder, fromFile].map(
        ({ codec }) => new CodecWeights(codec, codecConfig),
      );
      const canClone = [...fromFolder.weights.tensors.keys()].some((key) =>
        key.startsWith("speaker_encoder."),
      );
      for (const tensor of codecTensors(codecConfig)) {
        if (tensor.part === "encoder" && !canClone) {
          expect(typeOf(tensor.name)).toBeUndefined();
          continue;
        }
        const [wanted, found] = [await official!.read(tensor.name), await written!.read(tensor.name)];
        expect(found.shape).toEqual(wanted.shape);
        const [x, y] = [wanted, found].map(({ dtype, shape, bytes }) => {
          const values = new Float32Array(elementCount(shape));
          dequantize(dtype, bytes, values);
          return values;
        });
        const allowed = { F32: 0, BF16: 0, F16: 2 ** -11, Q8_0: 1 / 127 }[found.dtype as string]!;
        const { largest, worst } = difference(x!, y!);
        expect([tensor.name, worst <= allowed * largest]).toEqual([tensor.name, true]);
        if (tensor.role === "vector" || qtype === "f32") expect(found.dtype).toBe("F32");
      }
      await fromFolder.close();
      await fromFile.close();
    });

    test("a talker's file in its model's folder is completed from there", async () => {
      const talker = await quantize(folder, { scope: "talker", qtype: "q4_0" });
      const input = join(
        changed(folder, (path) => cpSync(talker.output, join(path, "talker.gguf"))),
        "talker.gguf",
      );
      const { output } = await quantize(input, { qtype: "q8_0" });
      const { config, weights, close } = await openTtsModel(output);
      await close();
      expect(expectedTensors(config).filter((tensor) => !weights.tensors.has(tensor))).toEqual([]);
    });

    test("the codec's parts by their roles", async () => {
      const { tensors } = await quantize(folder, { qtype: "q4_0", scope: "codec" });
      const { config, codecConfig, close } = await openTtsModel(folder);
      await close();
      const blocks = codecConfig.decoder.blockRates.length;
      const canClone = config.speakerEncoder !== null;
      const fits = ({ shape }: { shape: readonly number[] }) => shape.at(-1)! % 32 === 0;
      const types: Record<string, string> = {
        "codec.quantizer.codebook.1": canClone ? "F32" : "F16",
        "codec.q_sem.weight": "F32",
        "codec.pre_conv.weight": "F16",
        "codec.pt.input_proj.weight": "F16",
        "codec.pt.0.attn.q_proj.weight": "Q8_0",
        "codec.pt.0.attn.scale": "F32",
        "codec.up.0.dwconv.weight": "F32",
        "codec.up.0.pwconv1.weight": "Q8_0",
        "codec.dec.0.weight": "Q8_0",
        "codec.dec.1.convt.weight": "Q8_0",
        [`codec.dec.${blocks}.convt.weight`]: "F16",
        [`codec.dec.${blocks}.2.conv1.weight`]: "Q8_0",
        [`codec.dec.${blocks + 2}.weight`]: "F32",
        ...(canClone ? { "codec.downsample.weight": "F16", "codec.z_ac.weight": "F32" } : {}),
      };
      for (const [name, type] of Object.entries(types)) {
        const tensor = tensors.find((other) => other.name === name)!;
        expect([name, tensor.to]).toEqual([name, type === "Q8_0" && !fits(tensor) ? "F16" : type]);
      }
      // Identical codebooks are stored once.
      const codebooks = tensors.filter(({ name }) => /codebook/.test(name)).length;
      expect([codecConfig.groups, 2 * codecConfig.groups]).toContain(codebooks);
    });

    test("the bytes do not depend on the threads; a complete file can be quantized again", async () => {
      const [one, four] = [await quantize(folder, { threads: 1 }), await quantize(folder, { threads: 4 })];
      expect(readFileSync(one.output).equals(readFileSync(four.output))).toBe(true);
      const profile = await qwen3TtsQuantizeProfile(
        await openModelFiles(one.output, await openCheckpoint(one.output)),
      );
      const output = newPath("again.gguf");
      const again = await quantizeCheckpoint({ input: one.output, output, qtype: "q8_0" }, profile);
      expect(again.tensors.map(({ name, to }) => [name, to])).toEqual(
        one.tensors.map(({ name, to }) => [name, to]),
      );
      await (await openTtsModel(output)).close();
    });

    test("a codec that is missing, damaged or another one's", async () => {
      const tokenizer = (path: string, file: string) => join(path, "speech_tokenizer", file);
      const failure = (change: (path: string) => void) =>
        quantize(changed(folder, change)).catch((e: unknown) => e);
      const none = await failure((path) => rmSync(join(path, "speech_tokenizer"), { recursive: true }));
      expect(none).toBeInstanceOf(ResourceError);
      expect(String(none)).toMatch(/speech_tokenizer/);
      expect(await failure((path) => rmSync(tokenizer(path, "model.safetensors")))).toBeInstanceOf(
        ResourceError,
      );
      const cut = await failure((path) => {
        const file = tokenizer(path, "model.safetensors");
        const bytes = readFileSync(file);
        rmSync(file);
        writeFileSync(file, bytes.subarray(0, bytes.length - 64));
      });
      expect(cut).toBeInstanceOf(FormatError);
      const edited = (change: (config: Record<string, never>) => void) =>
        failure((path) => editJson(tokenizer(path, "config.json"), change));
      interface Sizes {
        decoder_config: Record<string, number>;
      }
      const groups = await edited((config) => {
        const { decoder_config } = config as unknown as Sizes;
        decoder_config["num_quantizers"]! -= 1;
        (config as Record<string, unknown>)["encoder_valid_num_quantizers"] =
          decoder_config["num_quantizers"];
      });
      expect(groups).toBeInstanceOf(ConfigError);
      expect(String(groups)).toMatch(/num_code_groups is \d+, but the codec/);
      const wider = await edited((config) => {
        (config as unknown as Sizes).decoder_config["intermediate_size"]! *= 2;
      });
      expect(wider).toBeInstanceOf(FormatError);
      expect(String(wider)).toMatch(/decoder\.pre_transformer.*has shape.*the config asks for/);
      const hertz25 = await edited((config) => {
        (config as Record<string, unknown>)["model_type"] = "qwen3_tts_tokenizer_25hz";
      });
      expect(hertz25).toBeInstanceOf(UnsupportedError);
    });
  });
}
