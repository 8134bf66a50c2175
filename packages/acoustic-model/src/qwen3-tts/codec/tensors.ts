import {
  seanetLayers,
  type CodecConfig,
  type CodecDecoderConfig,
  type CodecEncoderConfig,
} from "./config.js";
import {
  depthwiseTaps,
  foldedCodebook,
  polyphase,
  repeated,
  snakeAlpha,
  snakeInverseBeta,
  tapMajor,
} from "./filters.js";

/** A tensor that the codec computes with, and how it comes from the official checkpoint. */
export interface CodecTensor {
  /** Our name: `codec.` and the stage's name in a trace; shorter than the 64 bytes that ggml allows. */
  readonly name: string;
  /** Row-major; a matrix `[out, in]`. */
  readonly shape: readonly number[];
  /** `matrix`: any type that a linear layer can have. `vector`, `codebook`: dense. */
  readonly role: "matrix" | "vector" | "codebook";
  readonly part: "decoder" | "encoder";
  /** Official names and their shapes. */
  readonly sources: readonly string[];
  readonly sourceShapes: readonly (readonly number[])[];
  /** The values in row-major order from the sources'. */
  derive(sources: readonly Float32Array[]): Float32Array;
  /** The single source's elements are these, in this order: its bytes serve as they are. */
  readonly direct: boolean;
  /** A decoder's tensor that is usually bit-identical and then stored instead of this one. */
  readonly sharedWith: string | null;
}

/** Kernels that the config does not name (modeling_qwen3_tts_tokenizer_v2.py). */
export const PRE_CONV_KERNEL = 3;
export const CONV_KERNEL = 7;
export const RESIDUAL_DILATIONS: readonly number[] = [1, 3, 9];
/** Widening of the MLP in a ConvNeXt block. */
const CONVNEXT_EXPANSION = 4;
/** The encoder's last convolution halves the frame rate with a kernel of twice its stride. */
export const DOWNSAMPLE_STRIDE = 2;

/** Prefix of our names, which tells a complete GGUF from an official checkpoint. */
export const CODEC_PREFIX = "codec.";

type Role = CodecTensor["role"];

/** Collects the tensors of one part; every method is a kind of layer. */
class TensorList {
  readonly tensors: CodecTensor[] = [];
  readonly #part: CodecTensor["part"];

  constructor(part: CodecTensor["part"]) {
    this.#part = part;
  }

  derived(
    name: string,
    shape: readonly number[],
    role: Role,
    sources: readonly (readonly [name: string, ...shape: number[]])[],
    derive: (sources: readonly Float32Array[]) => Float32Array,
    sharedWith: string | null = null,
  ): void {
    this.#add({ name, shape, role, sources, derive, direct: false, sharedWith });
  }

  /** As the checkpoint has it, up to dimensions of one. */
  direct(name: string, shape: readonly number[], role: Role, source: string, sourceShape = shape): void {
    const sources = [[source, ...sourceShape]] as const;
    this.#add({ name, shape, role, sources, derive: ([values]) => values!, direct: true, sharedWith: null });
  }

  vector(name: string, length: number, source: string): void {
    this.direct(name, [length], "vector", source);
  }

  linear(name: string, out: number, inputs: number, source: string, bias: boolean): void {
    this.direct(`${name}.weight`, [out, inputs], "matrix", `${source}.weight`);
    if (bias) this.vector(`${name}.bias`, out, `${source}.bias`);
  }

  /** `NAME.weight` as `[out, in, 1]` without bias. */
  projection(name: string, out: number, inputs: number, source: string): void {
    this.direct(`${name}.weight`, [out, inputs], "matrix", `${source}.weight`, [out, inputs, 1]);
  }

