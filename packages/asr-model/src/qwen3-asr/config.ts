import { ConfigError } from "@voxquant/quant-core";
import type { Qwen3DecoderConfig } from "@voxquant/nn";
import { z } from "zod";

export interface Qwen3AsrEncoderConfig {
  readonly melBins: number;
  readonly layers: number;
  readonly heads: number;
  readonly ffnDim: number;
  readonly dim: number;
  readonly outputDim: number;
  readonly convChannels: number;
  /** Frames per chunk of the convolution. */
  readonly chunkFrames: number;
  /** Chunks per attention block. */
  readonly blockChunks: number;
}

export interface Qwen3AsrConfig {
  readonly encoder: Qwen3AsrEncoderConfig;
  readonly decoder: Qwen3DecoderConfig;
  /** The embedding is the head; a head in the file is ignored, as upstream does. */
  readonly tiedHead: boolean;
  readonly audioTokenId: number;
  readonly audioStartId: number;
  readonly audioEndId: number;
  readonly endIds: readonly number[];
  readonly languages: readonly string[];
  /** Set in a forced aligner's checkpoint. */
  readonly aligner: {
    readonly classes: number;
    readonly timestampId: number;
    readonly segmentMs: number;
  } | null;
}

const size = z.number().int().positive();
const id = z.number().int().nonnegative();

// Every size is required: upstream's class defaults are those of another model and would silently build a wrong network.
const configSchema = z.object({
  model_type: z.string().optional(),
  support_languages: z.array(z.string()).default([]),
  timestamp_token_id: id.optional(),
  timestamp_segment_time: z.number().positive().optional(),
  thinker_config: z.object({
    model_type: z.string().default("qwen3_asr_thinker"),
    audio_token_id: id,
    audio_start_token_id: id,
    audio_end_token_id: id,
    classify_num: size.optional(),
    audio_config: z.object({
      num_mel_bins: size,
      encoder_layers: size,
      encoder_attention_heads: size,
      encoder_ffn_dim: size,
      d_model: size,
      output_dim: size,
      downsample_hidden_size: size,
      n_window: size,
      n_window_infer: size,
      activation_function: z.literal("gelu").default("gelu"),
    }),
    text_config: z.object({
      vocab_size: size,
      hidden_size: size,
      intermediate_size: size,
      num_hidden_layers: size,
      num_attention_heads: size,
      num_key_value_heads: size,
      head_dim: size,
      rms_norm_eps: z.number().positive(),
      rope_theta: z.number().positive(),
      hidden_act: z.literal("silu").default("silu"),
      attention_bias: z.literal(false).default(false),
      tie_word_embeddings: z.boolean().default(true),
    }),
  }),
});

const generationSchema = z.object({ eos_token_id: z.union([id, z.array(id).min(1)]).optional() });

/** End tokens of the published vocabulary, for checkpoints without generation_config.json. */
const DEFAULT_END_IDS = [151645, 151643];

/**
 * Parses config.json and generation_config.json of an official Qwen3-ASR or Qwen3-ForcedAligner checkpoint.
 * @throws ConfigError naming the field that is missing or of the wrong kind
 */
export function parseQwen3AsrConfig(
  configJson: string,
  generationJson: string | null,
  location: string,
): Qwen3AsrConfig {
  const config = parse(configSchema, configJson, `${location}: config.json`);
  const generation =
    generationJson === null
      ? {}
      : parse(generationSchema, generationJson, `${location}: generation_config.json`);
  const { thinker_config: thinker } = config;
  const { audio_config: audio, text_config: text } = thinker;
  if (audio.output_dim !== text.hidden_size) {
    throw new ConfigError(
      `${location}: config.json has audio_config.output_dim ${audio.output_dim}, which must equal text_config.hidden_size ${text.hidden_size}`,
    );
  }
  if (audio.d_model % (2 * audio.encoder_attention_heads) !== 0 || audio.d_model % 2 !== 0) {
    throw new ConfigError(
      `${location}: config.json has d_model ${audio.d_model}, which ${audio.encoder_attention_heads} attention heads cannot share`,
    );
  }
  if (text.num_attention_heads % text.num_key_value_heads !== 0 || text.head_dim % 2 !== 0) {
    throw new ConfigError(
      `${location}: config.json has ${text.num_attention_heads} heads of ${text.head_dim} for ${text.num_key_value_heads} key-value heads`,
    );
  }
  const isAligner = thinker.model_type.includes("forced_aligner");
  const end = generation.eos_token_id ?? DEFAULT_END_IDS;
  return {
    encoder: {
      melBins: audio.num_mel_bins,
      layers: audio.encoder_layers,
      heads: audio.encoder_attention_heads,
      ffnDim: audio.encoder_ffn_dim,
      dim: audio.d_model,
      outputDim: audio.output_dim,
      convChannels: audio.downsample_hidden_size,
      chunkFrames: 2 * audio.n_window,
      blockChunks: Math.max(1, Math.floor(audio.n_window_infer / (2 * audio.n_window))),
    },
    decoder: {
      vocabSize: text.vocab_size,
      hiddenSize: text.hidden_size,
      intermediateSize: text.intermediate_size,
      layers: text.num_hidden_layers,
      heads: text.num_attention_heads,
      kvHeads: text.num_key_value_heads,
      headDim: text.head_dim,
      normEps: text.rms_norm_eps,
      ropeTheta: text.rope_theta,
    },
    tiedHead: isAligner ? false : text.tie_word_embeddings,
    audioTokenId: thinker.audio_token_id,
    audioStartId: thinker.audio_start_token_id,
    audioEndId: thinker.audio_end_token_id,
    endIds: typeof end === "number" ? [end] : end,
    languages: config.support_languages,
    aligner: isAligner
      ? {
          classes: required(thinker.classify_num, "thinker_config.classify_num", location),
          timestampId: required(config.timestamp_token_id, "timestamp_token_id", location),
          segmentMs: required(config.timestamp_segment_time, "timestamp_segment_time", location),
        }
      : null,
  };
}

function required(value: number | undefined, field: string, location: string): number {
  if (value === undefined)
    throw new ConfigError(`${location}: config.json of a forced aligner lacks ${field}`);
  return value;
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
    `${where}: field ${issue.path.join(".") || "(whole file)"}: ${issue.message}; is this an official Qwen3-ASR checkpoint?`,
  );
}
