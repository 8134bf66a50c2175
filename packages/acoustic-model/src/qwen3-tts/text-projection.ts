import { mul, sigmoid, type Tensor2D } from "@tensorflow/tfjs-core";
import type { LinearLayer, Runtime } from "@voxquant/quant-core";
import { loadLinear, type WeightSource } from "@voxquant/nn";

/** Text embeddings to the talker's width: `fc2(silu(fc1(x)))`, with biases (`Qwen3TTSTalkerResizeMLP`). */
export class TextProjection {
  readonly #fc1: LinearLayer;
  readonly #fc2: LinearLayer;

  private constructor(fc1: LinearLayer, fc2: LinearLayer) {
    this.#fc1 = fc1;
    this.#fc2 = fc2;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, size: { in: number; out: number }) {
    const inner = { in: size.in, out: size.in };
    const fc1 = await loadLinear(runtime, source, `${name}.linear_fc1`, inner, { bias: true });
    const fc2 = await loadLinear(runtime, source, `${name}.linear_fc2`, size, { bias: true });
    return new TextProjection(fc1, fc2);
  }

  /** x `[rows, in]` → `[rows, out]` */
  forward(x: Tensor2D): Tensor2D {
    const inner = this.#fc1.forward(x);
    return this.#fc2.forward(mul(inner, sigmoid(inner)));
  }
}
