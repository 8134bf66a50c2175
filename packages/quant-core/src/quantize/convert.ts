import { ConfigError, FormatError } from "../errors.js";
import { FileSink } from "../formats/byte-sink.js";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.js";
import { GgufWriter, typedMetadata, type WritableMetadataValue } from "../formats/gguf-writer.js";
import { EMBEDDED_FILE_PREFIX, openModelFiles } from "../formats/model-files.js";
import { openCheckpoint } from "../formats/open.js";
import { nodeBuiltin } from "../platform.js";
import { GGML_TYPES, isDense, type GgmlType } from "../weight.js";
import { CHUNK_BYTES, chunksOf, type Chunk } from "./chunks.js";
import { readImportance } from "./importance.js";
import { fileTypeOf } from "./quantization-type.js";
import {
  isBlockType,
  planTensors,
  scopeOf,
  type ForcedTypes,
  type Plan,
  type PlannedTensor,
  type QuantizeProfile,
  type Recipe,
} from "./recipe.js";
import { RowEncoder, type EncodedRows } from "./row-encoder.js";

export interface QuantizeProgress {
  /** Bytes of the source's tensors. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** The tensor that was worked on last. */
  readonly tensor: string;
  readonly seconds: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number;
}

export interface QuantizeOptions extends Recipe {
  /** Model folder, file or URL: safetensors, single or sharded, or GGUF. */
  readonly input: string;
  /** Path of the GGUF file to write. */
  readonly output: string;
  /** Importance file of llama-imatrix or `writeImportance`, under the checkpoint's or the output's names. */
  readonly imatrix?: string;
  /** Replace an existing output. Default false. */
  readonly force?: boolean;
  /** Default: all processors. The bytes of the file do not depend on it. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  onProgress?(progress: QuantizeProgress): void;
  onWarning?(message: string): void;
}

/** One tensor of the finished file. */
export interface QuantizedTensor {
  readonly name: string;
  readonly from: string;
  readonly to: GgmlType;
  readonly shape: readonly number[];
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Why it has another type than was asked for, null if it has not. */
  readonly fallback: string | null;
}

export interface QuantizeReport {
  readonly output: string;
  readonly outputBytes: number;
  readonly inputBytes: number;
  readonly seconds: number;
  readonly tensors: readonly QuantizedTensor[];
  /** Name of the tied head that was left out. */
  readonly droppedHead: string | null;
  readonly warnings: readonly string[];
}

/**
 * Converts a checkpoint to one GGUF file, tensor after tensor in pieces of some MiB: memory does not grow with the model.
 * The file appears under its name when it is complete; nothing is left of one that fails or is aborted. Node only.
 * @throws ConfigError for a recipe that does not fit the checkpoint, ResourceError for files that cannot be read or
 *   written (missing shard, existing output, full disk), FormatError for damaged ones and values that are not finite;
 *   the signal's reason when aborted
 */
export async function quantizeCheckpoint(
  options: QuantizeOptions,
  profile: QuantizeProfile,
): Promise<QuantizeReport> {
  // Not mapped: pages of a mapping would count as this process's memory.
  const opening = { map: false, ...(options.signal && { signal: options.signal }) };
  const checkpoint =
    profile.open === null
      ? await openCheckpoint(options.input, opening)
      : await profile.open(options.input, scopeOf(options, profile), opening);
  try {
    refuseOverwritingInput(options, checkpoint);
    return await new Conversion(checkpoint, options, profile).run();
  } finally {
    await checkpoint.close();
  }
}

function refuseOverwritingInput({ input, output }: QuantizeOptions, checkpoint: Checkpoint): void {
  const fs = nodeBuiltin("node:fs");
  const { dirname, join } = nodeBuiltin("node:path");
  const target = fs.statSync(output, { throwIfNoEntry: false });
  const source = fs.statSync(input, { throwIfNoEntry: false });
  if (target === undefined || source === undefined) return;
  const folder = source.isDirectory() ? input : dirname(input);
  for (const { name } of checkpoint.files) {
    const file = fs.statSync(join(folder, name), { throwIfNoEntry: false });
    if (file !== undefined && file.ino === target.ino && file.dev === target.dev) {
      throw new ConfigError(`${output}: is a file of the input; choose another output`);
    }
  }
}

/** Chunks on their way at once: one is read and one written while others are encoded. */
const CHUNKS_IN_FLIGHT = 4;

/** Values went beyond what a tensor's type holds; the conversion begins again with another type for it. */
class Overflow extends Error {
  readonly tensor: PlannedTensor;

