import type { Checkpoint, TensorInfo, Weight } from "@voxquant/quant-core";
import type { CodecConfig } from "./config.js";
import { codecTensors } from "./tensors.js";

/** A small codec unlike the published one in every size; rows of 32 and more so that most matrices can be quantized. */
export const SMALL_CONFIG = {
  model_type: "qwen3_tts_tokenizer_12hz",
  encoder_valid_num_quantizers: 4,
  input_sample_rate: 8000,
  output_sample_rate: 8000,
  encode_downsample_rate: 24,
  decode_upsample_rate: 24,
  decoder_config: {
    codebook_size: 20,
    codebook_dim: 64,
    num_quantizers: 4,
    semantic_codebook_size: 999,
    latent_dim: 32,
    hidden_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    intermediate_size: 96,
    hidden_act: "silu",
    attention_bias: true,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    sliding_window: 6,
    decoder_dim: 64,
    upsampling_ratios: [2, 2],
    upsample_rates: [3, 2],
  },
  encoder_config: {
    sampling_rate: 8000,
    num_filters: 4,
    kernel_size: 7,
    last_kernel_size: 3,
    residual_kernel_size: 3,
    num_residual_layers: 1,
    dilation_growth_rate: 2,
    compress: 2,
    upsampling_ratios: [4, 3],
    hidden_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    head_dim: 16,
    intermediate_size: 48,
    norm_eps: 1e-5,
    rope_theta: 10000,
    sliding_window: 6,
    codebook_size: 20,
    codebook_dim: 32,
    num_quantizers: 8,
    vector_quantization_hidden_dimension: 32,
  },
};

const { floor, sqrt } = Math;

/** Uniform numbers in [−1, 1) that repeat with the seed (Lehmer's generator). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return (2 * state) / 2147483647 - 1;
  };
}

export function randomCodes(frames: number, config: CodecConfig, seed = 7): Int32Array {
  const random = randomNumbers(seed);
  const { codebookSize } = config.decoder;
  return Int32Array.from({ length: frames * config.groups }, () =>
    floor(((random() + 1) / 2) * codebookSize),
  );
}

export interface MemoryCheckpoint extends Pick<Checkpoint, "location" | "tensors" | "read"> {
  /** Names that were read, in order. */
  readonly reads: string[];
}

export function checkpointOf(weights: readonly Weight[]): MemoryCheckpoint {
  const byName = new Map(weights.map((weight) => [weight.name, weight]));
  const tensors = new Map<string, TensorInfo>(
    weights.map(({ name, dtype, shape, bytes }) => [
      name,
      { name, dtype, shape, byteLength: bytes.length, file: "memory", offset: 0 },
    ]),
  );
  const reads: string[] = [];
  const read = async (name: string) => {
    reads.push(name);
    return byName.get(name)!;
  };
  return { location: "memory", tensors, read, reads };
}

/** Official tensors with random values of bfloat16, decoder and encoder with the same codebooks. */
export function randomCheckpoint(config: CodecConfig): MemoryCheckpoint {
  const weights = new Map<string, Weight>();
  for (const tensor of codecTensors(config)) {
    tensor.sources.forEach((name, i) => {
      const shape = tensor.sourceShapes[i]!;
      const length = shape.reduce((product, dim) => product * dim, 1);
      // Of a codebook the name without its side, so that both sides are equal.
      const random = randomNumbers(
        seedOf(tensor.role === "codebook" ? `${tensor.sharedWith ?? tensor.name} ${i}` : name),
      );
      const values = Float32Array.from({ length }, () => valueFor(name, length / shape[0]!, random()));
      const bits = new Uint32Array(values.buffer).map((value) => value & 0xffff0000);
      weights.set(name, { name, dtype: "F32", shape, bytes: new Uint8Array(bits.buffer) });
    });
  }
  return checkpointOf([...weights.values()]);
}

function valueFor(name: string, fanIn: number, random: number): number {
  if (name.endsWith("cluster_usage")) return 1.5 + random;
  if (/norm\.weight$/.test(name)) return 1 + random / 4;
  if (/(alpha|beta|bias)$/.test(name)) return random / 4;
  if (/(scale|gamma)$/.test(name)) return random / 2;
  return fanIn === 1 ? random : random * sqrt(1 / fanIn);
}

function seedOf(text: string): number {
  let seed = 1;
  for (let i = 0; i < text.length; i++) seed = (seed * 31 + text.charCodeAt(i)) % 2147483646;
  return seed + 1;
}
