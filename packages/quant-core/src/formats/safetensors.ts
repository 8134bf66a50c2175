import { FormatError } from "../errors.js";
import type { TensorInfo } from "./checkpoint.js";
import { MoreBytesNeeded, parsePrefix, quoted, type ByteSource } from "./byte-source.js";
import { foreignFile } from "./foreign.js";
import { readHeaderJson, type HeaderEntry } from "./safetensors-json.js";

/** Bits per element of every safetensors dtype, in the order of the reference library's enum (`safetensors/src/tensor.rs`). */
export const SAFETENSORS_BITS: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["C64", 64],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
]);

/** Limit of the reference library; a checkpoint of 100,000 tensors has a header of some 15 MB. */
export const MAX_SAFETENSORS_HEADER_BYTES = 100_000_000;
/** The length of the header, before it. */
const PREAMBLE_BYTES = 8;
const OPEN_BRACE = 0x7b;

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Position of the first tensor's bytes in the file. */
  readonly dataStart: number;
}

/**
 * Reads and checks the header of a safetensors file: entries complete and unique, tensors filling the file without
 * holes, overlaps or a rest, as the reference library demands.
 * @throws FormatError for a damaged, truncated or foreign file
 */
export function parseSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  return parsePrefix(source, PREAMBLE_BYTES + MAX_SAFETENSORS_HEADER_BYTES, (prefix) =>
    parse(source, prefix),
  );
}

function headerLength(prefix: Uint8Array): bigint {
  return new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
}

function parse(source: ByteSource, prefix: Uint8Array): SafetensorsHeader {
  const { location, byteLength } = source;
  if (byteLength < PREAMBLE_BYTES + 2) throw foreignFile(location, "safetensors", prefix);
  const declared = headerLength(prefix);
  const jsonFollows = prefix[PREAMBLE_BYTES] === OPEN_BRACE;
  if (declared > BigInt(MAX_SAFETENSORS_HEADER_BYTES)) {
    if (!jsonFollows) throw foreignFile(location, "safetensors", prefix);
    throw new FormatError(
      `${location}: the header's length is ${declared}, at most ${MAX_SAFETENSORS_HEADER_BYTES} bytes are allowed`,
    );
  }
  const dataStart = PREAMBLE_BYTES + Number(declared);
  if (dataStart > byteLength) {
    if (!jsonFollows) throw foreignFile(location, "safetensors", prefix);
    throw new FormatError(
      `${location}: truncated: the header ends at byte ${dataStart}, the file at ${byteLength}; fetch the file again`,
    );
  }
  if (!jsonFollows) throw foreignFile(location, "safetensors", prefix);
  if (dataStart > prefix.length) throw new MoreBytesNeeded(dataStart);
  const { entries, metadata } = readHeaderJson(prefix.subarray(PREAMBLE_BYTES, dataStart), location);
  return { metadata, tensors: placeTensors(entries, dataStart, source), dataStart };
}

function placeTensors(
  entries: ReadonlyMap<string, HeaderEntry>,
  dataStart: number,
  source: ByteSource,
): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const [name, entry] of sorted) {
    const { dtype, shape, begin, end } = entry;
    const what = `${source.location}: tensor ${quoted(name)}`;
    if (begin !== position) {
      throw new FormatError(
        `${what} begins at ${begin} of the data, expected ${position}: tensors ${begin < position ? "overlap" : "leave a hole"}`,
      );
    }
    const needed = byteLengthOf(dtype, shape, what);
    if (end - begin !== needed) {
      throw new FormatError(
        `${what} has ${end - begin} bytes, ${dtype} [${shape.join(", ")}] needs ${needed}`,
      );
    }
    tensors.set(name, {
      name,
      dtype,
      shape,
      byteLength: needed,
      file: source.name,
      offset: dataStart + begin,
    });
    position = end;
  }
  const end = dataStart + position;
  if (end > source.byteLength) {
    throw new FormatError(
      `${source.location}: truncated: the tensors end at byte ${end}, the file at ${source.byteLength}; fetch the file again`,
    );
  }
  if (end < source.byteLength) {
    throw new FormatError(
      `${source.location}: ${source.byteLength - end} bytes follow the last tensor, none are allowed: the file is damaged`,
    );
  }
  return tensors;
}

function byteLengthOf(dtype: string, shape: readonly number[], what: string): number {
  const bits = SAFETENSORS_BITS.get(dtype);
  if (bits === undefined) throw new FormatError(`${what} has the unknown dtype ${quoted(dtype)}`);
  let total = bits;
  for (const dim of shape) total = Number.isSafeInteger(total) ? total * dim : Infinity;
  if (!Number.isSafeInteger(total))
    throw new FormatError(`${what}: shape [${shape.join(", ")}] is too large for any file`);
  if (total % 8 !== 0) throw new FormatError(`${what}: ${total} bits of ${dtype} do not fill whole bytes`);
  return total / 8;
}
