import {
  dequantize,
  elementCount,
  FormatError,
  isDense,
  ResourceError,
  sameShape,
  type Checkpoint,
  type Weight,
} from "@voxquant/quant-core";
import type { WeightSource } from "@voxquant/nn";
import type { CodecConfig } from "./config.js";
import { CODEC_PREFIX, codecTensors, type CodecTensor } from "./tensors.js";

export {
  CODEC_PREFIX,
  codebookName,
  codecTensors,
  encoderCodebookName,
  type CodecTensor,
} from "./tensors.js";

export interface CodecWeightsOptions {
  /**
   * Hold derived matrices whose values bfloat16 has (those of the published checkpoint, which is F32 only by its
   * container) in it: half the memory, the same values. Default false.
   */
  readonly compact?: boolean;
}

/**
 * The codec's tensors under our names: in place from a GGUF file that has them, else made one by one from an official
 * speech tokenizer. Nothing is read before it is asked for, so that decoding alone reads no tensor of the encoder.
 */
export class CodecWeights implements WeightSource {
  readonly #checkpoint: Pick<Checkpoint, "location" | "tensors" | "read">;
  readonly #tensors: ReadonlyMap<string, CodecTensor>;
  readonly #derives: boolean;
  readonly #compact: boolean;
  /** Codebooks that were read: decoder and encoder share them where they are identical. */
  readonly #codebooks = new Map<string, Promise<Weight>>();

  constructor(
    checkpoint: Pick<Checkpoint, "location" | "tensors" | "read">,
    config: CodecConfig,
    { compact = false }: CodecWeightsOptions = {},
  ) {
    this.#checkpoint = checkpoint;
    this.#tensors = new Map(codecTensors(config).map((tensor) => [tensor.name, tensor]));
    this.#derives = !hasCodecTensors(checkpoint);
    this.#compact = compact;
  }

  has(name: string): boolean {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) return false;
    if (this.#derives) return tensor.sources.every((source) => this.#checkpoint.tensors.has(source));
    if (this.#checkpoint.tensors.has(name)) return true;
    return tensor.sharedWith !== null && this.has(tensor.sharedWith);
  }

  /** @throws ResourceError if the checkpoint lacks the tensor, FormatError if it has another shape than the config says */
  read(name: string): Promise<Weight> {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new ResourceError(`${name} is no tensor of this speech tokenizer`);
    if (tensor.role !== "codebook") return this.#read(tensor);
    let codebook = this.#codebooks.get(name);
    if (codebook === undefined) {
      codebook = this.#readCodebook(tensor);
      this.#codebooks.set(name, codebook);
    }
    return codebook;
  }

  async readVector(name: string): Promise<Float32Array> {
    return floatsOf(await this.read(name));
  }

  async #readCodebook(tensor: CodecTensor): Promise<Weight> {
    if (tensor.sharedWith === null) return this.#read(tensor);
    if (!this.#derives && !this.#checkpoint.tensors.has(tensor.name)) return this.read(tensor.sharedWith);
    const own = await this.#read(tensor);
    if (!this.has(tensor.sharedWith)) return own;
    const shared = await this.read(tensor.sharedWith);
    return equalWeights(own, shared) ? shared : own;
  }

  async #read(tensor: CodecTensor): Promise<Weight> {
    const { name, shape } = tensor;
    if (!this.#derives) return this.#readChecked(name, shape);
    if (tensor.direct) {
      const weight = await this.#readChecked(tensor.sources[0]!, tensor.sourceShapes[0]!);
      return { ...weight, name, shape };
    }
    const sources: Float32Array[] = [];
    for (const [i, source] of tensor.sources.entries()) {
      sources.push(floatsOf(await this.#readChecked(source, tensor.sourceShapes[i]!)));
    }
    const values = tensor.derive(sources);
    const halves = this.#compact && tensor.role === "matrix" ? exactBf16(values) : null;
    return halves === null
      ? { name, dtype: "F32", shape, bytes: bytesOf(values) }
      : { name, dtype: "BF16", shape, bytes: bytesOf(halves) };
  }

  async #readChecked(name: string, shape: readonly number[]): Promise<Weight> {
    const { location, tensors } = this.#checkpoint;
    const info = tensors.get(name);
    if (info === undefined) {
      throw new ResourceError(
        `${location}: tensor ${name} is missing; the speech tokenizer is incomplete, or its config is another one's`,
      );
    }
    if (!sameShape(info.shape, shape)) {
      throw new FormatError(
        `${location}: tensor ${name} has shape [${info.shape.join(", ")}], ` +
          `the speech tokenizer's config asks for [${shape.join(", ")}]`,
      );
    }
    // GGUF drops leading dimensions of one.
    return { ...(await this.#checkpoint.read(name)), shape };
  }
}

/** Whether a checkpoint has the codec's tensors under our names: a complete GGUF file. */
export function hasCodecTensors(checkpoint: Pick<Checkpoint, "tensors">): boolean {
  for (const name of checkpoint.tensors.keys()) if (name.startsWith(CODEC_PREFIX)) return true;
  return false;
}

function floatsOf(weight: Weight): Float32Array {
  if (!isDense(weight.dtype)) {
    throw new FormatError(`${weight.name} is ${weight.dtype}; it must be F32, F16 or BF16`);
  }
  const values = new Float32Array(elementCount(weight.shape));
  dequantize(weight.dtype, weight.bytes, values);
  return values;
}

/** The upper halves of float32 values whose lower halves are all zero, else null. */
function exactBf16(values: Float32Array): Uint16Array | null {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0xffff) !== 0) return null;
  return Uint16Array.from(bits, (value) => value >>> 16);
}

function bytesOf(values: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function equalWeights(a: Weight, b: Weight): boolean {
  if (a.dtype !== b.dtype || a.bytes.length !== b.bytes.length) return false;
  for (let i = 0; i < a.bytes.length; i++) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}
