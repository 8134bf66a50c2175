import type { Tensor } from "@tensorflow/tfjs-core";
import {
  addLayerNorm,
  addRmsNorm,
  layerNorm,
  rmsNorm,
  type Runtime,
  type Vector,
} from "@voxquant/quant-core";
import { loadVector, type WeightSource } from "./weight-source.js";

/** `g · x / sqrt(mean(x²) + eps)`. */
export class RmsNorm {
  readonly gamma: Vector;
  readonly #eps: number;

  private constructor(gamma: Vector, eps: number) {
    this.gamma = gamma;
    this.#eps = eps;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, dim: number, eps: number) {
    return new RmsNorm(await loadVector(runtime, source, `${name}.weight`, dim), eps);
  }

  forward<T extends Tensor>(x: T): T {
    return rmsNorm(x, this.gamma, this.#eps);
  }

  /** `[x + residual, norm(x + residual)]` */
  addForward<T extends Tensor>(x: T, residual: T): [sum: T, normed: T] {
    return addRmsNorm(x, residual, this.gamma, this.#eps);
  }
}

/** `g · (x − mean) / sqrt(var + eps) + b`. */
export class LayerNorm {
  readonly #gamma: Vector;
  readonly #beta: Vector;
  readonly #eps: number;

  private constructor(gamma: Vector, beta: Vector, eps: number) {
    this.#gamma = gamma;
    this.#beta = beta;
    this.#eps = eps;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, dim: number, eps: number) {
    const gamma = await loadVector(runtime, source, `${name}.weight`, dim);
    return new LayerNorm(gamma, await loadVector(runtime, source, `${name}.bias`, dim), eps);
  }

  forward<T extends Tensor>(x: T): T {
    return layerNorm(x, this.#gamma, this.#beta, this.#eps);
  }

  /** `[x + residual, norm(x + residual)]` */
  addForward<T extends Tensor>(x: T, residual: T): [sum: T, normed: T] {
    return addLayerNorm(x, residual, this.#gamma, this.#beta, this.#eps);
  }
}
