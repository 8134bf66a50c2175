import { VoxquantError } from "@voxquant/quant-core";

/**
 * Why audio could not be used:
 *
 * | kind | meaning |
 * |---|---|
 * | `not_wav` | no RIFF/RF64 file of form WAVE |
 * | `bad_header` | the header is missing, cut short, or contradicts itself |
 * | `unsupported_format` | a valid file of a sample format, channel count or rate that is not supported |
 * | `no_data` | there is no audio in it: empty input, or no reachable data chunk |
 * | `bad_samples` | NaN or infinite samples |
 * | `undecodable` | damaged, or not audio at all |
 * | `no_decoder` | the format needs an external decoder that is not installed here |
 * | `too_short` | fewer samples than the operation needs |
 * | `bad_input` | the caller's samples or rate are not what the function takes |
 */
export type AudioErrorKind =
  | "not_wav"
  | "bad_header"
  | "unsupported_format"
  | "no_data"
  | "bad_samples"
  | "undecodable"
  | "no_decoder"
  | "too_short"
  | "bad_input";

/** Audio input that cannot be used; `kind` tells why. */
export class AudioError extends VoxquantError {
  readonly kind: AudioErrorKind;

  constructor(kind: AudioErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
