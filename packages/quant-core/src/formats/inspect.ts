import { elementCount } from "../weight.js";
import type { Checkpoint, MetadataValue, TensorInfo } from "./checkpoint.js";

export interface InspectedMetadata {
  readonly key: string;
  /** GGUF value type such as `u32` or `string[]`; `string` for safetensors. */
  readonly type: string;
  /** Elements of an array, characters of a string. */
  readonly length?: number;
  /** The scalar, or the beginning of a long string or array. 64-bit integers beyond 2^53 are decimal strings. */
  readonly value: string | number | boolean | readonly (string | number | boolean)[];
  /** True if `value` is a beginning only. */
  readonly truncated: boolean;
}

export interface TypeTotals {
  readonly dtype: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** What a checkpoint holds, as plain data that JSON can carry. */
export interface Inspection {
  readonly location: string;
  readonly format: "gguf" | "safetensors";
  /** GGUF only. */
  readonly version?: number;
  /** GGUF only. */
  readonly alignment?: number;
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  readonly metadata: readonly InspectedMetadata[];
  readonly tensors: readonly TensorInfo[];
  /** By type, largest share of bytes first. */
  readonly totals: readonly TypeTotals[];
  readonly elements: number;
  /** Of the tensors, without header and padding. */
  readonly bytes: number;
  /** Average over all tensors; 0 without elements. */
  readonly bitsPerWeight: number;
}

const SHOWN_CHARACTERS = 200;
const SHOWN_ELEMENTS = 8;

/** Describes a checkpoint from its header alone; no tensor is read. */
export function inspectCheckpoint(checkpoint: Checkpoint): Inspection {
  const { location, format, files, gguf } = checkpoint;
  const tensors = [...checkpoint.tensors.values()];
  const totals = totalsByType(tensors);
  const elements = totals.reduce((sum, total) => sum + total.elements, 0);
  const bytes = totals.reduce((sum, total) => sum + total.bytes, 0);
  return {
    location,
    format,
    ...(gguf === undefined ? {} : { version: gguf.version, alignment: gguf.alignment }),
    files,
    metadata: [...checkpoint.metadata].map(([key, value]) =>
      inspectValue(key, gguf?.metadataTypes.get(key) ?? "string", value),
    ),
    tensors,
    totals,
    elements,
    bytes,
    bitsPerWeight: elements === 0 ? 0 : (8 * bytes) / elements,
  };
}

function totalsByType(tensors: readonly TensorInfo[]): TypeTotals[] {
  const totals = new Map<string, TypeTotals>();
  for (const { dtype, shape, byteLength } of tensors) {
    const sum = totals.get(dtype) ?? { dtype, tensors: 0, elements: 0, bytes: 0 };
    totals.set(dtype, {
      dtype,
      tensors: sum.tensors + 1,
      elements: sum.elements + elementCount(shape),
      bytes: sum.bytes + byteLength,
    });
  }
  return [...totals.values()].sort((a, b) => b.bytes - a.bytes || (a.dtype < b.dtype ? -1 : 1));
}

function inspectValue(key: string, type: string, value: MetadataValue): InspectedMetadata {
  if (typeof value === "string") {
    return {
      key,
      type,
      length: value.length,
      value: shorten(value),
      truncated: value.length > SHOWN_CHARACTERS,
    };
  }
  if (typeof value !== "object") return { key, type, value: plain(value), truncated: false };
  const shown = Array.from<string | number | bigint | boolean>(value.slice(0, SHOWN_ELEMENTS));
  return { key, type, length: value.length, value: shown.map(plain), truncated: value.length > shown.length };
}

function plain(value: string | number | bigint | boolean): string | number | boolean {
  if (typeof value === "string") return shorten(value);
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  }
  // JSON has no NaN and no infinities.
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS ? text.slice(0, SHOWN_CHARACTERS) : text;
}