  conv(name: string, out: number, inputs: number, kernel: number, source: string, bias = true): void {
    const shape = [out, kernel * inputs];
    const weight = `${source}.conv.weight`;
    if (kernel === 1 || inputs === 1) {
      this.direct(`${name}.weight`, shape, "matrix", weight, [out, inputs, kernel]);
    } else {
      this.derived(`${name}.weight`, shape, "matrix", [[weight, out, inputs, kernel]], ([w]) =>
        tapMajor(w!, out, inputs, kernel),
      );
    }
    if (bias) this.vector(`${name}.bias`, out, `${source}.conv.bias`);
  }

  /** Upsampling by `stride` with a kernel of `taps` strides. */
  transposedConv(
    name: string,
    out: number,
    inputs: number,
    stride: number,
    taps: number,
    source: string,
  ): void {
    this.derived(
      `${name}.weight`,
      [stride * out, taps * inputs],
      "matrix",
      [[`${source}.conv.weight`, inputs, out, taps * stride]],
      ([w]) => polyphase(w!, inputs, out, stride, taps),
    );
    this.derived(`${name}.bias`, [stride * out], "vector", [[`${source}.conv.bias`, out]], ([b]) =>
      repeated(b!, stride),
    );
  }

  depthwise(name: string, channels: number, kernel: number, source: string): void {
    this.derived(
      `${name}.weight`,
      [kernel, channels],
      "vector",
      [[`${source}.conv.weight`, channels, 1, kernel]],
      ([w]) => depthwiseTaps(w!, channels, kernel),
    );
    this.vector(`${name}.bias`, channels, `${source}.conv.bias`);
  }

  snake(name: string, channels: number, source: string): void {
    this.derived(`${name}.alpha`, [channels], "vector", [[`${source}.alpha`, channels]], ([a]) =>
      snakeAlpha(a!),
    );
    this.derived(`${name}.inverse_beta`, [channels], "vector", [[`${source}.beta`, channels]], ([b]) =>
      snakeInverseBeta(b!),
    );
  }

  layerNorm(name: string, dim: number, source: string): void {
    this.vector(`${name}.weight`, dim, `${source}.weight`);
    this.vector(`${name}.bias`, dim, `${source}.bias`);
  }

  codebook(
    name: string,
    size: number,
    width: number,
    sums: string,
    usage: string,
    sharedWith: string | null = null,
  ): void {
    const sources = [
      [sums, size, width],
      [usage, size],
    ] as const;
    const fold = ([s, u]: readonly Float32Array[]) => foldedCodebook(s!, u!);
    this.derived(name, [size, width], "codebook", sources, fold, sharedWith);
  }

  #add(
    tensor: Omit<CodecTensor, "part" | "sources" | "sourceShapes"> & {
      sources: readonly (readonly [name: string, ...shape: number[]])[];
    },
  ): void {
    this.tensors.push({
      ...tensor,
      part: this.#part,
      sources: tensor.sources.map(([name]) => name),
      sourceShapes: tensor.sources.map(([, ...shape]) => shape),
    });
  }
}

/** Codebook of group `k` in the decoder, 0 the semantic one. */
export const codebookName = (k: number): string => `${CODEC_PREFIX}quantizer.codebook.${k}`;

/** Codebook of group `k` in the encoder. */
export const encoderCodebookName = (k: number): string => `${CODEC_PREFIX}rvq.codebook.${k}`;

/**
 * All tensors that decoding and encoding take, in the order of the signal; official ones that are not named here (unused
 * quantizers, training statistics) are not needed. The only place with the official names.
 */
export function codecTensors(config: CodecConfig): CodecTensor[] {
  const decoder = decoderTensors(config.groups, config.decoder);
  if (config.encoder === null) return decoder;
  return [...decoder, ...encoderTensors(config.groups, config.encoder)];
}

