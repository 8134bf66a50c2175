import {
  concat,
  reshape,
  slice,
  tensor2d,
  tensor4d,
  transpose,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
} from "@tensorflow/tfjs-core";
import { add, conv2d, gelu, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import {
  BlockSelfAttention,
  GeluMlp,
  LayerNorm,
  loadLinear,
  sinusoidalPositions,
  traceTensor,
  type EventLoopBreak,
  type TraceSink,
  type WeightSource,
} from "@voxquant/nn";
import type { LogMel } from "@voxquant/audio";
import type { Qwen3AsrEncoderConfig } from "./config.js";

/** PyTorch's default, which the checkpoint does not name. */
const LAYER_NORM_EPS = 1e-5;

/** Chunks per pass of the convolutions: their activations (6 MB a chunk at 480 channels) bound the encoder's memory. */
const CONV_CHUNKS = 4;

const CONV = { kernel: [3, 3], stride: [2, 2], padding: [1, 1], activation: "gelu" } as const;

/** Length of an axis after the three convolutions of stride 2: ceil(length / 8). */
function convolvedLength(length: number): number {
  return Math.ceil(length / 8);
}

interface EncoderLayer {
  readonly attentionNorm: LayerNorm;
  readonly attention: BlockSelfAttention;
  readonly finalNorm: LayerNorm;
  readonly mlp: GeluMlp;
}

/** Qwen3-ASR's audio encoder ("AuT", modeling_qwen3_asr.py `Qwen3ASRAudioEncoder`). */
export class Qwen3AsrEncoder {
  readonly #config: Qwen3AsrEncoderConfig;
  readonly #runtime: Runtime;
  readonly #convs: readonly LinearLayer[];
  readonly #convOut: LinearLayer;
  readonly #layers: readonly EncoderLayer[];
  readonly #postNorm: LayerNorm;
  readonly #proj1: LinearLayer;
  readonly #proj2: LinearLayer;

  private constructor(
    config: Qwen3AsrEncoderConfig,
    runtime: Runtime,
    parts: {
      convs: readonly LinearLayer[];
      convOut: LinearLayer;
      layers: readonly EncoderLayer[];
      postNorm: LayerNorm;
      proj1: LinearLayer;
      proj2: LinearLayer;
    },
  ) {
    this.#config = config;
    this.#runtime = runtime;
    this.#convs = parts.convs;
    this.#convOut = parts.convOut;
    this.#layers = parts.layers;
    this.#postNorm = parts.postNorm;
    this.#proj1 = parts.proj1;
    this.#proj2 = parts.proj2;
  }

  /** `prefix`: `thinker.audio_tower.` */
  static async load(runtime: Runtime, source: WeightSource, prefix: string, config: Qwen3AsrEncoderConfig) {
    const { dim, convChannels: channels, ffnDim, heads, melBins } = config;
    const linear = (name: string, inputs: number, outputs: number, bias = true) =>
      loadLinear(runtime, source, `${prefix}${name}`, { in: inputs, out: outputs }, { bias });
    const norm = (name: string) => LayerNorm.load(runtime, source, `${prefix}${name}`, dim, LAYER_NORM_EPS);
    const layers: EncoderLayer[] = [];
    for (let i = 0; i < config.layers; i++) {
      const name = `${prefix}layers.${i}`;
      layers.push({
        attentionNorm: await norm(`layers.${i}.self_attn_layer_norm`),
        attention: await BlockSelfAttention.load(runtime, source, `${name}.self_attn`, dim, heads),
        finalNorm: await norm(`layers.${i}.final_layer_norm`),
        mlp: await GeluMlp.load(runtime, source, [`${name}.fc1`, `${name}.fc2`], dim, ffnDim),
      });
    }
    return new Qwen3AsrEncoder(config, runtime, {
      convs: [
        await linear("conv2d1", 9, channels),
        await linear("conv2d2", channels * 9, channels),
        await linear("conv2d3", channels * 9, channels),
      ],
      convOut: await linear("conv_out", channels * convolvedLength(melBins), dim, false),
      layers,
      postNorm: await norm("ln_post"),
      proj1: await linear("proj1", dim, dim),
      proj2: await linear("proj2", dim, config.outputDim),
    });
  }

  /** Audio tokens for this many mel frames: per chunk ceil(frames / 8). */
  tokenCount(frames: number): number {
    const { chunkFrames } = this.#config;
    const whole = Math.floor(frames / chunkFrames);
    return whole * convolvedLength(chunkFrames) + convolvedLength(frames % chunkFrames);
  }

  /** mel `[melBins, frames]` → audio embeddings `[tokenCount(frames), outputDim]`. */
  async encode(mel: LogMel, pause: EventLoopBreak, trace?: TraceSink): Promise<Tensor2D> {
    const { chunkFrames, blockChunks } = this.#config;
    // A clip of at least one chunk zero-pads its tail to a whole chunk; a shorter clip keeps its own width.
    const width = Math.min(chunkFrames, mel.frames);
    const chunkTokens = convolvedLength(width);
    const tokens = this.tokenCount(mel.frames);

    let x = await this.#front(mel, width, tokens, pause, trace);
    traceTensor(trace, "enc_in", x);

    const blocks = attentionBlocks(tokens, chunkTokens * blockChunks);
    let normed = this.#runtime.run(() => this.#layers[0]!.attentionNorm.forward(x));
    for (let i = 0; i < this.#layers.length; i++) {
      const { attention, finalNorm, mlp } = this.#layers[i]!;
      const nextNorm = this.#layers[i + 1]?.attentionNorm ?? this.#postNorm;
      const next = this.#runtime.run(() => {
        const mixed = attention.forward(normed, blocks);
        traceTensor(trace, `enc_attn_${i}`, mixed);
        const [sum, forMlp] = finalNorm.addForward(x, mixed);
        return nextNorm.addForward(sum, mlp.forward(forMlp));
      });
      x.dispose();
      normed.dispose();
      [x, normed] = next;
      traceTensor(trace, `enc_layer_${i}`, x);
      try {
        await pause.pass();
      } catch (error) {
        x.dispose();
        normed.dispose();
        throw error;
      }
    }
    traceTensor(trace, "ln_post", normed);
    const embeds = this.#runtime.run(() => {
      const hidden = this.#proj1.forward(normed);
      traceTensor(trace, "proj1", hidden);
      return this.#proj2.forward(gelu(hidden));
    });
    x.dispose();
    normed.dispose();
    traceTensor(trace, "audio_embeds", embeds);
    return embeds;
  }

  /** Convolutions, `conv_out` and positions of all chunks, packed without padding: `[tokens, dim]`. */
  async #front(
    mel: LogMel,
    width: number,
    tokens: number,
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    const { chunkFrames, dim } = this.#config;
    const chunks = Math.ceil(mel.frames / chunkFrames);
    const chunkTokens = convolvedLength(width);
    const stages = trace === undefined ? null : new ConvStages(trace);
    const parts: Tensor2D[] = [];
    try {
      for (let first = 0; first < chunks; first += CONV_CHUNKS) {
        const count = Math.min(CONV_CHUNKS, chunks - first);
        const input = melChunks(mel, first, count, chunkFrames, width);
        parts.push(
          this.#runtime.run(() => {
            const x = tensor4d(input, [count, mel.mels, width, 1]);
            const c1 = conv2d(x, this.#convs[0]!, { ...CONV, layout: "nhwc" });
            const c2 = conv2d(c1, this.#convs[1]!, { ...CONV, layout: "nhwc" });
            const c3 = conv2d(c2, this.#convs[2]!, { ...CONV, layout: "nwch" });
            stages?.add(c1, c2, c3);
            return this.#convOut.forward(reshape(c3, [count * chunkTokens, this.#convOut.inFeatures]));
          }),
        );
        await pause.pass();
      }
      return this.#runtime.run(() => {
        const packed = parts.length === 1 ? parts[0]! : concat(parts, 0);
        traceTensor(trace, "conv_out", reshape(packed, [chunks, chunkTokens, dim]));
        stages?.flush();
        const valid = tokens === packed.shape[0] ? packed : slice(packed, [0, 0], [tokens, dim]);
        return add(valid, positionsPerChunk(tokens, chunkTokens, dim));
      });
    } finally {
      for (const part of parts) part.dispose();
    }
  }
}

