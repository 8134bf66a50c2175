import { ConfigError, UnsupportedError } from "@voxquant/quant-core";
import type { DecoderStackConfig } from "@voxquant/nn";
import { z } from "zod";
import type { SamplingSettings, Speaker, TtsVariant } from "../tts-model.js";
import type { SpeakerEncoderConfig } from "./speaker-encoder.js";

/** Rows at the end of the talker's codec vocabulary that are no codes: control, language and speaker ids. */
const CONTROL_ROWS = 1024;

export interface TalkerConfig extends DecoderStackConfig {
  /** Rows of the codec embedding and outputs of the codec head. */
  readonly codecVocabSize: number;
  /** The first ids of the codec vocabulary, which stand for codes of codebook 0. */
  readonly codeCount: number;
  readonly textVocabSize: number;
  /** Width of the text embedding, before the projection. */
  readonly textHiddenSize: number;
  /** Positions that a prompt and its frames may take together. */
  readonly maxPositions: number;
}

export interface CodePredictorConfig extends DecoderStackConfig {
  /** Entries of each codebook after the first. */
  readonly vocabSize: number;
}

/** Rows of the talker's codec embedding that steer it. */
export interface CodecControlIds {
  readonly pad: number;
  readonly bos: number;
  readonly eos: number;
  readonly think: number;
  readonly noThink: number;
  readonly thinkBos: number;
  readonly thinkEos: number;
}

/** Text ids that the prompt is made of. */
export interface TextControlIds {
  readonly imStart: number;
  readonly imEnd: number;
  readonly assistant: number;
  readonly ttsPad: number;
  readonly ttsBos: number;
  readonly ttsEos: number;
}

/** `generation_config.json`, in our terms: temperature 0 where the file has sampling switched off. */
export interface GenerationDefaults extends SamplingSettings {
  readonly repetitionPenalty: number;
  readonly predictor: SamplingSettings;
  /** Codes of codebook 0 that may be drawn; the last is never expanded to a frame. */
  readonly maxNewTokens: number;
}

export interface Qwen3TtsConfig {
  readonly variant: TtsVariant;
  readonly size: string;
  readonly codeGroups: number;
  readonly talker: TalkerConfig;
  readonly predictor: CodePredictorConfig;
  readonly text: TextControlIds;
  readonly codec: CodecControlIds;
  /** Codec id of every language and dialect, by lower-case name. */
  readonly languageIds: ReadonlyMap<string, number>;
  readonly speakers: readonly Speaker[];
  readonly speakerEncoder: SpeakerEncoderConfig | null;
  readonly generation: GenerationDefaults;
}

const size = z.number().int().positive();
const id = z.number().int().nonnegative();
const sizes = z.array(size).min(3).max(16);

// Every size and id is required: upstream's class defaults are those of no published model.
const decoderFields = {
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size,
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive(),
  num_code_groups: size.min(2),
  vocab_size: size,
  hidden_act: z.literal("silu"),
  attention_bias: z.literal(false).default(false),
  sliding_window: z.null().optional(),
  use_sliding_window: z.literal(false).default(false),
};

const configSchema = z.object({
  model_type: z.literal("qwen3_tts"),
  tts_model_size: z.string(),
  tts_model_type: z.enum(["base", "custom_voice", "voice_design"]),
  im_start_token_id: id,
  im_end_token_id: id,
  assistant_token_id: id,
  tts_pad_token_id: id,
  tts_bos_token_id: id,
  tts_eos_token_id: id,
  talker_config: z.object({
    ...decoderFields,
    text_vocab_size: size,
    text_hidden_size: size,
    max_position_embeddings: size.default(32768),
    // Three position axes that are always equal in speech: plain rotary positions.
    rope_scaling: z
      .object({
        rope_type: z.literal("default").default("default"),
        type: z.literal("default").default("default"),
      })
      .nullish(),
    codec_pad_id: id,
    codec_bos_id: id,
    codec_eos_token_id: id,
    codec_think_id: id,
    codec_nothink_id: id,
    codec_think_bos_id: id,
    codec_think_eos_id: id,
    codec_language_id: z.record(z.string(), id),
    spk_id: z.record(z.string(), id),
    spk_is_dialect: z.record(z.string(), z.union([z.literal(false), z.string()])).default({}),
    code_predictor_config: z.object({ ...decoderFields, rope_scaling: z.null().optional() }),
  }),
  speaker_encoder_config: z
    .object({
      enc_dim: size,
      sample_rate: z.literal(24000),
      // Not in the published files: the values of the published class.
      mel_dim: size.default(128),
      enc_channels: sizes.default([512, 512, 512, 512, 1536]),
      enc_kernel_sizes: sizes.default([5, 3, 3, 3, 1]),
      enc_dilations: sizes.default([1, 2, 3, 4, 1]),
      enc_attention_channels: size.default(128),
      enc_res2net_scale: size.default(8),
      enc_se_channels: size.default(128),
    })
    .optional(),
});

