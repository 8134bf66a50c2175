import { tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { LinearLayer, type Runtime } from "@voxquant/quant-core";
import { loadLinear, type EventLoopBreak, type TraceSink, type WeightSource } from "@voxquant/nn";
import type { CodecEncoderConfig } from "./config.js";
import type { StageTrace } from "./stage-trace.js";
import { CODEC_PREFIX, encoderCodebookName } from "./tensors.js";

/** Split residual vector quantization: one semantic codebook, then acoustic ones on their own projection. */
export class ResidualQuantizer {
  readonly #runtime: Runtime;
  readonly #projections: readonly [semantic: LinearLayer, acoustic: LinearLayer];
  readonly #codebooks: readonly Codebook[];

  private constructor(
    runtime: Runtime,
    projections: readonly [LinearLayer, LinearLayer],
    codebooks: readonly Codebook[],
  ) {
    this.#runtime = runtime;
    this.#projections = projections;
    this.#codebooks = codebooks;
  }

  static async load(
    runtime: Runtime,
    source: WeightSource,
    groups: number,
    config: CodecEncoderConfig,
  ): Promise<ResidualQuantizer> {
    const size = { in: config.hiddenSize, out: config.codebookWidth };
    const projection = (name: string) => loadLinear(runtime, source, `${CODEC_PREFIX}${name}`, size);
    const codebooks: Codebook[] = [];
    for (let k = 0; k < groups; k++) {
      codebooks.push(await Codebook.load(runtime, source, encoderCodebookName(k)));
    }
    return new ResidualQuantizer(runtime, [await projection("z_sem"), await projection("z_ac")], codebooks);
  }

  /** latents `[frames, hidden]` → codes `[frames · groups]`, time-major */
  async encode(
    latents: Tensor2D,
    pause: EventLoopBreak,
    stages: StageTrace | null,
    trace?: TraceSink,
  ): Promise<Int32Array> {
    const frames = latents.shape[0];
    const groups = this.#codebooks.length;
    const codes = new Int32Array(frames * groups);
    const [semantic, acoustic] = this.#projections.map((projection, i) => {
      const projected = this.#runtime.run(() => projection.forward(latents));
      stages?.signal(i === 0 ? "z_sem" : "z_ac", projected);
      const values = Float32Array.from(projected.dataSync());
      projected.dispose();
      return values;
    });
    const searched: Float32Array[] = [];
    const residual = acoustic!;
    for (let k = 0; k < groups; k++) {
      const codebook = this.#codebooks[k]!;
      // The acoustic codebooks quantize their projection of the latent, not what the semantic one left over.
      const vectors = k === 0 ? semantic! : residual;
      if (trace !== undefined) searched.push(vectors.slice());
      const nearest = codebook.nearest(vectors);
      for (let t = 0; t < frames; t++) codes[t * groups + k] = nearest[t]!;
      if (k > 0) codebook.subtract(nearest, residual);
      await pause.pass();
    }
    if (trace !== undefined) {
      const width = residual.length / frames;
      const data = new Float32Array(groups * residual.length);
      searched.forEach((vectors, k) => data.set(vectors, k * residual.length));
      trace("rvq.residual", { shape: [groups, frames, width], data });
      trace("codes", { shape: [frames, groups], data: codes });
    }
    return codes;
  }
}

/**
 * Scores closer than this, relative to the lengths of vector and entries, are decided by exact distances. Sums of up to
 * 600 float32 products in any order differ by less.
 */
const SCORE_SLACK = 4e-5;

/** Nearest-neighbour search among the entries of one codebook, `[entries, width]`. */
export class Codebook {
  readonly #runtime: Runtime;
  readonly #entries: Float32Array;
  readonly #width: number;
  /** `r · E − |E|²/2`, largest for the nearest entry. */
  readonly #scores: LinearLayer;
  /** |E| of the longest entry. */
  readonly #longest: number;

  private constructor(runtime: Runtime, entries: Float32Array, scores: LinearLayer, longest: number) {
    this.#runtime = runtime;
    this.#entries = entries;
    this.#width = scores.inFeatures;
    this.#scores = scores;
    this.#longest = longest;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string): Promise<Codebook> {
    const weight = await source.read(name);
    const entries = await source.readVector(name);
    const width = weight.shape[1]!;
    const norms = new Float32Array(weight.shape[0]!);
    let longest = 0;
    for (let v = 0; v < norms.length; v++) {
      let squares = 0;
      for (let i = 0; i < width; i++) squares += entries[v * width + i]! ** 2;
      norms[v] = -squares / 2;
      longest = Math.max(longest, Math.sqrt(squares));
    }
    const scores = LinearLayer.create(runtime, weight, runtime.uploadVector(norms), "exact");
    return new Codebook(runtime, entries, scores, longest);
  }

  /** vectors `[rows, width]` → the nearest entry of each by Euclidean distance; of equal ones the lowest */
  nearest(vectors: Float32Array): Int32Array {
    const width = this.#width;
    const rows = vectors.length / width;
    const entries = this.#scores.outFeatures;
    const tensor = this.#runtime.run(() => this.#scores.forward(tensor2d(vectors, [rows, width])));
    const scores = tensor.dataSync();
    tensor.dispose();
    const nearest = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const vector = vectors.subarray(row * width, (row + 1) * width);
      let best = -Infinity;
      for (let v = 0; v < entries; v++) best = Math.max(best, scores[row * entries + v]!);
      let squares = 0;
      for (let i = 0; i < width; i++) squares += vector[i]! ** 2;
      const slack = SCORE_SLACK * this.#longest * (Math.sqrt(squares) + this.#longest);
      let shortest = Infinity;
      for (let v = 0; v < entries; v++) {
        if (scores[row * entries + v]! < best - slack) continue;
        const distance = this.#squaredDistance(vector, v);
        if (distance < shortest) {
          shortest = distance;
          nearest[row] = v;
        }
      }
    }
    return nearest;
  }

  /** Takes the entries `codes` `[rows]` away from `vectors` `[rows, width]`. */
  subtract(codes: Int32Array, vectors: Float32Array): void {
    const width = this.#width;
    for (let row = 0; row < codes.length; row++) {
      const entry = codes[row]! * width;
      for (let i = 0; i < width; i++) vectors[row * width + i]! -= this.#entries[entry + i]!;
    }
  }

  #squaredDistance(vector: Float32Array, entry: number): number {
    let sum = 0;
    for (let i = 0; i < vector.length; i++)
      sum += (vector[i]! - this.#entries[entry * vector.length + i]!) ** 2;
    return sum;
  }
}
