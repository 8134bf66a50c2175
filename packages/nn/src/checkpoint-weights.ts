import {
  dequantize,
  elementCount,
  FormatError,
  isDense,
  ResourceError,
  type Checkpoint,
  type Weight,
} from "@voxquant/quant-core";
import type { WeightSource } from "./weight-source.js";

/** A second checkpoint that has some of a model's tensors. */
export interface CheckpointPart {
  readonly checkpoint: Checkpoint;
  /** Tensors that it has are taken from it if their names begin with one of these. */
  readonly prefixes: readonly string[];
}

/** Tensors of a model from one checkpoint, or with a part of them from a second one beside it. */
export class CheckpointWeights implements WeightSource {
  readonly #main: Checkpoint;
  readonly #part: CheckpointPart | null;
  readonly #title: string;
  /** What was read, so that a tied embedding and head are one object. */
  readonly #read = new Map<string, Promise<Weight>>();

  /** `title` of the model, for messages. */
  constructor(main: Checkpoint, title: string, part: CheckpointPart | null = null) {
    this.#main = main;
    this.#part = part;
    this.#title = title;
  }

  has(name: string): boolean {
    return this.#checkpointOf(name).tensors.has(name);
  }

  read(name: string): Promise<Weight> {
    let weight = this.#read.get(name);
    if (weight === undefined) {
      const checkpoint = this.#checkpointOf(name);
      if (!checkpoint.tensors.has(name)) {
        throw new ResourceError(
          `${checkpoint.location}: tensor ${name} is missing; the checkpoint is incomplete, or not a ${this.#title} model`,
        );
      }
      weight = checkpoint.read(name);
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

  /** Types of the matrices by the bytes they take, largest first, as "Q8_0" or "Q8_0 with F16, F32". */
  summary(): string {
    const bytes = new Map<string, number>();
    for (const checkpoint of this.#checkpoints()) {
      for (const { name, dtype, shape, byteLength } of checkpoint.tensors.values()) {
        if (shape.length < 2 || this.#checkpointOf(name) !== checkpoint) continue;
        bytes.set(dtype, (bytes.get(dtype) ?? 0) + byteLength);
      }
    }
    const [first, ...rest] = [...bytes].sort((a, b) => b[1] - a[1]).map(([dtype]) => dtype);
    return rest.length === 0 ? (first ?? "") : `${first} with ${rest.join(", ")}`;
  }

  /** Bytes of all tensors in use. */
  get byteLength(): number {
    let sum = 0;
    for (const checkpoint of this.#checkpoints()) {
      for (const { name, byteLength } of checkpoint.tensors.values()) {
        if (this.#checkpointOf(name) === checkpoint) sum += byteLength;
      }
    }
    return sum;
  }

  /** Lets go of what was read: prepared layers keep what they need. */
  forget(): void {
    this.#read.clear();
  }

  #checkpoints(): Checkpoint[] {
    return this.#part === null ? [this.#main] : [this.#main, this.#part.checkpoint];
  }

  #checkpointOf(name: string): Checkpoint {
    const part = this.#part;
    const isPart =
      part?.checkpoint.tensors.has(name) === true && part.prefixes.some((p) => name.startsWith(p));
    return isPart ? part.checkpoint : this.#main;
  }
}