const generationSchema = z.object({
  do_sample: z.boolean().default(true),
  temperature: z.number().positive().default(0.9),
  top_k: id.default(50),
  top_p: z.number().positive().max(1).default(1),
  repetition_penalty: z.number().positive().default(1.05),
  subtalker_dosample: z.boolean().default(true),
  subtalker_temperature: z.number().positive().default(0.9),
  subtalker_top_k: id.default(50),
  subtalker_top_p: z.number().positive().max(1).default(1),
  max_new_tokens: size.default(2048),
});

type ConfigJson = z.infer<typeof configSchema>;
type DecoderJson = Pick<ConfigJson["talker_config"], keyof typeof decoderFields>;

/**
 * Parses config.json and generation_config.json of an official Qwen3-TTS checkpoint.
 * @throws ConfigError naming the field that is missing, of the wrong kind or contradictory; UnsupportedError for the
 *   25 Hz models
 */
export function parseQwen3TtsConfig(
  configJson: string,
  generationJson: string | null,
  location: string,
): Qwen3TtsConfig {
  const where = `${location}: config.json`;
  // Before the rest, which the 25 Hz models have in another form.
  const { tokenizer_type } = parse(z.object({ tokenizer_type: z.string() }), configJson, where);
  if (tokenizer_type !== "qwen3_tts_tokenizer_12hz") {
    throw new UnsupportedError(
      `${where} has tokenizer_type ${JSON.stringify(tokenizer_type)}; supported: "qwen3_tts_tokenizer_12hz" (the 12 Hz models)`,
    );
  }
  const json = parse(configSchema, configJson, where);
  const talker = json.talker_config;
  const predictor = talker.code_predictor_config;
  if (talker.num_code_groups !== predictor.num_code_groups) {
    throw new ConfigError(
      `${where} has num_code_groups ${talker.num_code_groups} for the talker and ${predictor.num_code_groups} for the code predictor: they must be equal`,
    );
  }
  if (talker.vocab_size <= CONTROL_ROWS) {
    throw new ConfigError(
      `${where} has talker_config.vocab_size ${talker.vocab_size}, of which ${CONTROL_ROWS} are no codes: none is left`,
    );
  }
  const encoder = json.speaker_encoder_config;
  if (encoder !== undefined && encoder.enc_dim !== talker.hidden_size) {
    throw new ConfigError(
      `${where} has speaker_encoder_config.enc_dim ${encoder.enc_dim}, which must equal talker_config.hidden_size ${talker.hidden_size}`,
    );
  }
  const config: Qwen3TtsConfig = {
    variant: json.tts_model_type,
    size: json.tts_model_size,
    codeGroups: talker.num_code_groups,
    talker: {
      ...decoderConfig(talker, `${where}: talker_config`),
      codecVocabSize: talker.vocab_size,
      codeCount: talker.vocab_size - CONTROL_ROWS,
      textVocabSize: talker.text_vocab_size,
      textHiddenSize: talker.text_hidden_size,
      maxPositions: talker.max_position_embeddings,
    },
    predictor: {
      ...decoderConfig(predictor, `${where}: code_predictor_config`),
      vocabSize: predictor.vocab_size,
    },
    text: {
      imStart: json.im_start_token_id,
      imEnd: json.im_end_token_id,
      assistant: json.assistant_token_id,
      ttsPad: json.tts_pad_token_id,
      ttsBos: json.tts_bos_token_id,
      ttsEos: json.tts_eos_token_id,
    },
    codec: {
      pad: talker.codec_pad_id,
      bos: talker.codec_bos_id,
      eos: talker.codec_eos_token_id,
      think: talker.codec_think_id,
      noThink: talker.codec_nothink_id,
      thinkBos: talker.codec_think_bos_id,
      thinkEos: talker.codec_think_eos_id,
    },
    languageIds: new Map(
      Object.entries(talker.codec_language_id).map(([name, language]) => [name.toLowerCase(), language]),
    ),
    speakers: Object.entries(talker.spk_id).map(([name, speaker]) => ({
      name: name.toLowerCase(),
      id: speaker,
      dialect: dialectOf(talker.spk_is_dialect[name]),
    })),
    speakerEncoder:
      encoder === undefined
        ? null
        : {
            melBins: encoder.mel_dim,
            channels: encoder.enc_channels,
            kernelSizes: encoder.enc_kernel_sizes,
            dilations: encoder.enc_dilations,
            attentionChannels: encoder.enc_attention_channels,
            res2netScale: encoder.enc_res2net_scale,
            seChannels: encoder.enc_se_channels,
            outputDim: encoder.enc_dim,
          },
    generation: generationDefaults(generationJson, location),
  };
  checkIds(config, where);
  return config;
}

