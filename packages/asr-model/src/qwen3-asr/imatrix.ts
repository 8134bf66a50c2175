import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  FileSink,
  GgufWriter,
  type ByteSink,
  type ModelSource,
  type Runtime,
  type WritableMetadataValue,
} from "@voxquant/quant-core";
import type { AudioInput, TranscribeOptions } from "../asr-model.js";
import { loadQwen3Asr, type LoadAsrOptions } from "../load.js";
import { transcribe } from "../transcriber.js";

/** How strongly each input column of each linear weight is used, measured on audio. */
export interface ImportanceMatrix {
  /** By the weight's name: sum of x² per column, and how many rows of x were seen. */
  readonly entries: ReadonlyMap<string, { readonly sums: Float64Array; readonly rows: number }>;
  /** Recordings it was measured on, by name. */
  readonly datasets: readonly string[];
}

/** Adds up the squares of what goes into a runtime's linear layers. */
export class ImatrixCollector {
  readonly #entries = new Map<string, { sums: Float64Array; rows: number }>();
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Runs `work` and counts the activations in it. */
  async observe<T>(work: () => Promise<T>): Promise<T> {
    this.#runtime.observe = (name, x) => this.#add(name, x);
    try {
      return await work();
    } finally {
      this.#runtime.observe = null;
    }
  }

  /** The sums so far. */
  matrix(datasets: readonly string[]): ImportanceMatrix {
    return { entries: this.#entries, datasets };
  }

  #add(name: string, x: Tensor2D): void {
    const [rows, columns] = x.shape;
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { sums: new Float64Array(columns), rows: 0 };
      this.#entries.set(name, entry);
    }
    const { sums } = entry;
    const values = x.dataSync() as Float32Array;
    for (let at = 0, row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, at++) sums[column]! += values[at]! * values[at]!;
    }
    entry.rows += rows;
  }
}

/**
 * Writes an importance matrix as llama.cpp's tools do (GGUF, `general.type` "imatrix"): for each weight NAME the tensors
 * `NAME.in_sum2` `[columns]` and `NAME.counts` `[1]`, float32, under the checkpoint's own names.
 */
export async function writeImatrix(matrix: ImportanceMatrix, sink: ByteSink): Promise<void> {
  const names = [...matrix.entries.keys()].sort();
  const tensors = names.flatMap((name) => [
    { name: `${name}.in_sum2`, dtype: "F32" as const, shape: [matrix.entries.get(name)!.sums.length] },
    { name: `${name}.counts`, dtype: "F32" as const, shape: [1] },
  ]);
  const metadata = new Map<string, WritableMetadataValue>([
    ["general.type", "imatrix"],
    ["imatrix.datasets", [...matrix.datasets]],
    ["imatrix.chunk_count", matrix.datasets.length],
    ["imatrix.chunk_size", 1],
  ]);
  const writer = new GgufWriter(sink, tensors, { metadata });
  for (const name of names) {
    const { sums, rows } = matrix.entries.get(name)!;
    await writer.write(`${name}.in_sum2`, bytesOf(Float32Array.from(sums)));
    await writer.write(`${name}.counts`, bytesOf(Float32Array.of(rows)));
  }
  await writer.finish();
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

export interface CollectImatrixOptions
  extends Omit<LoadAsrOptions, "precision" | "onProgress">, Pick<TranscribeOptions, "language" | "onProgress"> {
  /** The GGUF file to write. */
  readonly output: string;
  /** Replace an existing output. */
  readonly force?: boolean;
}

/**
 * Transcribes recordings with float activations, measures what goes into each linear layer on the way, and writes the
 * importance matrix for `quantize --imatrix`. Node only; nothing is left behind on failure.
 * @param source model to measure, best the unquantized one
 * @returns how many weights were measured, on how much audio
 * @throws what loading, transcribing and writing throw
 */
export async function collectImatrix(
  source: ModelSource,
  recordings: readonly AudioInput[],
  options: CollectImatrixOptions,
): Promise<{ tensors: number; audioSeconds: number }> {
  const { output, force, language, onProgress, signal, ...rest } = options;
  const { model } = await loadQwen3Asr(source, "qwen3-asr", {
    ...rest,
    precision: "exact",
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const collector = new ImatrixCollector(model.runtime);
    let audioSeconds = 0;
    for (const recording of recordings) {
      const before = audioSeconds;
      const transcript = await collector.observe(() =>
        transcribe(
          model,
          recording,
          {
            ...(signal === undefined ? {} : { signal }),
            ...(language === undefined ? {} : { language }),
            onProgress: ({ secondsDone, segments }) =>
              onProgress?.({ secondsDone: before + secondsDone, secondsTotal: null, segments }),
          },
          0,
        ),
      );
      audioSeconds += transcript.audioSeconds;
    }
    const datasets = recordings.map((recording, i) => (typeof recording === "string" ? recording : `recording ${i + 1}`));
    const matrix = collector.matrix(datasets);
    const sink = new FileSink(output, force === undefined ? {} : { force });
    try {
      await writeImatrix(matrix, sink);
      await sink.commit();
    } catch (error) {
      sink.abort();
      throw error;
    }
    return { tensors: matrix.entries.size, audioSeconds };
  } finally {
    await model.dispose();
  }
}
