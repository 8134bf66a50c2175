import { ConfigError, type Checkpoint, type Runtime } from "@voxquant/quant-core";
import { CheckpointWeights, Qwen3Decoder } from "@voxquant/nn";
import type { Qwen3AsrConfig } from "./config.js";
import { Qwen3AsrEncoder } from "./encoder.js";

// The only place that knows the official tensor names.
export const AUDIO_TOWER_PREFIX = "thinker.audio_tower.";
export const DECODER_PREFIX = "thinker.model.";
export const HEAD_NAME = "thinker.lm_head";

/** Tensors of a model from one checkpoint, or with the decoder's from a second one beside it. */
export class Qwen3AsrWeights extends CheckpointWeights {
  constructor(main: Checkpoint, decoder: Checkpoint | null) {
    const part = decoder && { checkpoint: decoder, prefixes: [DECODER_PREFIX, HEAD_NAME] };
    super(main, "Qwen3-ASR", part);
    if (decoder !== null && ![...decoder.tensors.keys()].some((name) => name.startsWith(DECODER_PREFIX))) {
      throw new ConfigError(
        `${decoder.location}: has no tensor named ${DECODER_PREFIX}…, so it is not the decoder of a Qwen3-ASR model`,
      );
    }
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