  constructor(tensor: PlannedTensor) {
    super(`${tensor.name} overflows ${tensor.dtype}`);
    this.tensor = tensor;
  }
}

class Conversion {
  readonly #checkpoint: Checkpoint;
  readonly #options: QuantizeOptions;
  readonly #profile: QuantizeProfile;
  readonly #encoder: RowEncoder;
  readonly #warnings: string[] = [];
  readonly #started = performance.now();
  #importance = new Map<string, Float32Array>();
  #plan!: Plan;
  #bytesDone = 0;
  #bytesTotal = 0;

  constructor(checkpoint: Checkpoint, options: QuantizeOptions, profile: QuantizeProfile) {
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#profile = profile;
    this.#encoder = new RowEncoder(options.threads ?? nodeBuiltin("node:os").availableParallelism());
  }

  async run(): Promise<QuantizeReport> {
    const { tensors } = this.#checkpoint;
    const forced = new Map<string, { dtype: GgmlType; reason: string }>();
    this.#plan = planTensors(tensors, this.#options, this.#profile, forced);
    if (this.#options.imatrix !== undefined)
      this.#importance = await this.#readImportance(this.#options.imatrix);
    this.#warnAboutPlan();
    await this.#compareTiedHead();
    const metadata = await this.#metadata();
    for (;;) {
      try {
        const outputBytes = await this.#write(metadata);
        return this.#report(outputBytes);
      } catch (error) {
        if (!(error instanceof Overflow)) throw error;
        forced.set(error.tensor.source.name, this.#typeAfterOverflow(error.tensor, forced));
        this.#plan = planTensors(tensors, this.#options, this.#profile, forced);
      }
    }
  }

  async #write(metadata: ReadonlyMap<string, WritableMetadataValue>): Promise<number> {
    const { output, force = false, signal } = this.#options;
    signal?.throwIfAborted();
    const { tensors } = this.#plan;
    this.#bytesDone = 0;
    this.#bytesTotal = tensors.reduce((sum, { source }) => sum + source.byteLength, 0);
    const sink = new FileSink(output, { force });
    try {
      const writer = new GgufWriter(sink, tensors, { metadata });
      this.#warnAboutNames(writer.longNames);
      // Chunks are encoded side by side but written in their order.
      const underway: { chunk: Chunk; encoded: Promise<EncodedRows> }[] = [];
      const writeOldest = async () => {
        const { chunk, encoded } = underway.shift()!;
        const { bytes, overflowed } = await encoded;
        if (overflowed) throw new Overflow(chunk.tensor);
        await writer.write(chunk.tensor.name, bytes);
        this.#progress(chunk);
      };
      try {
        for (const chunk of chunksOf(tensors)) {
          signal?.throwIfAborted();
          if (underway.length >= CHUNKS_IN_FLIGHT) await writeOldest();
          underway.push({ chunk, encoded: this.#encode(chunk) });
          underway.at(-1)!.encoded.catch(() => undefined); // reported when its turn comes
        }
        while (underway.length > 0) {
          signal?.throwIfAborted();
          await writeOldest();
        }
      } finally {
        await Promise.allSettled(underway.map(({ encoded }) => encoded)); // nothing may still use the files
      }
      await writer.finish();
      await this.#checkpoint.verifyUnchanged();
      signal?.throwIfAborted();
      await sink.commit();
      return writer.byteLength;
    } catch (error) {
      sink.abort();
      throw error;
    }
  }

  async #encode({ tensor, start, end, rowLength }: Chunk): Promise<EncodedRows> {
    const { name, dtype } = tensor.source;
    const bytes = await this.#checkpoint.readRange(name, start, end);
    if (rowLength === null) return { bytes, overflowed: false };
    try {
      return await this.#encoder.encode(tensor.dtype, bytes, dtype, rowLength, this.#importanceOf(tensor));
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      throw new FormatError(
        `${this.#checkpoint.location}: tensor ${name}, from byte ${start}: ${cause.message}`,
        { cause },
      );
    }
  }

  #progress({ tensor, start, end }: Chunk): void {
    this.#bytesDone += end - start;
    if (this.#options.onProgress === undefined) return;
    const seconds = (performance.now() - this.#started) / 1000;
    const bytesPerSecond = this.#bytesDone / Math.max(seconds, 1e-3);
    this.#options.onProgress({
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      tensor: tensor.name,
      seconds,
      bytesPerSecond,
      secondsLeft: (this.#bytesTotal - this.#bytesDone) / bytesPerSecond,
    });
  }

  /** F16 where that was not tried, else what holds every value of the source. */
  #typeAfterOverflow(
    { source, dtype }: PlannedTensor,
    forced: ForcedTypes,
  ): { dtype: GgmlType; reason: string } {
    const wide = source.dtype === "BF16" ? "BF16" : "F32";
    const next = dtype === "F16" || forced.has(source.name) ? wide : "F16";
    return { dtype: next, reason: `values too large for ${dtype}` };
  }

  #importanceOf({ source, name, dtype, shape }: PlannedTensor): Float32Array | null {
    if (isDense(dtype)) return null;
    const importance = this.#importance.get(source.name) ?? this.#importance.get(name) ?? null;
    const columns = shape[shape.length - 1]!;
    if (importance !== null && importance.length !== columns) {
      throw new FormatError(
        `${this.#options.imatrix}: ${importance.length} columns for ${source.name}, which has ${columns}; ` +
          "collect the importance from this model",
      );
    }
    return importance;
  }

