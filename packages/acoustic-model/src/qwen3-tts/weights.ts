import { ConfigError, Embedding, type Runtime } from "@voxquant/quant-core";
import { DecoderStack, loadLinear, type WeightSource } from "@voxquant/nn";
import { CodePredictor } from "./code-predictor.js";
import type { Qwen3TtsConfig } from "./config.js";
import { Talker } from "./talker.js";
import { TextProjection } from "./text-projection.js";

// The only place that knows the official names of the talker's, the code predictor's and the speaker encoder's tensors.
export const TALKER_PREFIX = "talker.";
export const CODE_PREDICTOR_PREFIX = "talker.code_predictor.";
export const SPEAKER_ENCODER_PREFIX = "speaker_encoder.";
export const TEXT_EMBEDDING_NAME = "talker.model.text_embedding.weight";
export const CODEC_EMBEDDING_NAME = "talker.model.codec_embedding.weight";
export const CODEC_HEAD_NAME = "talker.codec_head";
export const TEXT_PROJECTION_NAME = "talker.text_projection";
export const PREDICTOR_PROJECTION_NAME = "talker.code_predictor.small_to_mtp_projection";

/** Embedding of codebook `group`, 1 to the last, in the checkpoint. */
export function groupEmbeddingName(group: number): string {
  return `${CODE_PREDICTOR_PREFIX}model.codec_embedding.${group - 1}.weight`;
}

/** Head that predicts codebook `group`, 1 to the last, without `.weight`. */
export function groupHeadName(group: number): string {
  return `${CODE_PREDICTOR_PREFIX}lm_head.${group - 1}`;
}

export interface Qwen3TtsNetwork {
  readonly talker: Talker;
  readonly predictor: CodePredictor;
}

/** Builds talker and code predictor. @throws ResourceError or ConfigError naming the tensor that is missing or of another size */
export async function loadNetwork(
  runtime: Runtime,
  source: WeightSource,
  config: Qwen3TtsConfig,
): Promise<Qwen3TtsNetwork> {
  const { talker, predictor, codeGroups } = config;
  const width = talker.hiddenSize;
  const talkerParts = {
    stack: await DecoderStack.load(runtime, source, `${TALKER_PREFIX}model.`, talker),
    textEmbedding: await loadTable(runtime, source, TEXT_EMBEDDING_NAME, {
      rows: talker.textVocabSize,
      dim: talker.textHiddenSize,
    }),
    textProjection: await TextProjection.load(runtime, source, TEXT_PROJECTION_NAME, {
      in: talker.textHiddenSize,
      out: width,
    }),
    codecEmbedding: await loadTable(runtime, source, CODEC_EMBEDDING_NAME, {
      rows: talker.codecVocabSize,
      dim: width,
    }),
    codecHead: await loadLinear(runtime, source, CODEC_HEAD_NAME, { in: width, out: talker.codecVocabSize }),
  };

  const stack = await DecoderStack.load(runtime, source, `${CODE_PREDICTOR_PREFIX}model.`, predictor);
  const size = { in: width, out: predictor.hiddenSize };
  const projection =
    size.in === size.out
      ? null
      : await loadLinear(runtime, source, PREDICTOR_PROJECTION_NAME, size, { bias: true });
  const embeddings: Embedding[] = [];
  const heads = [];
  for (let group = 1; group < codeGroups; group++) {
    const rows = { rows: predictor.vocabSize, dim: width };
    embeddings.push(await loadTable(runtime, source, groupEmbeddingName(group), rows));
    const headSize = { in: predictor.hiddenSize, out: predictor.vocabSize };
    heads.push(await loadLinear(runtime, source, groupHeadName(group), headSize));
  }
  return {
    talker: new Talker(talker, runtime, talkerParts),
    predictor: new CodePredictor(runtime, { stack, projection, embeddings, heads }),
  };
}

async function loadTable(
  runtime: Runtime,
  source: WeightSource,
  name: string,
  size: { readonly rows: number; readonly dim: number },
): Promise<Embedding> {
  const table = new Embedding(runtime, await source.read(name));
  if (table.dim !== size.dim || table.count !== size.rows) {
    throw new ConfigError(
      `${name} is [${table.count}, ${table.dim}], the model's config asks for [${size.rows}, ${size.dim}]`,
    );
  }
  return table;
}
