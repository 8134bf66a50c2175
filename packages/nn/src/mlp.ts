import type { Tensor2D } from "@tensorflow/tfjs-core";
import { forwardTogether, gelu, siluMul, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import { loadLinear, type WeightSource } from "./weight-source.js";

/** `down(silu(gate(x)) · up(x))`, without biases. */
export class SwigluMlp {
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;

  private constructor(gate: LinearLayer, up: LinearLayer, down: LinearLayer) {
    this.gate = gate;
    this.up = up;
    this.down = down;
  }

  static async load(runtime: Runtime, source: WeightSource, name: string, dim: number, hidden: number) {
    const gate = await loadLinear(runtime, source, `${name}.gate_proj`, { in: dim, out: hidden });
    const up = await loadLinear(runtime, source, `${name}.up_proj`, { in: dim, out: hidden });
    const down = await loadLinear(runtime, source, `${name}.down_proj`, { in: hidden, out: dim });
    return new SwigluMlp(gate, up, down);
  }

  /** x `[rows, dim]` → `[rows, dim]` */
  forward(x: Tensor2D): Tensor2D {
    const [gate, up] = forwardTogether([this.gate, this.up], x);
    return this.down.forward(siluMul(gate!, up!));
  }
}

/** `fc2(gelu(fc1(x)))`, with biases. */
export class GeluMlp {
  readonly #fc1: LinearLayer;
  readonly #fc2: LinearLayer;

  private constructor(fc1: LinearLayer, fc2: LinearLayer) {
    this.#fc1 = fc1;
    this.#fc2 = fc2;
  }

  /** `names`: the two layers, as in the checkpoint. */
  static async load(
    runtime: Runtime,
    source: WeightSource,
    names: readonly [fc1: string, fc2: string],
    dim: number,
    hidden: number,
  ) {
    const fc1 = await loadLinear(runtime, source, names[0], { in: dim, out: hidden }, { bias: true });
    const fc2 = await loadLinear(runtime, source, names[1], { in: hidden, out: dim }, { bias: true });
    return new GeluMlp(fc1, fc2);
  }

  /** x `[rows, dim]` → `[rows, dim]` */
  forward(x: Tensor2D): Tensor2D {
    return this.#fc2.forward(gelu(this.#fc1.forward(x)));
  }
}
