import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { QWEN3_ASR_QUANTIZE_PROFILE } from "@voxquant/asr-model";
import {
  EMBEDDED_FILE_PREFIX,
  FileSink,
  GgufWriter,
  fileTypeOf,
  planTensors,
  quantizationType,
  weightByteLength,
  type GgmlType,
  type PlannedTensor,
  type TensorInfo,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import { RandomWeights, zeroBlocks } from "./random-weights.js";
import {
  SYNTHETIC_SIZES,
  qwen3AsrShapes,
  type Qwen3AsrSizes,
  type SyntheticName,
  type TensorRole,
} from "./shapes.js";
import { SYNTHETIC_TOKENS, syntheticVocabulary } from "./synthetic-vocabulary.js";

/** Part of the file name: a change of what is written must not meet files of before. */
const FORM = 1;
const SEED = 20240607;
const CHUNK_BYTES = 4 * 2 ** 20;

const EMBEDDING = "thinker.model.embed_tokens.weight";
const FINAL_NORM = "thinker.model.norm.weight";
const TIED_HEAD = { head: "thinker.lm_head.weight", embedding: EMBEDDING };

export interface SyntheticOptions {
  readonly signal: AbortSignal;
  onProgress(bytesDone: number, bytesTotal: number, tensor: string): void;
}

/**
 * The file of a published model's sizes, kept in `folder` and used again.
 * @returns its path
 * @throws ConfigError for an unknown type, ResourceError if the file cannot be written
 */
export async function syntheticModel(
  name: SyntheticName,
  qtype: string,
  folder: string,
  options: SyntheticOptions,
): Promise<string> {
  const path = join(folder, `synthetic-${name}-${qtype.toLowerCase()}-${FORM}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  await writeSyntheticModel(path, SYNTHETIC_SIZES[name], qtype, options);
  return path;
}

/**
 * A whole model of random weights in one GGUF file, with the tensors and types that `quantize --scope all
 * --quantize-embeddings` gives a real one, written straight in those types.
 *
 * It never ends by itself: the embedding rows of the end tokens, which are their head rows too, are zero. Nor does it
 * loop soon: the final norm has random signs, so the token that a token's own embedding speaks for is another one.
 * @throws ConfigError for an unknown type, ResourceError if the file exists or cannot be written
 */
export async function writeSyntheticModel(
  path: string,
  sizes: Qwen3AsrSizes,
  qtype: string,
  options: SyntheticOptions,
): Promise<void> {
  const tensors = planSynthetic(sizes, qtype);
  const roles = new Map(qwen3AsrShapes(sizes).map(({ name, role }) => [name, role]));
  const sink = new FileSink(path);
  try {
    const writer = new GgufWriter(sink, tensors, { metadata: metadataOf(sizes, qtype) });
    const random = new RandomWeights(SEED);
    let done = 0;
    for (const tensor of tensors) {
      for (const bytes of tensorBytes(tensor, roles.get(tensor.name)!, random)) {
        options.signal.throwIfAborted();
        await writer.write(tensor.name, bytes);
        done += bytes.length;
        options.onProgress(done, writer.byteLength, tensor.name);
      }
    }
    await writer.finish();
    await sink.commit();
  } catch (error) {
    sink.abort();
    throw error;
  }
}

/** Types and shapes of the file's tensors. @throws ConfigError for an unknown type */
export function planSynthetic(sizes: Qwen3AsrSizes, qtype: string): readonly PlannedTensor[] {
  const source = new Map<string, TensorInfo>();
  for (const { name, shape } of qwen3AsrShapes(sizes)) {
    const byteLength = weightByteLength("BF16", shape, name);
    source.set(name, { name, dtype: "BF16", shape, byteLength, file: "", offset: 0 });
  }
  const recipe = { qtype, scope: "all", quantizeEmbeddings: true };
  return planTensors(source, recipe, { ...QWEN3_ASR_QUANTIZE_PROFILE, tiedHead: TIED_HEAD }).tensors;
}

function* tensorBytes(tensor: PlannedTensor, role: TensorRole, random: RandomWeights): Generator<Uint8Array> {
  const { name, dtype, shape } = tensor;
  const length = weightByteLength(dtype, shape, name);
  if (role === "norm" || role === "bias") {
    yield vectorBytes(name, role, length / 4, random);
    return;
  }
  const columns = shape.slice(1).reduce((product, dim) => product * dim, 1);
  const rowBytes = length / shape[0]!;
  const step = rowBytes * Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let start = 0; start < length; start += step) {
    const bytes = new Uint8Array(Math.min(step, length - start));
    random.fill(dtype, bytes, deviationOf(role, columns));
    if (name === EMBEDDING) zeroEndRows(dtype, bytes, start, rowBytes);
    yield bytes;
  }
}

/**
 * Outputs of unit size for normed inputs. What layers add to the residual stream is mostly the MLP's, which depends on the
 * token; what attention adds is nearly the same at each step, and would in the end choose one token for ever.
 */
function deviationOf(role: TensorRole, columns: number): number {
  if (role === "embedding") return 1;
  const gain = role === "mlp-output" ? 0.5 : role === "attention-output" ? 0.05 : 1;
  return gain / Math.sqrt(columns);
}

function vectorBytes(name: string, role: TensorRole, length: number, random: RandomWeights): Uint8Array {
  const values = new Float32Array(length);
  if (role === "norm") for (let i = 0; i < length; i++) values[i] = name === FINAL_NORM ? random.sign() : 1;
  return new Uint8Array(values.buffer);
}

function zeroEndRows(dtype: GgmlType, bytes: Uint8Array, start: number, rowBytes: number): void {
  for (const id of [SYNTHETIC_TOKENS.endOfText, SYNTHETIC_TOKENS.turnEnd]) {
    const at = id * rowBytes - start;
    if (at >= 0 && at < bytes.length) zeroBlocks(dtype, bytes.subarray(at, at + rowBytes));
  }
}

function metadataOf(sizes: Qwen3AsrSizes, qtype: string): Map<string, WritableMetadataValue> {
  const { vocabJson, mergesTxt, tokenizerConfigJson } = syntheticVocabulary();
  const entries = new Map<string, WritableMetadataValue>([
    ["general.architecture", "qwen3-asr"],
    ["general.name", "random weights"],
    ["general.file_type", { type: "u32", value: fileTypeOf(quantizationType(qtype)) }],
    ["general.quantization_version", { type: "u32", value: 2 }],
  ]);
  const files = {
    "config.json": JSON.stringify(configOf(sizes)),
    "generation_config.json": JSON.stringify({
      eos_token_id: [SYNTHETIC_TOKENS.endOfText, SYNTHETIC_TOKENS.turnEnd],
    }),
    "tokenizer_config.json": tokenizerConfigJson,
    "vocab.json": vocabJson,
    "merges.txt": mergesTxt,
  };
  for (const [file, text] of Object.entries(files)) entries.set(EMBEDDED_FILE_PREFIX + file, text);
  return entries;
}

function configOf(sizes: Qwen3AsrSizes): object {
  const { audioStart, audioEnd, audioPad } = SYNTHETIC_TOKENS;
  return {
    model_type: "qwen3_asr",
    support_languages: ["English"],
    thinker_config: {
      model_type: "qwen3_asr_thinker",
      audio_token_id: audioPad,
      audio_start_token_id: audioStart,
      audio_end_token_id: audioEnd,
      audio_config: { ...sizes, n_window: 50, n_window_infer: 800 },
      text_config: { ...sizes, rms_norm_eps: 1e-6, rope_theta: 1e6, max_position_embeddings: 65536 },
    },
  };
}
