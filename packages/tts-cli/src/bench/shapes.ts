import { codecTensors, parseCodecConfig } from "@voxquant/acoustic-model";
import { qwen3LayerShapes, type Qwen3Sizes, type TensorRole, type TensorShape } from "@voxquant/cli-core";

/** Sizes of a Qwen3-TTS checkpoint, under the names of its config.json. */
export interface Qwen3TtsSizes {
  readonly talker: TalkerSizes;
  readonly predictor: PredictorSizes;
  /** config.json of the speech tokenizer, of which only the decoder is asked for. */
  readonly codec: { readonly decoder_config: object; readonly [field: string]: unknown };
}

interface TalkerSizes extends Qwen3Sizes {
  readonly vocab_size: number;
  readonly text_vocab_size: number;
  readonly text_hidden_size: number;
  readonly num_code_groups: number;
}

interface PredictorSizes extends Qwen3Sizes {
  readonly vocab_size: number;
  readonly num_code_groups: number;
}

const HEADS = {
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  num_code_groups: 16,
} as const;

const TALKER = {
  ...HEADS,
  num_hidden_layers: 28,
  vocab_size: 3072,
  text_vocab_size: 151936,
  text_hidden_size: 2048,
} as const;

const PREDICTOR = {
  ...HEADS,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 5,
  vocab_size: 2048,
} as const;

const CODEC = {
  model_type: "qwen3_tts_tokenizer_12hz",
  input_sample_rate: 24000,
  output_sample_rate: 24000,
  encode_downsample_rate: 1920,
  decode_upsample_rate: 1920,
  decoder_config: {
    codebook_size: 2048,
    codebook_dim: 512,
    num_quantizers: 16,
    latent_dim: 1024,
    hidden_size: 512,
    num_hidden_layers: 8,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    head_dim: 64,
    intermediate_size: 1024,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    sliding_window: 72,
    decoder_dim: 1536,
    upsampling_ratios: [2, 2],
    upsample_rates: [8, 5, 4, 3],
  },
} as const;

/** The published checkpoints that bring their own voices (their config.json); these have no speaker encoder. */
export const SYNTHETIC_SIZES = {
  "qwen3-tts-0.6b": {
    talker: { ...TALKER, hidden_size: 1024, intermediate_size: 3072 },
    predictor: PREDICTOR,
    codec: CODEC,
  },
  "qwen3-tts-1.7b": {
    talker: { ...TALKER, hidden_size: 2048, intermediate_size: 6144 },
    predictor: PREDICTOR,
    codec: CODEC,
  },
} as const satisfies Record<string, Qwen3TtsSizes>;

export type SyntheticName = keyof typeof SYNTHETIC_SIZES;

export const CODEC_HEAD = "talker.codec_head.weight";

/** Every tensor of a complete file of these sizes. */
export function qwen3TtsShapes(sizes: Qwen3TtsSizes): TensorShape[] {
  return [...talkerShapes(sizes), ...codecShapes(sizes)];
}

/** Talker and code predictor, under their official names. */
export function talkerShapes({ talker, predictor }: Qwen3TtsSizes): TensorShape[] {
  const { hidden_size: hidden, text_hidden_size: textHidden } = talker;
  const matrix = (name: string, role: TensorRole, ...shape: number[]): TensorShape => ({ name, role, shape });
  const withBias = (name: string, out: number, inputs: number): TensorShape[] => [
    matrix(`${name}.weight`, "linear", out, inputs),
    matrix(`${name}.bias`, "bias", out),
  ];
  const list = [
    ...qwen3LayerShapes("talker.model.", talker),
    matrix("talker.model.codec_embedding.weight", "embedding", talker.vocab_size, hidden),
    matrix("talker.model.text_embedding.weight", "embedding", talker.text_vocab_size, textHidden),
    ...withBias("talker.text_projection.linear_fc1", textHidden, textHidden),
    ...withBias("talker.text_projection.linear_fc2", hidden, textHidden),
    matrix(CODEC_HEAD, "linear", talker.vocab_size, hidden),
    ...qwen3LayerShapes("talker.code_predictor.model.", predictor),
  ];
  for (let group = 0; group < predictor.num_code_groups - 1; group++) {
    const embedding = `talker.code_predictor.model.codec_embedding.${group}.weight`;
    list.push(matrix(embedding, "embedding", predictor.vocab_size, hidden));
    const head = `talker.code_predictor.lm_head.${group}.weight`;
    list.push(matrix(head, "linear", predictor.vocab_size, predictor.hidden_size));
  }
  if (hidden !== predictor.hidden_size)
    list.push(...withBias("talker.code_predictor.small_to_mtp_projection", predictor.hidden_size, hidden));
  return list;
}

/** The codec's decoder as it is stored in a complete file. */
export function codecShapes({ codec }: Qwen3TtsSizes): TensorShape[] {
  return codecTensors(parseCodecConfig(JSON.stringify(codec), "synthetic model")).map(
    ({ name, shape, role }) => {
      if (role === "matrix") return { name, shape, role: "linear" };
      if (role === "codebook") return { name, shape, role: "embedding" };
      return { name, shape, role: name.endsWith(".bias") ? "bias" : "norm" };
    },
  );
}
