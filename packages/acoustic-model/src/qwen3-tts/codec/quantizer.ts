import type { Tensor2D } from "@tensorflow/tfjs-core";
import { add, ConfigError, Embedding, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import { loadLinear, type WeightSource } from "@voxquant/nn";
import type { CodecDecoderConfig } from "./config.js";
import type { StageTrace } from "./stage-trace.js";
import { codebookName } from "./weights.js";

/**
 * Codes → latent vectors (modeling_qwen3_tts_tokenizer_v2.py `SplitResidualVectorQuantizer.decode`): the entry of the
 * semantic codebook and the sum of the acoustic ones, each through its own projection, added.
 */
export class CodecQuantizer {
  readonly #codebooks: readonly Embedding[];
  readonly #semantic: LinearLayer;
  readonly #acoustic: LinearLayer;

  private constructor(codebooks: readonly Embedding[], semantic: LinearLayer, acoustic: LinearLayer) {
    this.#codebooks = codebooks;
    this.#semantic = semantic;
    this.#acoustic = acoustic;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    groups: number,
    { codebookWidth, quantizerDim }: Pick<CodecDecoderConfig, "codebookWidth" | "quantizerDim">,
  ): Promise<CodecQuantizer> {
    const codebooks: Embedding[] = [];
    for (let k = 0; k < groups; k++) {
      codebooks.push(new Embedding(runtime, await source.read(codebookName(k))));
    }
    const size = { in: codebookWidth, out: quantizerDim };
    return new CodecQuantizer(
      codebooks,
      await loadLinear(runtime, source, "codec.q_sem", size),
      await loadLinear(runtime, source, "codec.q_ac", size),
    );
  }

  /** Time-major codes `[frames · groups]` → `[frames, quantizerDim]`. */
  decode(codes: Int32Array, trace: StageTrace | null): Tensor2D {
    const groups = this.#codebooks.length;
    const entries = (k: number) =>
      this.#codebooks[k]!.lookup(
        Int32Array.from({ length: codes.length / groups }, (_, f) => codes[f * groups + k]!),
      );
    const semantic = this.#semantic.forward(entries(0));
    let sum = entries(1);
    for (let k = 2; k < groups; k++) sum = add(sum, entries(k));
    const acoustic = this.#acoustic.forward(sum);
    const latent = add(semantic, acoustic);
    trace?.signal("q_sem", semantic);
    trace?.signal("q_ac", acoustic);
    trace?.signal("quantizer", latent);
    return latent;
  }
}

/** @throws ConfigError unless the codes are whole frames with values of the codebooks. */
export function checkCodes(codes: Int32Array, groups: number, codebookSize: number): void {
  if (codes.length % groups !== 0) {
    throw new ConfigError(`${codes.length} codes are not whole frames of ${groups} codes`);
  }
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    if (code < 0 || code >= codebookSize) {
      throw new ConfigError(
        `code ${code} of frame ${Math.floor(i / groups)}, group ${i % groups}, is outside 0…${codebookSize - 1}; ` +
          "end and padding codes must be removed before decoding",
      );
    }
  }
}
