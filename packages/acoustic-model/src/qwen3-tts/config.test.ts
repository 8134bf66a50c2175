import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, UnsupportedError } from "@voxquant/quant-core";
import { languagesOf, parseQwen3TtsConfig, takesInstruct } from "./config.js";

const folder = resolve(import.meta.dirname, "../../../../models/qwen3-tts-mini");
const file = readFileSync(join(folder, "config.json"), "utf8");

interface Json {
  [key: string]: unknown;
  talker_config: Record<string, unknown> & { code_predictor_config: Record<string, unknown> };
}

function parseWith(change: (config: Json) => void, generation: string | null = null) {
  const config = JSON.parse(file) as Json;
  change(config);
  return parseQwen3TtsConfig(JSON.stringify(config), generation, "model");
}

test("the embedded model's", () => {
  const generation = readFileSync(join(folder, "generation_config.json"), "utf8");
  const config = parseQwen3TtsConfig(file, generation, "model");
  expect(config).toMatchObject({ variant: "custom_voice", codeGroups: 16, speakerEncoder: null });
  expect(config.talker.codeCount).toBe(config.talker.codecVocabSize - 1024);
  expect(config.speakers.map(({ name }) => name)).toEqual(["leo", "ava"]);
  expect(languagesOf(config)).toEqual(["auto", "english"]);
  expect(config.generation).toEqual({
    temperature: 0.9,
    topK: 50,
    topP: 1,
    repetitionPenalty: 1.05,
    predictor: { temperature: 0.9, topK: 50, topP: 1 },
    maxNewTokens: 512,
  });
});

test("sampling that is switched off is temperature 0; without the file the published values count", () => {
  const off = parseWith(() => undefined, '{"do_sample": false, "subtalker_dosample": false}').generation;
  expect(off).toMatchObject({ temperature: 0, predictor: { temperature: 0 } });
  expect(parseWith(() => undefined).generation).toMatchObject({ temperature: 0.9, topK: 50 });
});

test("dialects are reached through their speakers, not by name", () => {
  const config = parseWith(({ talker_config: talker }) => {
    talker["codec_language_id"] = { Chinese: 300, Sichuan_Dialect: 301 };
    talker["spk_id"] = { Eric: 400 };
    talker["spk_is_dialect"] = { Eric: "sichuan_dialect" };
  });
  expect(languagesOf(config)).toEqual(["auto", "chinese"]);
  expect(config.speakers).toEqual([{ name: "eric", id: 400, dialect: "sichuan_dialect" }]);
});

test("who takes instructions", () => {
  const takes = (type: string, size: string) =>
    takesInstruct(
      parseWith((config) => {
        config["tts_model_type"] = type;
        config["tts_model_size"] = size;
      }),
    );
  expect(takes("custom_voice", "1b7")).toBe(true);
  expect(takes("custom_voice", "0b6")).toBe(false);
  expect(takes("voice_design", "1b7")).toBe(true);
  expect(takes("base", "1b7")).toBe(false);
});

const refused: readonly (readonly [string, (config: Json) => void, RegExp])[] = [
  ["a size is missing", ({ talker_config }) => delete talker_config["head_dim"], /talker_config\.head_dim/],
  [
    "the predictor's size is missing",
    ({ talker_config }) => delete talker_config.code_predictor_config["vocab_size"],
    /code_predictor_config\.vocab_size/,
  ],
  [
    "the stages have different groups",
    ({ talker_config }) => (talker_config.code_predictor_config["num_code_groups"] = 8),
    /num_code_groups 16 for the talker and 8/,
  ],
  [
    "a control id is out of range",
    ({ talker_config }) => (talker_config["codec_bos_id"] = 99999),
    /bos has id 99999/,
  ],
  [
    "the end is a code",
    ({ talker_config }) => (talker_config["codec_eos_token_id"] = 3),
    /codec_eos_token_id 3 is one of the/,
  ],
  [
    "a speaker's dialect is unknown",
    ({ talker_config }) => (talker_config["spk_is_dialect"] = { leo: "martian" }),
    /speaker leo has dialect martian/,
  ],
  ["no code is left", ({ talker_config }) => (talker_config["vocab_size"] = 1000), /none is left/],
  [
    "the speaker encoder has another width",
    (config) => (config["speaker_encoder_config"] = { enc_dim: 7, sample_rate: 24000 }),
    /enc_dim 7, which must equal/,
  ],
];

test.each(refused)("refused: %s", (_, change, message) => {
  expect(() => parseWith((config) => void change(config))).toThrow(ConfigError);
  expect(() => parseWith((config) => void change(config))).toThrow(message);
});

test("a 25 Hz model is told apart, although it lacks what a 12 Hz model has", () => {
  const changes = { tokenizer_type: "qwen3_tts_tokenizer_25hz", talker_config: {} };
  const parse = () => parseWith((config) => void Object.assign(config, changes));
  expect(parse).toThrow(UnsupportedError);
  expect(() => parseQwen3TtsConfig("{", null, "model")).toThrow(/config\.json is not valid JSON/);
});
