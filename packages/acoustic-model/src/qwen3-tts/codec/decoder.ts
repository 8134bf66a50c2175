import type { Runtime } from "@voxquant/quant-core";
import type { WeightSource } from "@voxquant/nn";
import { CausalConv } from "./causal-conv.js";
import type { CodecConfig } from "./config.js";
import { CodecQuantizer } from "./quantizer.js";
import { CodecDecoderStream, type CodecNetwork, type DecodeOptions } from "./stream.js";
import { PRE_CONV_KERNEL } from "./tensors.js";
import { CodecTransformer } from "./transformer.js";
import { WaveformDecoder } from "./waveform.js";

/**
 * Decoder of the 12 Hz speech tokenizer: codes → waveform (modeling_qwen3_tts_tokenizer_v2.py
 * `Qwen3TTSTokenizerV2Decoder`). Strictly causal: a frame's samples are final once its codes are known.
 */
export class CodecDecoder {
  readonly config: CodecConfig;
  readonly #network: CodecNetwork;

  private constructor(network: CodecNetwork) {
    this.config = network.config;
    this.#network = network;
  }

  /**
   * `source`: `CodecWeights`.
   * @throws ResourceError, FormatError or ConfigError naming the tensor that is missing or of another size
   */
  static async load(runtime: Runtime, source: WeightSource, config: CodecConfig): Promise<CodecDecoder> {
    const { decoder } = config;
    const preConv = { in: decoder.quantizerDim, out: decoder.latentDim, kernel: PRE_CONV_KERNEL };
    return new CodecDecoder({
      runtime,
      config,
      quantizer: await CodecQuantizer.load(runtime, source, config.groups, decoder),
      preConv: await CausalConv.load(runtime, source, "codec.pre_conv", preConv),
      transformer: await CodecTransformer.load(runtime, source, decoder),
      waveform: await WaveformDecoder.load(runtime, source, decoder),
    });
  }

  /** Frames per second. */
  get frameRate(): number {
    return this.config.sampleRate / this.config.samplesPerFrame;
  }

  /** A new utterance, decoded piece by piece; to be disposed of. */
  createStream(): CodecDecoderStream {
    return new CodecDecoderStream(this.#network);
  }

  /**
   * All samples of the time-major codes `[frames · groups]`, `samplesPerFrame` for each frame, −1 to 1; none for no
   * frames. Memory besides the result does not grow with the length.
   * @throws ConfigError for codes that are not whole frames or outside the codebooks; the signal's reason when aborted
   */
  async decode(codes: Int32Array, options: DecodeOptions = {}): Promise<Float32Array> {
    const stream = this.createStream();
    try {
      return await stream.decode(codes, options);
    } finally {
      stream.dispose();
    }
  }
}
