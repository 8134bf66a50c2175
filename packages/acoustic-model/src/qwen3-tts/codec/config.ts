import { ConfigError, UnsupportedError } from "@voxquant/quant-core";
import { z } from "zod";

/** Sizes of the decoder: codes → waveform. */
export interface CodecDecoderConfig {
  /** Entries per codebook. */
  readonly codebookSize: number;
  /** Width of a codebook's entries. */
  readonly codebookWidth: number;
  /** Width of the quantizer's output. */
  readonly quantizerDim: number;
  /** Width between the convolution before the transformer and the upsampling. */
  readonly latentDim: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly attentionBias: boolean;
  readonly normEps: number;
  readonly ropeTheta: number;
  /** Frames that a frame attends to, itself included. */
  readonly window: number;
  /** Channels before the blocks, then after each of them. */
  readonly channels: readonly number[];
  /** Strides of the upsampling at the latent width. */
  readonly upsamplingRatios: readonly number[];
  /** Strides of the blocks. */
  readonly blockRates: readonly number[];
}

/** Sizes of the encoder: waveform → codes (a Mimi encoder). */
export interface CodecEncoderConfig {
  readonly filters: number;
  readonly kernel: number;
  readonly lastKernel: number;
  readonly residualKernel: number;
  readonly residualLayers: number;
  readonly dilationGrowth: number;
  /** A residual unit is this much narrower inside. */
  readonly compress: number;
  /** Strides in the encoder's order, the reverse of the file's. */
  readonly strides: readonly number[];
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly normEps: number;
  readonly ropeTheta: number;
  /** Feature frames of the config's attention window; the reference attends to all of the past. */
  readonly window: number;
  readonly codebookSize: number;
  readonly codebookWidth: number;
}

/** The 12 Hz speech tokenizer of Qwen3-TTS. */
export interface CodecConfig {
  /** Hz, of input and output. */
  readonly sampleRate: number;
  readonly samplesPerFrame: number;
  /** Codes per frame: one semantic, the others acoustic. */
  readonly groups: number;
  readonly decoder: CodecDecoderConfig;
  /** Null where the config describes no encoder. */
  readonly encoder: CodecEncoderConfig | null;
}

/** One layer of the SEANet encoder at its place in the official list, activations included. */
export type SeanetLayer =
  | { readonly index: number; readonly kind: "elu" }
  | {
      readonly index: number;
      readonly kind: "conv";
      readonly inChannels: number;
      readonly outChannels: number;
      readonly kernel: number;
      readonly stride: number;
    }
  | {
      readonly index: number;
      readonly kind: "residual";
      readonly channels: number;
      readonly inner: number;
      readonly kernel: number;
      readonly dilation: number;
    };

/** Layers of the encoder's convolutions in order (modeling_mimi.py `MimiEncoder`). */
export function seanetLayers(config: CodecEncoderConfig): SeanetLayer[] {
  const layers: SeanetLayer[] = [];
  const elu = () => layers.push({ index: layers.length, kind: "elu" });
  const conv = (inChannels: number, outChannels: number, kernel: number, stride: number) =>
    layers.push({ index: layers.length, kind: "conv", inChannels, outChannels, kernel, stride });
  let channels = config.filters;
  conv(1, channels, config.kernel, 1);
  for (const stride of config.strides) {
    for (let i = 0; i < config.residualLayers; i++) {
      layers.push({
        index: layers.length,
        kind: "residual",
        channels,
        inner: Math.floor(channels / config.compress),
        kernel: config.residualKernel,
        dilation: config.dilationGrowth ** i,
      });
    }
    elu();
    conv(channels, 2 * channels, 2 * stride, stride);
    channels *= 2;
  }
  elu();
  conv(channels, config.hiddenSize, config.lastKernel, 1);
  return layers;
}

// Bounds far above every published size: what is allocated before a tensor's own size is known stays small.
const size = z.number().int().positive().max(65536);
const layerCount = z.number().int().positive().max(256);
const ratios = z.array(z.number().int().positive().max(64)).min(1).max(8);
const positive = z.number().positive();

