import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { TraceSink } from "@voxquant/nn";

interface Stage {
  readonly channelsFirst: boolean;
  readonly width: number;
  readonly parts: Float32Array[];
}

/**
 * Collects the stages of a decode that runs in pieces and gives each to the sink as one tensor, in the orientation of
 * the reference: convolutional signals channels first, the transformer's time first.
 */
export class StageTrace {
  readonly #stages = new Map<string, Stage>();

  /** A part of a convolutional signal, `[time, channels]` here, `[channels, time]` for the sink. */
  signal(name: string, x: Tensor2D): void {
    this.#add(name, x, true);
  }

  /** A part of what is `[time, channels]` for the sink too. */
  rows(name: string, x: Tensor2D): void {
    this.#add(name, x, false);
  }

  emit(sink: TraceSink): void {
    for (const [name, { channelsFirst, width, parts }] of this.#stages) {
      const length = parts.reduce((total, part) => total + part.length, 0);
      const rows = length / width;
      const data = new Float32Array(length);
      let at = 0;
      for (const part of parts) {
        data.set(part, at);
        at += part.length;
      }
      sink(
        name,
        channelsFirst
          ? { shape: [width, rows], data: transposed(data, rows, width) }
          : { shape: [rows, width], data },
      );
    }
  }

  #add(name: string, x: Tensor2D, channelsFirst: boolean): void {
    let stage = this.#stages.get(name);
    if (stage === undefined) {
      stage = { channelsFirst, width: x.shape[1], parts: [] };
      this.#stages.set(name, stage);
    }
    stage.parts.push(Float32Array.from(x.dataSync()));
  }
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = data[r * columns + c]!;
  }
  return result;
}
