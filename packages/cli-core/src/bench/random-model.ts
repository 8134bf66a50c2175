import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import {
  FileSink,
  GgufWriter,
  planTensors,
  weightByteLength,
  type GgmlType,
  type PlannedTensor,
  type QuantizeProfile,
  type TensorInfo,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import { RandomWeights, zeroBlocks } from "./random-weights.js";

const SEED = 20240607;
const CHUNK_BYTES = 4 * 2 ** 20;

/** What a tensor does, as far as random values must differ by it. */
export type TensorRole =
  | "conv2d"
  | "linear"
  | "attention-output"
  | "mlp-output"
  | "embedding"
  | "norm"
  /** A last norm, whose signs are random. */
  | "final-norm"
  | "bias";

export interface TensorShape {
  readonly name: string;
  readonly role: TensorRole;
  readonly shape: readonly number[];
}

/** A model of random weights. */
export interface RandomModel {
  readonly tensors: readonly TensorShape[];
  /** How a real one is quantized. */
  readonly profile: QuantizeProfile;
  readonly metadata: ReadonlyMap<string, WritableMetadataValue>;
  /** Rows to be zero, per tensor, e.g. those of end tokens in a tied embedding. */
  readonly zeroRows: ReadonlyMap<string, readonly number[]>;
}

export interface RandomModelOptions {
  readonly signal: AbortSignal;
  onProgress(bytesDone: number, bytesTotal: number, tensor: string): void;
}

/**
 * Writes a whole model in one GGUF file, with the tensors and types that `quantize --scope all --quantize-embeddings`
 * gives a real one, straight in those types.
 *
 * A tied decoder does not loop soon: its final norm has random signs, so the token that a token's own embedding speaks
 * for is another one.
 * @throws ConfigError for an unknown type, ResourceError if the file exists or cannot be written
 */
export async function writeRandomModel(
  path: string,
  model: RandomModel,
  qtype: string,
  options: RandomModelOptions,
): Promise<void> {
  const tensors = planRandomModel(model, qtype);
  const roles = new Map(model.tensors.map(({ name, role }) => [name, role]));
  const sink = new FileSink(path);
  try {
    const writer = new GgufWriter(sink, tensors, { metadata: model.metadata });
    const random = new RandomWeights(SEED);
    let done = 0;
    for (const tensor of tensors) {
      const zeroRows = model.zeroRows.get(tensor.name) ?? [];
      for (const bytes of tensorBytes(tensor, roles.get(tensor.name)!, zeroRows, random)) {
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

/**
 * A file with a model of random weights, which is written where it is not there yet.
 * @param path its name must tell what is written; a change of that needs another
 * @returns the path
 * @throws as writeRandomModel
 */
export async function keptRandomModel(
  path: string,
  make: () => RandomModel | Promise<RandomModel>,
  qtype: string,
  options: RandomModelOptions,
): Promise<string> {
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  await writeRandomModel(path, await make(), qtype, options);
  return path;
}

/** Types and shapes of the file's tensors. @throws ConfigError for an unknown type */
export function planRandomModel(
  { tensors, profile }: Pick<RandomModel, "tensors" | "profile">,
  qtype: string,
): readonly PlannedTensor[] {
  const source = new Map<string, TensorInfo>();
  for (const { name, shape } of tensors) {
    const byteLength = weightByteLength("BF16", shape, name);
    source.set(name, { name, dtype: "BF16", shape, byteLength, file: "", offset: 0 });
  }
  return planTensors(source, { qtype, scope: "all", quantizeEmbeddings: true }, profile).tensors;
}

function* tensorBytes(
  { name, dtype, shape }: PlannedTensor,
  role: TensorRole,
  zeroRows: readonly number[],
  random: RandomWeights,
): Generator<Uint8Array> {
  const length = weightByteLength(dtype, shape, name);
  if (role === "norm" || role === "final-norm" || role === "bias") {
    yield vectorBytes(role, length / 4, random);
    return;
  }
  const columns = shape.slice(1).reduce((product, dim) => product * dim, 1);
  const rowBytes = length / shape[0]!;
  const step = rowBytes * Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let start = 0; start < length; start += step) {
    const bytes = new Uint8Array(Math.min(step, length - start));
    random.fill(dtype, bytes, deviationOf(role, columns));
    for (const row of zeroRows) zeroRow(dtype, bytes, row * rowBytes - start, rowBytes);
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

function vectorBytes(role: TensorRole, length: number, random: RandomWeights): Uint8Array {
  const values = new Float32Array(length);
  if (role === "norm") values.fill(1);
  if (role === "final-norm") for (let i = 0; i < length; i++) values[i] = random.sign();
  return new Uint8Array(values.buffer);
}

function zeroRow(dtype: GgmlType, bytes: Uint8Array, at: number, rowBytes: number): void {
  if (at >= 0 && at < bytes.length) zeroBlocks(dtype, bytes.subarray(at, at + rowBytes));
}