// Every size is required: upstream's class defaults are those of another model and would silently build a wrong network.
// semantic_codebook_size is not read: the network's semantic codebook has codebook_size entries whatever it says.
const decoderSchema = z.object({
  codebook_size: size,
  codebook_dim: size.multipleOf(2),
  num_quantizers: size.min(2),
  num_semantic_quantizers: z.literal(1).default(1),
  latent_dim: size,
  hidden_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.multipleOf(2),
  intermediate_size: size,
  hidden_act: z.literal("silu").default("silu"),
  attention_bias: z.boolean().default(false),
  rms_norm_eps: positive,
  rope_theta: positive,
  sliding_window: size,
  decoder_dim: size,
  upsampling_ratios: ratios,
  upsample_rates: ratios,
});

const encoderSchema = z.object({
  audio_channels: z.literal(1).default(1),
  sampling_rate: size,
  num_filters: size,
  kernel_size: size,
  last_kernel_size: size,
  residual_kernel_size: size,
  num_residual_layers: layerCount.max(8),
  dilation_growth_rate: size.max(16),
  compress: size,
  upsampling_ratios: ratios,
  use_causal_conv: z.literal(true).default(true),
  use_conv_shortcut: z.literal(false).default(false),
  pad_mode: z.literal("constant").default("constant"),
  hidden_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.multipleOf(2),
  intermediate_size: size,
  hidden_act: z.literal("gelu").default("gelu"),
  attention_bias: z.literal(false).default(false),
  norm_eps: positive,
  rope_theta: positive,
  sliding_window: size,
  codebook_size: size,
  codebook_dim: size,
  num_quantizers: size,
  num_semantic_quantizers: z.literal(1).default(1),
  vector_quantization_hidden_dimension: size,
});

const configSchema = z.object({
  model_type: z.literal("qwen3_tts_tokenizer_12hz"),
  encoder_valid_num_quantizers: size.optional(),
  input_sample_rate: z.number().int().positive().max(768000),
  output_sample_rate: z.number().int().positive().max(768000),
  encode_downsample_rate: size,
  decode_upsample_rate: size,
  decoder_config: decoderSchema,
  encoder_config: encoderSchema.optional(),
});

type ParsedConfig = z.infer<typeof configSchema>;

/** Most floats that one stream's keys and values may take (256 MB); the published model's take 2 million. */
const MAX_CACHE_FLOATS = 2 ** 26;

/** `config.json` of the codec's folder in a checkpoint. */
export const CODEC_CONFIG_FILE = "speech_tokenizer/config.json";

/**
 * Parses the config.json of a 12 Hz speech tokenizer.
 * @param location the checkpoint, for messages
 * @throws UnsupportedError for the 25 Hz tokenizer, ConfigError naming the field that is missing, wrong or contradictory
 */
export function parseCodecConfig(json: string, location: string): CodecConfig {
  const where = `${location}: ${CODEC_CONFIG_FILE}`;
  const config = parse(json, where);
  const refuse = (problem: string): never => {
    throw new ConfigError(`${where} has ${problem}`);
  };
  const { decoder_config: decoder, encoder_config: encoder } = config;
  if (config.input_sample_rate !== config.output_sample_rate) {
    refuse(
      `input_sample_rate ${config.input_sample_rate} and output_sample_rate ${config.output_sample_rate}; they must be equal`,
    );
  }
  const samplesPerFrame = product(decoder.upsampling_ratios) * product(decoder.upsample_rates);
  if (samplesPerFrame !== config.decode_upsample_rate) {
    refuse(
      `decode_upsample_rate ${config.decode_upsample_rate}, but upsampling_ratios and upsample_rates multiply to ${samplesPerFrame}`,
    );
  }
  checkHeads("decoder_config", decoder, refuse);
  const cache = 2 * decoder.num_hidden_layers * decoder.num_key_value_heads * decoder.head_dim;
  if (cache * decoder.sliding_window > MAX_CACHE_FLOATS) {
    refuse(`a sliding_window of ${decoder.sliding_window}, more than fits the memory of a stream`);
  }
  const channels = [decoder.decoder_dim];
  decoder.upsample_rates.forEach(() => channels.push(Math.floor(channels.at(-1)! / 2)));
  if (channels.at(-1)! < 1) refuse(`decoder_dim ${decoder.decoder_dim}, too little to halve in every block`);
  return {
    sampleRate: config.output_sample_rate,
    samplesPerFrame,
    groups: decoder.num_quantizers,
    decoder: {
      codebookSize: decoder.codebook_size,
      codebookWidth: decoder.codebook_dim / 2,
      quantizerDim: decoder.codebook_dim,
      latentDim: decoder.latent_dim,
      hiddenSize: decoder.hidden_size,
      layers: decoder.num_hidden_layers,
      heads: decoder.num_attention_heads,
      kvHeads: decoder.num_key_value_heads,
      headDim: decoder.head_dim,
      intermediateSize: decoder.intermediate_size,
      attentionBias: decoder.attention_bias,
      normEps: decoder.rms_norm_eps,
      ropeTheta: decoder.rope_theta,
      window: decoder.sliding_window,
      channels,
      upsamplingRatios: decoder.upsampling_ratios,
      blockRates: decoder.upsample_rates,
    },
    encoder: encoder === undefined ? null : encoderConfig(config, encoder, refuse),
  };
}

