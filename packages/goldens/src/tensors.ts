import { readFileSync } from "node:fs";

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/**
 * Tensors of a golden safetensors file (F32, I32 and I64 only). Independent of quant-core's reader on purpose:
 * an oracle must not be read by the code that it judges.
 */
export function readTensors(path: string): Map<string, GoldenTensor> {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const bytes = file.subarray(
      8 + headerLength + entry.data_offsets[0],
      8 + headerLength + entry.data_offsets[1],
    );
    const buffer = new Uint8Array(bytes).buffer; // copied: the data need not be aligned in the file
    tensors.set(name, { shape: entry.shape, data: elements(entry.dtype, buffer, name) });
  }
  return tensors;
}

function elements(dtype: string, buffer: ArrayBuffer, name: string): Float32Array | Int32Array {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "I64":
      return Int32Array.from(new BigInt64Array(buffer), Number);
    default:
      throw new Error(`golden tensor ${name} has dtype ${dtype}`);
  }
}
