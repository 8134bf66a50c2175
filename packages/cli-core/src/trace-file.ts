import { writeSafetensors } from "@voxquant/quant-core";

/** A stage tensor of a model's run, as the model packages' trace sinks get it. */
interface StageTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** Collects a run's stage tensors and writes them as one safetensors file. */
export class TraceFile {
  readonly #tensors = new Map<string, { shape: number[]; data: Float32Array | Int32Array }>();

  readonly sink = (name: string, { shape, data }: StageTensor): void => {
    // A stage that runs once per segment: the second one is NAME#2.
    let unique = name;
    for (let count = 2; this.#tensors.has(unique); count++) unique = `${name}#${count}`;
    this.#tensors.set(unique, { shape: [...shape], data: data.slice() });
  };

  /** Writes what was collected; whole or not at all. */
  async write(path: string): Promise<void> {
    await writeSafetensors(
      path,
      [...this.#tensors].map(([name, { shape, data }]) => ({
        name,
        dtype: data instanceof Int32Array ? "I32" : "F32",
        shape,
        bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      })),
    );
  }
}