function encoderConfig(
  config: ParsedConfig,
  encoder: NonNullable<ParsedConfig["encoder_config"]>,
  refuse: (problem: string) => never,
): CodecEncoderConfig {
  const groups = config.decoder_config.num_quantizers;
  const valid = config.encoder_valid_num_quantizers ?? encoder.num_quantizers;
  if (valid !== groups || encoder.num_quantizers < groups) {
    refuse(
      `${valid} valid of ${encoder.num_quantizers} encoder quantizers, the decoder takes ${groups} codes per frame`,
    );
  }
  if (encoder.sampling_rate !== config.input_sample_rate) {
    refuse(
      `encoder_config.sampling_rate ${encoder.sampling_rate}, but input_sample_rate ${config.input_sample_rate}`,
    );
  }
  // The last convolution halves the rate.
  const hop = 2 * product(encoder.upsampling_ratios);
  if (hop !== config.encode_downsample_rate || hop !== config.decode_upsample_rate) {
    refuse(
      `encode_downsample_rate ${config.encode_downsample_rate} and decode_upsample_rate ${config.decode_upsample_rate}, ` +
        `but the encoder's strides multiply to ${hop}; the three must be equal`,
    );
  }
  if (encoder.codebook_dim !== encoder.vector_quantization_hidden_dimension) {
    refuse(
      `encoder_config.codebook_dim ${encoder.codebook_dim}, which must equal vector_quantization_hidden_dimension ${encoder.vector_quantization_hidden_dimension}`,
    );
  }
  if (encoder.num_filters < encoder.compress) {
    refuse(
      `encoder_config.num_filters ${encoder.num_filters}, too little to be compressed by ${encoder.compress}`,
    );
  }
  const reach =
    encoder.residual_kernel_size * encoder.dilation_growth_rate ** (encoder.num_residual_layers - 1);
  if (reach > 65536) refuse(`encoder_config with residual units that reach back ${reach} rows`);
  checkHeads("encoder_config", encoder, refuse);
  return {
    filters: encoder.num_filters,
    kernel: encoder.kernel_size,
    lastKernel: encoder.last_kernel_size,
    residualKernel: encoder.residual_kernel_size,
    residualLayers: encoder.num_residual_layers,
    dilationGrowth: encoder.dilation_growth_rate,
    compress: encoder.compress,
    strides: [...encoder.upsampling_ratios].reverse(),
    hiddenSize: encoder.hidden_size,
    layers: encoder.num_hidden_layers,
    heads: encoder.num_attention_heads,
    kvHeads: encoder.num_key_value_heads,
    headDim: encoder.head_dim,
    intermediateSize: encoder.intermediate_size,
    normEps: encoder.norm_eps,
    ropeTheta: encoder.rope_theta,
    window: encoder.sliding_window,
    codebookSize: encoder.codebook_size,
    codebookWidth: encoder.codebook_dim,
  };
}

function checkHeads(
  part: string,
  sizes: { num_attention_heads: number; num_key_value_heads: number },
  refuse: (problem: string) => never,
): void {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads } = sizes;
  if (heads % kvHeads !== 0) refuse(`${part} with ${heads} attention heads for ${kvHeads} key-value heads`);
}

function product(factors: readonly number[]): number {
  return factors.reduce((total, factor) => total * factor, 1);
}

function parse(json: string, where: string): ParsedConfig {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new ConfigError(`${where} is not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  if ((value as { model_type?: unknown } | null)?.model_type === "qwen3_tts_tokenizer_25hz") {
    throw new UnsupportedError(
      `${where}: this is the 25 Hz speech tokenizer; use a checkpoint with the 12 Hz one (qwen3_tts_tokenizer_12hz)`,
    );
  }
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new ConfigError(
    `${where}: field ${issue.path.join(".") || "(whole file)"}: ${issue.message}; is this an official Qwen3-TTS 12 Hz speech tokenizer?`,
  );
}
