import type { CausalConvGeometry, Precision } from "../../ops/kernels.js";
import type { WasmArray, WasmMemory } from "./memory.js";
import type { KernelModule, Pointer } from "./module.js";
import type { WasmWeight } from "./weights.js";

/** Weight rows whose products an argmax keeps at a time: enough work for several threads. */
const ARGMAX_CHUNK = 8192;

/** Int8 activations in scratch memory, see `quantizeActivations`. */
interface RoundedActivations {
  readonly q: Pointer;
  readonly d: Pointer;
  readonly sums16: Pointer;
  readonly sums32: Pointer;
}

/** Matrix products and row lookups. */
export class LinearKernels {
  readonly #module: KernelModule;
  readonly #memory: WasmMemory;
  readonly #halfTable: Pointer;

  constructor(module: KernelModule, memory: WasmMemory) {
    this.#module = module;
    this.#memory = memory;
    this.#halfTable = memory.allocate(65536 * 4, "table of half floats");
    module.fillHalfTable(this.#halfTable);
  }

  linear(
    x: WasmArray,
    rows: number,
    weights: readonly WasmWeight[],
    biases: readonly (WasmArray | null)[],
    outs: readonly WasmArray[],
    precision: Precision,
  ): void {
    const rounded = this.#round(x.pointer, rows, weights, precision);
    weights.forEach((weight, i) => {
      const bias = biases[i]?.pointer ?? 0;
      this.#multiply(x.pointer, rounded, rows, weight, 0, weight.rows, bias, outs[i]!.pointer, weight.rows);
    });
  }

  /** As `linear` for one weight, by address. */
  product(
    x: Pointer,
    rows: number,
    weight: WasmWeight,
    bias: Pointer,
    out: Pointer,
    precision: Precision,
  ): void {
    const rounded = this.#round(x, rows, [weight], precision);
    this.#multiply(x, rounded, rows, weight, 0, weight.rows, bias, out, weight.rows);
  }

  /**
   * As `product` for the outputs of a dilated convolution: input row t is the taps t, t + dilation, … of `signal`
   * `[…, channels]`.
   */
  productOfTaps(
    signal: Pointer,
    rows: number,
    { inChannels, kernel, dilation }: Pick<CausalConvGeometry, "inChannels" | "kernel" | "dilation">,
    weight: WasmWeight,
    bias: Pointer,
    out: Pointer,
    precision: Precision,
  ): void {
    const gather = (from: Pointer, words: number, to: Pointer) =>
      this.#module.gatherTaps(from, rows, words, kernel, dilation, to);
    if (kernel === 1) {
      this.product(signal, rows, weight, bias, out, precision);
    } else if (precision === "exact" || weight.dense || inChannels % 32 !== 0) {
      const taps = this.#memory.scratch("taps", rows * weight.columns * 4);
      gather(signal, inChannels, taps);
      this.product(taps, rows, weight, bias, out, precision);
    } else {
      // The signal is rounded once, not once per tap.
      const from = this.#rounded("rounded signal", rows + (kernel - 1) * dilation, inChannels);
      const to = this.#rounded("activations", rows, weight.columns);
      this.#module.quantizeActivations(
        ...([signal, rows + (kernel - 1) * dilation, inChannels] as const),
        ...([from.q, from.d, from.sums16, from.sums32] as const),
      );
      gather(from.q, inChannels / 2, to.q);
      gather(from.d, inChannels / 32, to.d);
      gather(from.sums16, inChannels / 16, to.sums16);
      gather(from.sums32, inChannels / 32, to.sums32);
      this.#multiply(0, to, rows, weight, 0, weight.rows, bias, out, weight.rows);
    }
  }

  linearArgmax(x: WasmArray, rows: number, weight: WasmWeight, out: Int32Array, precision: Precision): void {
    const rounded = this.#round(x.pointer, rows, [weight], precision);
    const best = this.#memory.scratch("argmax", rows * 8);
    const logits = this.#memory.scratch("logits", rows * ARGMAX_CHUNK * 4);
    const indices = best + rows * 4;
    this.#memory.floats(best, rows).fill(-Infinity);
    this.#memory.ints(indices, rows).fill(0);
    for (let first = 0; first < weight.rows; first += ARGMAX_CHUNK) {
      const count = Math.min(ARGMAX_CHUNK, weight.rows - first);
      this.#multiply(x.pointer, rounded, rows, weight, first, count, 0, logits, ARGMAX_CHUNK);
      this.#module.argmaxRows(logits, ARGMAX_CHUNK * 4, rows, count, first, best, indices);
    }
    out.set(this.#memory.ints(indices, rows));
  }

  embedding(ids: Int32Array, weight: WasmWeight, out: WasmArray): void {
    const scratch = this.#memory.scratch("decoding", this.#module.DEQUANTIZE_SCRATCH.value);
    const { pointer, rowBytes, columns, type } = weight;
    ids.forEach((id, i) => {
      this.#module.dequantize(type, pointer + id * rowBytes, columns, out.pointer + i * columns * 4, scratch);
    });
  }

  /** Int8 activations if `precision` allows them and a weight can use them. */
  #round(
    x: Pointer,
    rows: number,
    weights: readonly WasmWeight[],
    precision: Precision,
  ): RoundedActivations | null {
    if (precision === "exact" || weights.every((weight) => weight.dense)) return null;
    const { columns } = weights[0]!;
    const rounded = this.#rounded("activations", rows, columns);
    this.#module.quantizeActivations(
      ...([x, rows, columns, rounded.q, rounded.d, rounded.sums16, rounded.sums32] as const),
    );
    return rounded;
  }

  /** Scratch memory for int8 activations `[rows, columns]`. */
  #rounded(name: string, rows: number, columns: number): RoundedActivations {
    const blocks = rows * (columns / 32);
    const q = this.#memory.scratch(name, rows * columns * 2 + blocks * 16);
    const d = q + rows * columns * 2;
    const sums16 = d + blocks * 4;
    return { q, d, sums16, sums32: sums16 + blocks * 8 };
  }

  /** Products with weight rows `[first, first + count)`; rows of `out` are `stride` elements apart. */
  #multiply(
    x: Pointer,
    rounded: RoundedActivations | null,
    rows: number,
    weight: WasmWeight,
    first: number,
    count: number,
    bias: Pointer,
    out: Pointer,
    stride: number,
  ): void {
    const module = this.#module;
    const { type, columns } = weight;
    // The rows of a decode step have the same bits alone and in a batch; panels for more add up in another order.
    const few = rows <= module.FEW_ROWS.value;
    const scratch = this.#memory.scratch(
      "panel",
      few ? module.fewRowsScratch(columns) : module.manyRowsScratch(),
    );
    const from = weight.pointer + first * weight.rowBytes;
    const bytes = stride * 4;
    if (rounded === null || weight.dense) {
      const run = few ? module.linearFewFloat : module.linearManyFloat;
      run(type, from, count, columns, x, rows, bias, out, bytes, scratch);
      return;
    }
    const { q, d, sums16, sums32 } = rounded;
    if (few) {
      module.linearFewInt(
        ...([type, from, count, columns, q, d, sums16, sums32, rows, bias, out, bytes, scratch] as const),
        this.#halfTable,
      );
    } else {
      module.linearManyInt(type, from, count, columns, q, d, sums16, sums32, rows, bias, out, bytes, scratch);
    }
  }
}