/** Chunks `[first, first + count)` as `[count, mels, width]`, zero (in normalised mel space) behind the last frame. */
function melChunks(
  mel: LogMel,
  first: number,
  count: number,
  chunkFrames: number,
  width: number,
): Float32Array {
  const chunks = new Float32Array(count * mel.mels * width);
  for (let c = 0; c < count; c++) {
    const from = (first + c) * chunkFrames;
    const frames = Math.min(width, mel.frames - from);
    for (let m = 0; m < mel.mels; m++) {
      const row = mel.data.subarray(m * mel.frames + from, m * mel.frames + from + frames);
      chunks.set(row, (c * mel.mels + m) * width);
    }
  }
  return chunks;
}

/** Sinusoids that start again in every chunk, `[tokens, dim]`. */
function positionsPerChunk(tokens: number, chunkTokens: number, dim: number): Tensor2D {
  const table = sinusoidalPositions(chunkTokens, dim);
  const tiled = new Float32Array(tokens * dim);
  for (let start = 0; start < tokens; start += chunkTokens) {
    const count = Math.min(chunkTokens, tokens - start);
    tiled.set(table.subarray(0, count * dim), start * dim);
  }
  return tensor2d(tiled, [tokens, dim]);
}

/** Offsets of blocks of `block` tokens and a remainder (upstream's `cu_seqlens`). */
export function attentionBlocks(tokens: number, block: number): Int32Array {
  const offsets: number[] = [];
  for (let at = 0; at < tokens; at += block) offsets.push(at);
  offsets.push(tokens);
  return Int32Array.from(offsets);
}

/** Gathers the convolutions' outputs over the passes and traces them as the references hold them, channels first. */
class ConvStages {
  readonly #trace: TraceSink;
  readonly #passes: { shape: readonly number[]; data: Float32Array }[][] = [];

  constructor(trace: TraceSink) {
    this.#trace = trace;
  }

  add(c1: Tensor4D, c2: Tensor4D, c3: Tensor4D): void {
    const [n, width, channels, height] = c3.shape;
    const flat = reshape(c3, [n, width, channels * height]);
    const copy = (x: Tensor) => ({ shape: x.shape, data: Float32Array.from(x.dataSync()) });
    this.#passes.push([copy(transpose(c1, [0, 3, 1, 2])), copy(transpose(c2, [0, 3, 1, 2])), copy(flat)]);
  }

  flush(): void {
    ["conv1", "conv2", "conv3_flat"].forEach((name, stage) => {
      const parts = this.#passes.map((pass) => pass[stage]!);
      const chunks = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
      const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
      let at = 0;
      for (const part of parts) {
        data.set(part.data, at);
        at += part.data.length;
      }
      this.#trace(name, { shape: [chunks, ...parts[0]!.shape.slice(1)], data });
    });
  }
}
