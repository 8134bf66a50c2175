import type { Tensor2D } from "@tensorflow/tfjs-core";
import {
  ConfigError,
  writeImportance,
  type ImportanceSums,
  type ModelSource,
  type Runtime,
} from "@voxquant/quant-core";
import type { AudioInput, TranscribeOptions } from "../asr-model.js";
import { loadQwen3Asr, type LoadAsrOptions } from "../load.js";
import { transcribe } from "../transcriber.js";
import { factsOf } from "./recognizer.js";

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

  /** The sums so far, by the weight's name. */
  sums(): Map<string, ImportanceSums> {
    const names = [...this.#entries.keys()].sort();
    return new Map(
      names.map((name) => {
        const { sums, rows } = this.#entries.get(name)!;
        return [name, { sums: Float32Array.from(sums), count: rows }];
      }),
    );
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

export interface CollectImatrixOptions
  extends
    Omit<LoadAsrOptions, "precision" | "onProgress">,
    Pick<TranscribeOptions, "language" | "onProgress"> {
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
          factsOf(model),
        ),
      );
      audioSeconds += transcript.audioSeconds;
    }
    const datasets = recordings.map((recording, i) =>
      typeof recording === "string" ? recording : `recording ${i + 1}`,
    );
    const sums = collector.sums();
    if (sums.size === 0) throw new ConfigError(`no speech in ${datasets.join(", ")}: nothing was measured`);
    const origin = { datasets, chunks: datasets.length, chunkSize: 1 };
    await writeImportance(output, sums, origin, force === undefined ? {} : { force });
    return { tensors: sums.size, audioSeconds };
  } finally {
    await model.dispose();
  }
}