function decoderTensors(groups: number, config: CodecDecoderConfig): CodecTensor[] {
  const list = new TensorList("decoder");
  const { codebookSize, codebookWidth, quantizerDim, latentDim, hiddenSize, intermediateSize } = config;
  const quantizer = "decoder.quantizer";
  for (let k = 0; k < groups; k++) {
    const layer = k === 0 ? "rvq_first.vq.layers.0" : `rvq_rest.vq.layers.${k - 1}`;
    const codebook = `${quantizer}.${layer}._codebook`;
    const sums = `${codebook}.embedding_sum`;
    list.codebook(codebookName(k), codebookSize, codebookWidth, sums, `${codebook}.cluster_usage`);
  }
  for (const [name, source] of [
    ["q_sem", "rvq_first"],
    ["q_ac", "rvq_rest"],
  ] as const) {
    list.projection(`codec.${name}`, quantizerDim, codebookWidth, `${quantizer}.${source}.output_proj`);
  }
  list.conv("codec.pre_conv", latentDim, quantizerDim, PRE_CONV_KERNEL, "decoder.pre_conv");

  const transformer = "decoder.pre_transformer";
  list.linear("codec.pt.input_proj", hiddenSize, latentDim, `${transformer}.input_proj`, true);
  const qDim = config.heads * config.headDim;
  const kvDim = config.kvHeads * config.headDim;
  for (let i = 0; i < config.layers; i++) {
    const [name, source] = [`codec.pt.${i}`, `${transformer}.layers.${i}`];
    const attention = (part: string, out: number, inputs: number) =>
      list.linear(`${name}.attn.${part}`, out, inputs, `${source}.self_attn.${part}`, config.attentionBias);
    list.vector(`${name}.input_layernorm.weight`, hiddenSize, `${source}.input_layernorm.weight`);
    attention("q_proj", qDim, hiddenSize);
    attention("k_proj", kvDim, hiddenSize);
    attention("v_proj", kvDim, hiddenSize);
    attention("o_proj", hiddenSize, qDim);
    list.vector(`${name}.attn.scale`, hiddenSize, `${source}.self_attn_layer_scale.scale`);
    const norm = "post_attention_layernorm.weight";
    list.vector(`${name}.${norm}`, hiddenSize, `${source}.${norm}`);
    for (const part of ["gate_proj", "up_proj"]) {
      list.linear(`${name}.mlp.${part}`, intermediateSize, hiddenSize, `${source}.mlp.${part}`, false);
    }
    list.linear(`${name}.mlp.down_proj`, hiddenSize, intermediateSize, `${source}.mlp.down_proj`, false);
    list.vector(`${name}.mlp.scale`, hiddenSize, `${source}.mlp_layer_scale.scale`);
  }
  list.vector("codec.pt.norm.weight", hiddenSize, `${transformer}.norm.weight`);
  list.linear("codec.pt.output_proj", latentDim, hiddenSize, `${transformer}.output_proj`, true);

  config.upsamplingRatios.forEach((ratio, i) => {
    const [name, source] = [`codec.up.${i}`, `decoder.upsample.${i}`];
    const wide = CONVNEXT_EXPANSION * latentDim;
    list.transposedConv(`${name}.conv`, latentDim, latentDim, ratio, 1, `${source}.0`);
    list.depthwise(`${name}.dwconv`, latentDim, CONV_KERNEL, `${source}.1.dwconv`);
    list.layerNorm(`${name}.norm`, latentDim, `${source}.1.norm`);
    list.linear(`${name}.pwconv1`, wide, latentDim, `${source}.1.pwconv1`, true);
    list.linear(`${name}.pwconv2`, latentDim, wide, `${source}.1.pwconv2`, true);
    list.vector(`${name}.gamma`, latentDim, `${source}.1.gamma`);
  });

  const { channels, blockRates } = config;
  list.conv("codec.dec.0", channels[0]!, latentDim, CONV_KERNEL, "decoder.decoder.0");
  blockRates.forEach((rate, b) => {
    const [inputs, out] = [channels[b]!, channels[b + 1]!];
    const [name, source] = [`codec.dec.${b + 1}`, `decoder.decoder.${b + 1}.block`];
    list.snake(`${name}.snake`, inputs, `${source}.0`);
    list.transposedConv(`${name}.convt`, out, inputs, rate, 2, `${source}.1`);
    RESIDUAL_DILATIONS.forEach((_, j) => {
      const [unit, unitSource] = [`${name}.${j + 2}`, `${source}.${j + 2}`];
      list.snake(`${unit}.act1`, out, `${unitSource}.act1`);
      list.conv(`${unit}.conv1`, out, out, CONV_KERNEL, `${unitSource}.conv1`);
      list.snake(`${unit}.act2`, out, `${unitSource}.act2`);
      list.conv(`${unit}.conv2`, out, out, 1, `${unitSource}.conv2`);
    });
  });
  const tail = blockRates.length + 1;
  list.snake(`codec.dec.${tail}`, channels.at(-1)!, `decoder.decoder.${tail}`);
  list.conv(`codec.dec.${tail + 1}`, 1, channels.at(-1)!, CONV_KERNEL, `decoder.decoder.${tail + 1}`);
  return list.tensors;
}

