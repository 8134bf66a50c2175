import {
  ConfigError,
  dequantize,
  elementCount,
  FormatError,
  isDense,
  ResourceError,
  type Checkpoint,
  type Runtime,
  type Weight,
} from "@voxquant/quant-core";
import { Qwen3Decoder, type WeightSource } from "@voxquant/nn";
import type { Qwen3AsrConfig } from "./config.js";
import { Qwen3AsrEncoder } from "./encoder.js";

// The only place that knows the official tensor names.
export const AUDIO_TOWER_PREFIX = "thinker.audio_tower.";
export const DECODER_PREFIX = "thinker.model.";
export const HEAD_NAME = "thinker.lm_head";

/** Tensors of a model from one checkpoint, or with the decoder's from a second one beside it. */
export class Qwen3AsrWeights implements WeightSource {
  readonly #main: Checkpoint;
  readonly #decoder: Checkpoint | null;
  /** What was read, so that a tied embedding and head are one object. */
  readonly #read = new Map<string, Promise<Weight>>();

  constructor(main: Checkpoint, decoder: Checkpoint | null) {
    this.#main = main;
    this.#decoder = decoder;
    if (decoder !== null && ![...decoder.tensors.keys()].some((name) => name.startsWith(DECODER_PREFIX))) {
      throw new ConfigError(
        `${decoder.location}: has no tensor named ${DECODER_PREFIX}…, so it is not the decoder of a Qwen3-ASR model`,
      );
    }
  }

  has(name: string): boolean {
    return this.#checkpointOf(name).tensors.has(name);
  }

  read(name: string): Promise<Weight> {
    let weight = this.#read.get(name);
    if (weight === undefined) {
      if (!this.has(name)) {
        const where = this.#checkpointOf(name).location;
        throw new ResourceError(
          `${where}: tensor ${name} is missing; the checkpoint is incomplete, or not a Qwen3-ASR model`,
        );
      }
      weight = this.#checkpointOf(name).read(name);
      this.#read.set(name, weight);
    }
    return weight;
  }

  async readVector(name: string): Promise<Float32Array> {
    const weight = await this.read(name);
    if (!isDense(weight.dtype)) {
      throw new FormatError(`${name} is ${weight.dtype}; norms and biases must be F32, F16 or BF16`);
    }
    const values = new Float32Array(elementCount(weight.shape));
    dequantize(weight.dtype, weight.bytes, values);
    return values;
  }

  /** Types of the linear weights with the bytes they take, largest first, as "Q8_0" or "Q8_0 with F16, F32". */
  summary(): string {
    const bytes = new Map<string, number>();
    for (const checkpoint of this.#decoder === null ? [this.#main] : [this.#main, this.#decoder]) {
      for (const { name, dtype, shape, byteLength } of checkpoint.tensors.values()) {
        if (shape.length < 2 || this.#checkpointOf(name) !== checkpoint) continue;
        bytes.set(dtype, (bytes.get(dtype) ?? 0) + byteLength);
      }
    }
    const [first, ...rest] = [...bytes].sort((a, b) => b[1] - a[1]).map(([dtype]) => dtype);
    return rest.length === 0 ? (first ?? "") : `${first} with ${rest.join(", ")}`;
  }

  /** Lets go of what was read: prepared layers keep what they need. */
  forget(): void {
    this.#read.clear();
  }

  #checkpointOf(name: string): Checkpoint {
    const fromDecoder =
      this.#decoder !== null && (name.startsWith(DECODER_PREFIX) || name.startsWith(HEAD_NAME));
    return fromDecoder && this.#decoder!.tensors.has(name) ? this.#decoder! : this.#main;
  }
}

export interface Qwen3AsrNetwork {
  readonly encoder: Qwen3AsrEncoder;
  readonly decoder: Qwen3Decoder;
}

/** Builds encoder and decoder. @throws ResourceError or ConfigError naming the tensor that is missing or of another size */
export async function loadNetwork(
  runtime: Runtime,
  weights: Qwen3AsrWeights,
  config: Qwen3AsrConfig,
): Promise<Qwen3AsrNetwork> {
  const encoder = await Qwen3AsrEncoder.load(runtime, weights, AUDIO_TOWER_PREFIX, config.encoder);
  const names = { model: DECODER_PREFIX, head: config.tiedHead ? null : HEAD_NAME };
  const decoder = await Qwen3Decoder.load(runtime, weights, names, config.decoder);
  weights.forget();
  return { encoder, decoder };
}
