import { FormatError } from "../errors.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { codecOf } from "./codecs.js";

/**
 * Decodes `out.length` values; `bytes` may have any alignment. Dense types too.
 * @throws FormatError if `bytes` has another size than `out` needs, UnsupportedError for a type without decoder
 */
export function dequantize(dtype: GgmlType, bytes: Uint8Array, out: Float32Array): void {
  const codec = codecOf(dtype);
  const { block, bytes: blockBytes } = GGML_TYPES[dtype];
  const blocks = out.length / block;
  if (bytes.length !== blocks * blockBytes) {
    throw new FormatError(
      `${out.length} values of ${dtype} take ${blocks * blockBytes} bytes, found ${bytes.length}`,
    );
  }
  codec.dequantize(bytes, 0, blocks, out, 0);
}
