import type { CausalConvGeometry, Precision } from "../../ops/kernels.js";
import type { LinearKernels } from "./linear.js";
import type { WasmArray, WasmMemory } from "./memory.js";
import type { KernelModule, Pointer } from "./module.js";
import type { WasmWeight } from "./weights.js";

/** Gathered inputs at a time: enough rows to pay for unpacking the weights, few enough for the cache. */
const GATHERED_BYTES = 2 * 2 ** 20;
const LEAST_ROWS = 64;

/** Convolutions over the rows of a signal, as gathered inputs × weights. */
export class CausalConvKernels {
  readonly #module: KernelModule;
  readonly #memory: WasmMemory;
  readonly #linear: LinearKernels;

  constructor(module: KernelModule, memory: WasmMemory, linear: LinearKernels) {
    this.#module = module;
    this.#memory = memory;
    this.#linear = linear;
  }

  causalConv1d(
    x: WasmArray,
    geometry: CausalConvGeometry,
    weight: WasmWeight,
    bias: WasmArray | null,
    history: WasmArray | null,
    residual: WasmArray | null,
    out: WasmArray,
    precision: Precision,
  ): void {
    const module = this.#module;
    const { rows, inChannels, kernel, dilation, activation } = geometry;
    const before = (kernel - 1) * dilation * inChannels;
    const signal = before === 0 ? x.pointer : this.#signal(x, history, before);
    const chunk = Math.min(rows, Math.max(LEAST_ROWS, Math.floor(GATHERED_BYTES / (weight.columns * 4))));
    for (let done = 0; done < rows; done += chunk) {
      const count = Math.min(chunk, rows - done);
      const from = signal + done * inChannels * 4;
      const at = done * weight.rows * 4;
      const to = out.pointer + at;
      const length = count * weight.rows;
      this.#linear.productOfTaps(from, count, geometry, weight, bias?.pointer ?? 0, to, precision);
      if (activation === "gelu") module.gelu(to, length, to);
      else if (activation === "silu") module.silu(to, length, to);
      if (residual !== null) module.add(to, residual.pointer + at, length, to);
    }
    this.#keep(signal, x.length, before, history);
  }

  depthwiseCausalConv1d(
    x: WasmArray,
    rows: number,
    channels: number,
    kernel: number,
    weight: WasmArray,
    bias: WasmArray,
    history: WasmArray | null,
    out: WasmArray,
  ): void {
    const before = (kernel - 1) * channels;
    const signal = this.#signal(x, history, before);
    this.#module.depthwise(signal, rows, channels, kernel, weight.pointer, bias.pointer, out.pointer);
    this.#keep(signal, x.length, before, history);
  }

  /** The history's `before` values (without one: zeros) and then those of x. */
  #signal(x: WasmArray, history: WasmArray | null, before: number): Pointer {
    const pointer = this.#memory.scratch("signal", (before + x.length) * 4);
    const signal = this.#memory.floats(pointer, before + x.length);
    if (history === null) signal.fill(0, 0, before);
    else signal.set(this.#memory.floats(history.pointer, before));
    signal.set(this.#memory.floats(x.pointer, x.length), before);
    return pointer;
  }

  #keep(signal: Pointer, length: number, before: number, history: WasmArray | null): void {
    if (history === null || before === 0) return;
    const last = this.#memory.floats(signal + length * 4, before);
    this.#memory.floats(history.pointer, before).set(last);
  }
}
