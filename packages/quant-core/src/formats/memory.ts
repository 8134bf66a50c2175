import { BackendError, ConfigError } from "../errors.js";
import { isNode, nodeBuiltin } from "../platform.js";
import type { Checkpoint } from "./checkpoint.js";

/** Bytes that a loaded model takes. */
export interface MemoryEstimate {
  /** The tensors as they lie in the file. */
  readonly weightsBytes: number;
  /** Keys and values (float32) of one sequence of the given length. */
  readonly kvBytes: number;
  /** Activations while a prompt of that length is prefilled, at most. */
  readonly scratchBytes: number;
}

const ATTENTION_K = /^(?:.*\.)?(?:layers|blk)\.\d+\.(?:self_attn\.k_proj|attn_k)\.weight$/;
const GATE = /\.(?:mlp\.gate_proj|ffn_gate)\.weight$/;
const EMBEDDING = /(?:^|\.)(?:embed_tokens|token_embd)\.weight$/;
const FLOAT_BYTES = 4;
/** Rows of a prompt that are processed together, at most. */
const PREFILL_ROWS = 4096;
/** Activations of `hidden` width that live at once in a decoder layer (residual, normed, q, k, v, attention, output). */
const LIVE_ACTIVATIONS = 8;

/**
 * What a checkpoint needs in memory for a context of so many tokens, from its tensors' names and shapes alone (official
 * names and llama.cpp's). A checkpoint without decoder has `kvBytes` 0.
 */
export function estimateMemory(
  checkpoint: Pick<Checkpoint, "tensors">,
  contextTokens: number,
): MemoryEstimate {
  let weightsBytes = 0;
  let kvPerToken = 0;
  let hidden = 0;
  let intermediate = 0;
  for (const { name, shape, byteLength } of checkpoint.tensors.values()) {
    weightsBytes += byteLength;
    const [rows = 0, columns = 0] = shape;
    // The encoder's attention keeps no cache.
    if (ATTENTION_K.test(name) && !name.includes("audio_tower")) kvPerToken += 2 * rows * FLOAT_BYTES;
    else if (EMBEDDING.test(name)) hidden = columns;
    else if (GATE.test(name)) intermediate = Math.max(intermediate, rows);
  }
  const rows = Math.min(contextTokens, PREFILL_ROWS);
  return {
    weightsBytes,
    kvBytes: kvPerToken * contextTokens,
    scratchBytes: rows * (LIVE_ACTIVATIONS * hidden + 3 * intermediate) * FLOAT_BYTES,
  };
}

/**
 * Bytes of memory that this process may use: the machine's, or its control group's if that is less. Null where it cannot
 * be known (browsers).
 */
export function memoryLimit(): number | null {
  if (!isNode) return null;
  const total = nodeBuiltin("node:os").totalmem();
  const constrained = process.constrainedMemory?.() ?? 0;
  // Without a limit the kernel reports 0 or a number beyond any machine.
  return constrained > 0 && constrained < total ? constrained : total;
}

/** What a WASM memory can address, without what the runtime itself takes. */
const WASM_BYTES = 4 * 2 ** 30 - 64 * 2 ** 20;

export interface MemoryNeed {
  /** The model, for messages. */
  readonly location: string;
  /** Estimated bytes, and what they are for: "weights, and 30 s of audio". */
  readonly bytes: number;
  readonly purpose: string;
  readonly backend: string;
  /** Default: the memory of the machine or of its control group. */
  readonly limit?: number | undefined;
}

/** @throws BackendError if WASM cannot address the model, ConfigError if it is estimated to exceed the limit */
export function requireMemory({ location, bytes, purpose, backend, limit }: MemoryNeed): void {
  const estimate = `${location}: is estimated to need ${formatBytes(bytes)} of memory (${purpose})`;
  if (backend === "wasm" && bytes > WASM_BYTES) {
    throw new BackendError(
      `${estimate}, WASM can address 4 GiB: use the native backend, a smaller model, or quantize this one (q8_0 takes about half)`,
    );
  }
  const available = limit ?? memoryLimit();
  if (available !== null && bytes > available) {
    throw new ConfigError(
      `${estimate}, the limit is ${formatBytes(available)}: use a smaller model, quantize this one (q8_0 takes about half), or raise the limit`,
    );
  }
}

/** A size for people: "1.75 GB", powers of ten as in the names of files and disks. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}
