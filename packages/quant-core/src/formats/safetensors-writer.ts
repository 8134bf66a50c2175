import { ConfigError } from "../errors.js";
import { quoted } from "./byte-source.js";
import { FileSink, type ByteSink } from "./byte-sink.js";
import { SAFETENSORS_BITS } from "./safetensors.js";

export interface SafetensorsTensor {
  readonly name: string;
  /** A safetensors dtype: F32, F16, BF16, I64 … */
  readonly dtype: string;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/**
 * Writes a safetensors file to a path (replacing a file there, complete or not at all) or a sink. Tensors go in the
 * reference library's order, larger elements first and then by name, so that each is aligned to its element.
 * @throws ConfigError for a repeated name, an unknown dtype or bytes that do not fit the shape; ResourceError if the
 *   file cannot be written
 */
export async function writeSafetensors(
  target: string | ByteSink,
  tensors: readonly SafetensorsTensor[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = inWriterOrder(tensors);
  const header = encodeHeader(ordered, metadata);
  if (typeof target !== "string") return writeTo(target, header, ordered);
  const file = new FileSink(target, { force: true });
  try {
    await writeTo(file, header, ordered);
    await file.commit();
  } catch (error) {
    file.abort();
    throw error;
  }
}

async function writeTo(
  sink: ByteSink,
  header: Uint8Array,
  tensors: readonly SafetensorsTensor[],
): Promise<void> {
  await sink.write(header);
  for (const { bytes } of tensors) await sink.write(bytes);
}

function inWriterOrder(tensors: readonly SafetensorsTensor[]): SafetensorsTensor[] {
  const rank = new Map([...SAFETENSORS_BITS.keys()].map((dtype, i) => [dtype, -i]));
  for (const { name, dtype, shape, bytes } of tensors) {
    const bits = SAFETENSORS_BITS.get(dtype);
    if (bits === undefined) throw new ConfigError(`tensor ${quoted(name)}: ${dtype} is no safetensors dtype`);
    const needed = shape.reduce((product, dim) => product * dim, bits) / 8;
    if (bytes.length !== needed) {
      throw new ConfigError(
        `tensor ${quoted(name)} has ${bytes.length} bytes, ${dtype} [${shape.join(", ")}] needs ${needed}`,
      );
    }
  }
  return [...tensors].sort((a, b) => rank.get(a.dtype)! - rank.get(b.dtype)! || (a.name < b.name ? -1 : 1));
}

/** Length, JSON, and spaces up to a multiple of 8, so that the data are aligned. */
function encodeHeader(
  tensors: readonly SafetensorsTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  // Entries are joined by hand: an object would move names like "1" to the front and drop repeated ones.
  const entries: string[] = metadata === undefined ? [] : [`"__metadata__":${JSON.stringify(metadata)}`];
  const names = new Set(["__metadata__"]);
  let position = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    if (names.has(name)) throw new ConfigError(`tensor name ${quoted(name)} is repeated or reserved`);
    names.add(name);
    const entry = { dtype, shape, data_offsets: [position, position + bytes.length] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    position += bytes.length;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}