function encoderTensors(groups: number, config: CodecEncoderConfig): CodecTensor[] {
  const list = new TensorList("encoder");
  const { hiddenSize, codebookSize, codebookWidth } = config;
  for (const layer of seanetLayers(config)) {
    const [name, source] = [`codec.seanet.${layer.index}`, `encoder.encoder.layers.${layer.index}`];
    if (layer.kind === "conv") {
      list.conv(name, layer.outChannels, layer.inChannels, layer.kernel, source);
    } else if (layer.kind === "residual") {
      const { channels, inner, kernel } = layer;
      list.conv(`${name}.block.1`, inner, channels, kernel, `${source}.block.1`);
      list.conv(`${name}.block.3`, channels, inner, 1, `${source}.block.3`);
    }
  }
  const qDim = config.heads * config.headDim;
  const kvDim = config.kvHeads * config.headDim;
  for (let i = 0; i < config.layers; i++) {
    const [name, source] = [`codec.enc_tr.${i}`, `encoder.encoder_transformer.layers.${i}`];
    const linear = (ours: string, out: number, inputs: number, theirs = ours) =>
      list.linear(`${name}.${ours}`, out, inputs, `${source}.${theirs}`, false);
    list.layerNorm(`${name}.input_layernorm`, hiddenSize, `${source}.input_layernorm`);
    linear("attn.q_proj", qDim, hiddenSize, "self_attn.q_proj");
    linear("attn.k_proj", kvDim, hiddenSize, "self_attn.k_proj");
    linear("attn.v_proj", kvDim, hiddenSize, "self_attn.v_proj");
    linear("attn.o_proj", hiddenSize, qDim, "self_attn.o_proj");
    list.vector(`${name}.attn.scale`, hiddenSize, `${source}.self_attn_layer_scale.scale`);
    list.layerNorm(`${name}.post_attention_layernorm`, hiddenSize, `${source}.post_attention_layernorm`);
    linear("mlp.fc1", config.intermediateSize, hiddenSize);
    linear("mlp.fc2", hiddenSize, config.intermediateSize);
    list.vector(`${name}.mlp.scale`, hiddenSize, `${source}.mlp_layer_scale.scale`);
  }
  const kernel = 2 * DOWNSAMPLE_STRIDE;
  list.conv("codec.downsample", hiddenSize, hiddenSize, kernel, "encoder.downsample", false);
  const semantic = "encoder.quantizer.semantic_residual_vector_quantizer";
  const acoustic = "encoder.quantizer.acoustic_residual_vector_quantizer";
  list.projection("codec.z_sem", codebookWidth, hiddenSize, `${semantic}.input_proj`);
  list.projection("codec.z_ac", codebookWidth, hiddenSize, `${acoustic}.input_proj`);
  for (let k = 0; k < groups; k++) {
    const source = `${k === 0 ? `${semantic}.layers.0` : `${acoustic}.layers.${k - 1}`}.codebook`;
    const [sums, usage] = [`${source}.embed_sum`, `${source}.cluster_usage`];
    list.codebook(encoderCodebookName(k), codebookSize, codebookWidth, sums, usage, codebookName(k));
  }
  return list.tensors;
}
