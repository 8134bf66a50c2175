import { FormatError, UnsupportedError } from "../errors.js";
import { FileSink } from "../formats/byte-sink.js";
import type { ModelSource } from "../formats/folder.js";
import { GgufWriter, type WritableMetadataValue } from "../formats/gguf-writer.js";
import { openCheckpoint } from "../formats/open.js";
import { elementCount } from "../weight.js";
import { dequantize } from "./dequantize.js";

/**
 * Importance of the input columns of matrices, as llama.cpp's `llama-imatrix` collects it: sums of squared activations
 * and the number of activation rows they are of. GGUF tensors `NAME.in_sum2` [1, columns] and `NAME.counts` [1, 1], F32.
 */
export interface ImportanceSums {
  readonly sums: Float32Array;
  readonly count: number;
}

const SUMS_SUFFIX = ".in_sum2";
const COUNTS_SUFFIX = ".counts";

/** The largest model has some thousand matrices of some thousand columns. */
const MAX_IMPORTANCE_BYTES = 2 ** 28;

/**
 * Reads an importance file: mean square activation per column, by tensor name. A matrix that never saw data counts every
 * column alike.
 * @throws FormatError if it is none or does not fit together, UnsupportedError for one sum per expert
 */
export async function readImportance(source: ModelSource): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(source, { map: false });
  try {
    const total = checkpoint.files.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (total > MAX_IMPORTANCE_BYTES) {
      throw new FormatError(
        `${checkpoint.location}: ${total} bytes, an importance file has at most ${MAX_IMPORTANCE_BYTES}`,
      );
    }
    const readFloats = async (name: string): Promise<Float32Array> => {
      const { dtype, shape, bytes } = await checkpoint.read(name);
      if (dtype !== "F32") throw new FormatError(`${checkpoint.location}: ${name} is ${dtype}, expected F32`);
      const values = new Float32Array(elementCount(shape));
      dequantize("F32", bytes, values);
      return values;
    };
    const importance = new Map<string, Float32Array>();
    for (const key of checkpoint.tensors.keys()) {
      if (!key.endsWith(SUMS_SUFFIX)) continue;
      const name = key.slice(0, -SUMS_SUFFIX.length);
      if (!checkpoint.tensors.has(name + COUNTS_SUFFIX)) {
        throw new FormatError(`${checkpoint.location}: ${key} lacks its ${name}${COUNTS_SUFFIX}`);
      }
      const counts = await readFloats(name + COUNTS_SUFFIX);
      if (counts.length !== 1) {
        throw new UnsupportedError(
          `${checkpoint.location}: ${name} has ${counts.length} counts (experts), expected one`,
        );
      }
      const means = await readFloats(key);
      const count = counts[0]!;
      for (let i = 0; i < means.length; i++) {
        const mean = count > 0 ? means[i]! / count : 1;
        if (!(mean >= 0 && mean < Infinity)) {
          throw new FormatError(
            `${checkpoint.location}: ${key}[${i}] is ${means[i]}, expected a sum of squares`,
          );
        }
        means[i] = mean;
      }
      importance.set(name, means);
    }
    if (importance.size === 0) {
      throw new FormatError(
        `${checkpoint.location}: no tensor is named NAME${SUMS_SUFFIX}; expected an importance file of llama-imatrix (GGUF)`,
      );
    }
    return importance;
  } finally {
    await checkpoint.close();
  }
}

export interface ImportanceOrigin {
  /** What the sums were collected from: file names. */
  readonly datasets: readonly string[];
  /** Pieces of data, and tokens in each. */
  readonly chunks: number;
  readonly chunkSize: number;
}

/**
 * Writes an importance file that `readImportance` and llama.cpp read. Node only.
 * @throws ResourceError if the file exists and `force` is not set, or cannot be written
 */
export async function writeImportance(
  path: string,
  entries: ReadonlyMap<string, ImportanceSums>,
  origin: ImportanceOrigin,
  options: { readonly force?: boolean } = {},
): Promise<void> {
  const metadata = new Map<string, WritableMetadataValue>([
    ["general.type", "imatrix"],
    ["imatrix.datasets", [...origin.datasets]],
    ["imatrix.chunk_count", { type: "u32", value: origin.chunks }],
    ["imatrix.chunk_size", { type: "u32", value: origin.chunkSize }],
  ]);
  const sink = new FileSink(path, options);
  try {
    const writer = new GgufWriter(
      sink,
      [...entries].flatMap(([name, { sums }]) => [
        { name: name + SUMS_SUFFIX, dtype: "F32" as const, shape: [1, sums.length] },
        { name: name + COUNTS_SUFFIX, dtype: "F32" as const, shape: [1, 1] },
      ]),
      { metadata },
    );
    for (const [name, { sums, count }] of entries) {
      await writer.write(name + SUMS_SUFFIX, new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength));
      await writer.write(name + COUNTS_SUFFIX, new Uint8Array(Float32Array.of(count).buffer));
    }
    await writer.finish();
    await sink.commit();
  } catch (error) {
    sink.abort();
    throw error;
  }
}