/** Languages that may be asked for, `auto` first. Dialects are reached through their speakers only. */
export function languagesOf(config: Qwen3TtsConfig): string[] {
  return ["auto", ...[...config.languageIds.keys()].filter((name) => !name.includes("dialect"))];
}

/** Whether `instruct` has an effect. The official package drops it on 0.6B CustomVoice, which was not trained with it. */
export function takesInstruct({ variant, size }: Qwen3TtsConfig): boolean {
  return variant === "voice_design" || (variant === "custom_voice" && size !== "0b6");
}

function dialectOf(value: string | false | undefined): string | null {
  return value === undefined || value === false ? null : value.toLowerCase();
}

function decoderConfig(json: DecoderJson, where: string): DecoderStackConfig {
  if (json.num_attention_heads % json.num_key_value_heads !== 0 || json.head_dim % 2 !== 0) {
    throw new ConfigError(
      `${where} has ${json.num_attention_heads} heads of ${json.head_dim} for ${json.num_key_value_heads} key-value heads`,
    );
  }
  return {
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads: json.num_attention_heads,
    kvHeads: json.num_key_value_heads,
    headDim: json.head_dim,
    normEps: json.rms_norm_eps,
    ropeTheta: json.rope_theta,
  };
}

function generationDefaults(json: string | null, location: string): GenerationDefaults {
  const file = parse(generationSchema, json ?? "{}", `${location}: generation_config.json`);
  return {
    temperature: file.do_sample ? file.temperature : 0,
    topK: file.top_k,
    topP: file.top_p,
    repetitionPenalty: file.repetition_penalty,
    predictor: {
      temperature: file.subtalker_dosample ? file.subtalker_temperature : 0,
      topK: file.subtalker_top_k,
      topP: file.subtalker_top_p,
    },
    maxNewTokens: file.max_new_tokens,
  };
}

/** Ids are looked up in tables later: out of range they are this file's fault. */
function checkIds({ talker, text, codec, languageIds, speakers }: Qwen3TtsConfig, where: string): void {
  const check = (name: string, value: number, rows: number) => {
    if (value >= rows)
      throw new ConfigError(`${where}: ${name} has id ${value}, the vocabulary ends at ${rows - 1}`);
  };
  for (const [name, value] of Object.entries(text)) check(name, value, talker.textVocabSize);
  for (const [name, value] of Object.entries(codec)) check(`codec ${name}`, value, talker.codecVocabSize);
  for (const [name, value] of languageIds) check(`language ${name}`, value, talker.codecVocabSize);
  for (const { name, id: value, dialect } of speakers) {
    check(`speaker ${name}`, value, talker.codecVocabSize);
    if (dialect !== null && !languageIds.has(dialect)) {
      throw new ConfigError(
        `${where}: speaker ${name} has dialect ${dialect}, which codec_language_id lacks`,
      );
    }
  }
  if (codec.eos < talker.codeCount) {
    throw new ConfigError(
      `${where}: codec_eos_token_id ${codec.eos} is one of the ${talker.codeCount} codes; it must come after them`,
    );
  }
}

function parse<T>(schema: z.ZodType<T>, json: string, where: string): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new ConfigError(`${where} is not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new ConfigError(
    `${where}: field ${issue.path.join(".") || "(whole file)"}: ${issue.message}; is this an official Qwen3-TTS checkpoint?`,
  );
}