  async #readImportance(path: string): Promise<Map<string, Float32Array>> {
    const importance = await readImportance(path);
    const quantized = this.#plan.tensors.filter(
      ({ dtype, source }) => !isDense(dtype) && dtype !== source.dtype,
    );
    const missing = quantized.filter(
      ({ source, name }) => !importance.has(source.name) && !importance.has(name),
    );
    if (quantized.length > 0 && missing.length === quantized.length) {
      throw new ConfigError(
        `${path}: has none of the ${quantized.length} tensors to quantize, such as ${missing[0]!.source.name}`,
      );
    }
    if (missing.length > 0) {
      this.#warn(
        `${path}: nothing for ${missing.length} of ${quantized.length} tensors, such as ${missing[0]!.source.name}`,
      );
    }
    return importance;
  }

  #warnAboutPlan(): void {
    for (const warning of this.#plan.warnings) this.#warn(warning);
    const again = this.#plan.tensors.filter(
      ({ source, dtype }) => isBlockType(source.dtype) && dtype !== source.dtype,
    );
    if (again.length === 0) return;
    const types = [...new Set(again.map(({ source }) => source.dtype))].join(", ");
    this.#warn(
      `${again.length} tensors are quantized already (${types}): their errors add up, start from the original if there is one`,
    );
  }

  #warnAboutNames(longNames: readonly string[]): void {
    if (longNames.length === 0) return;
    this.#warn(
      `${longNames.length} tensor names are longer than ggml's 63 bytes, such as ${longNames[0]}: other tools refuse the file`,
    );
  }

  #warn(message: string): void {
    if (this.#warnings.includes(message)) return;
    this.#warnings.push(message);
    this.#options.onWarning?.(message);
  }

  /** A head that the config calls tied is left out; if it differs from the embedding, the config and the file disagree. */
  async #compareTiedHead(): Promise<void> {
    const head = this.#plan.droppedHead;
    if (head === null) return;
    const embedding = this.#checkpoint.tensors.get(this.#profile.tiedHead!.embedding)!;
    if (!(await this.#sameBytes(head, embedding))) {
      this.#warn(
        `${head.name} is left out, the config says it is ${embedding.name}, but their values differ`,
      );
    }
  }

  async #sameBytes(a: TensorInfo, b: TensorInfo): Promise<boolean> {
    if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false;
    for (let start = 0; start < a.byteLength; start += CHUNK_BYTES) {
      this.#options.signal?.throwIfAborted();
      const end = Math.min(start + CHUNK_BYTES, a.byteLength);
      const read = (info: TensorInfo) => this.#checkpoint.readRange(info.name, start, end);
      const [left, right] = await Promise.all([read(a), read(b)]);
      if (Buffer.compare(left, right) !== 0) return false;
    }
    return true;
  }

  async #metadata(): Promise<Map<string, WritableMetadataValue>> {
    const profile = this.#profile;
    const layout = this.#options.layout === "llama.cpp" ? profile.llamaCpp : null;
    const isWhole = layout === null && scopeOf(this.#options, profile) === "all";
    const entries = new Map<string, WritableMetadataValue>();
    entries.set("general.architecture", layout?.architecture ?? profile.architecture ?? "unknown");
    if (this.#checkpoint.format === "gguf" && layout === null) {
      for (const [key, value] of typedMetadata(this.#checkpoint)) {
        if (!isWhole && key.startsWith(EMBEDDED_FILE_PREFIX)) continue;
        if (key !== "general.architecture" || profile.architecture === null) entries.set(key, value);
      }
    }
    if (profile.name !== null) entries.set("general.name", profile.name);
    entries.set("general.file_type", { type: "u32", value: fileTypeOf(this.#plan.type) });
    entries.set("general.quantization_version", { type: "u32", value: GGML_QUANTIZATION_VERSION });
    if (this.#options.imatrix !== undefined) {
      const name = nodeBuiltin("node:path").basename(this.#options.imatrix);
      entries.set("quantize.imatrix.file", name);
      entries.set("quantize.imatrix.entries_count", { type: "u32", value: this.#importance.size });
    }
    for (const [key, value] of layout === null ? profile.metadata : layout.metadata) entries.set(key, value);
    if (!isWhole) return entries;
    const files = await openModelFiles(this.#options.input, this.#checkpoint);
    for (const name of profile.files) {
      const text = await files.readText(name);
      if (text !== null) entries.set(EMBEDDED_FILE_PREFIX + name, text);
    }
    return entries;
  }

  #report(outputBytes: number): QuantizeReport {
    return {
      output: this.#options.output,
      outputBytes,
      inputBytes: this.#bytesTotal,
      seconds: (performance.now() - this.#started) / 1000,
      tensors: this.#plan.tensors.map(({ name, source, dtype, shape, fallback }) => ({
        name,
        from: source.dtype,
        to: dtype,
        shape,
        inputBytes: source.byteLength,
        outputBytes: encodedBytes(shape, dtype),
        fallback,
      })),
      droppedHead: this.#plan.droppedHead?.name ?? null,
      warnings: this.#warnings,
    };
  }
}

/** `general.quantization_version` of files with today's block layouts (ggml `GGML_QNT_VERSION`). */
const GGML_QUANTIZATION_VERSION = 2;

function encodedBytes(shape: readonly number[], dtype: GgmlType): number {
  const { block, bytes } = GGML_TYPES[dtype];
  return (shape.reduce((product, dim) => product * dim, 1) / block) * bytes;
}
