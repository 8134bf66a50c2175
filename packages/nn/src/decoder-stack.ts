import { concat2d, slice2d, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  FusedDecoderStack,
  type DecoderPass,
  type KvCache,
  type Runtime,
  type SequenceRows,
} from "@voxquant/quant-core";
import { DecoderLayer, type DecoderLayerConfig } from "./decoder-layer.js";
import type { EventLoopBreak } from "./event-loop.js";
import { RmsNorm } from "./norms.js";
import { traceTensor, type TraceSink } from "./trace.js";
import type { WeightSource } from "./weight-source.js";

export interface DecoderStackConfig extends DecoderLayerConfig {
  readonly layers: number;
}

/**
 * The layers of a Qwen3 decoder with the final norm (transformers `modeling_qwen3.py`, `Qwen3Model` without its
 * embedding): embeddings in, normed states out.
 */
export class DecoderStack {
  readonly config: DecoderStackConfig;
  readonly #runtime: Runtime;
  readonly #layers: readonly DecoderLayer[];
  readonly #norm: RmsNorm;
  readonly #fused: FusedDecoderStack | null;

  private constructor(
    config: DecoderStackConfig,
    runtime: Runtime,
    layers: readonly DecoderLayer[],
    norm: RmsNorm,
  ) {
    this.config = config;
    this.#runtime = runtime;
    this.#layers = layers;
    this.#norm = norm;
    this.#fused = FusedDecoderStack.create(
      runtime,
      layers.flatMap(({ fused }) => fused ?? []),
      [...layers.map(({ inputNorm }) => inputNorm.gamma), norm.gamma],
    );
  }

  /** `prefix` comes before `layers.0…` and `norm` in the tensors' names. */
  static async load(
    runtime: Runtime,
    source: WeightSource,
    prefix: string,
    config: DecoderStackConfig,
  ): Promise<DecoderStack> {
    const layers: DecoderLayer[] = [];
    for (let i = 0; i < config.layers; i++) {
      layers.push(await DecoderLayer.load(runtime, source, `${prefix}layers.${i}`, i, config));
    }
    const norm = await RmsNorm.load(runtime, source, `${prefix}norm`, config.hiddenSize, config.normEps);
    return new DecoderStack(config, runtime, layers, norm);
  }

  /** A cache for one sequence of up to `capacity` tokens. */
  createCache(capacity: number): KvCache {
    const { layers, kvHeads, headDim } = this.config;
    return this.#runtime.createKvCache({ layers, kvHeads, headDim, capacity });
  }

  /**
   * Hidden states after the final norm, `[rows, hidden]`. `embeds` `[rows, hidden]` is consumed (disposed), also when
   * this throws. The rows of each sequence continue it at its `position`; sequences may have any number of rows, there is
   * no padding. The event loop gets its turn between layers, or some of them where they are quick: for prompts.
   * @param trace receives `layerN.*` (what is inside), `layerN` and `norm_out`
   */
  forward(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    return this.#pass(embeds, sequences, null, pause, trace);
  }

  /**
   * The same for prompts of which only the last row of each sequence is asked for: `[sequences, hidden]`. The values are
   * those of `forward`; where the device allows it, most rows end with their keys and values in the last layer.
   */
  async prefill(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    const watched = trace !== undefined || this.#runtime.observe !== null;
    const ends = watched || this.#layers.at(-1)!.fused === null ? null : promptEnds(sequences);
    const states = await this.#pass(embeds, sequences, ends, pause, trace);
    try {
      return this.pickRows(
        states,
        (ends ?? sequences).map(({ start, count }) => start + count - 1),
      );
    } finally {
      states.dispose();
    }
  }

  /** All layers; with `ends`, the last one for these rows of x only, whose states are returned side by side. */
  async #pass(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    ends: readonly PromptEnd[] | null,
    pause: EventLoopBreak,
    trace?: TraceSink,
  ): Promise<Tensor2D> {
    const alive: Tensor2D[] = [embeds];
    const whole = this.#layers.length - (ends === null ? 0 : 1);
    const fused = trace === undefined && this.#runtime.observe === null ? this.#fused : null;
    try {
      const positions = positionsOf(embeds.shape[0], sequences);
      alive.push(this.#runtime.run(() => this.#layers[0]!.inputNorm.forward(embeds)));
      const replace = async (next: (x: Tensor2D, normed: Tensor2D) => [Tensor2D, Tensor2D]) => {
        const [x, normed] = alive as [Tensor2D, Tensor2D];
        alive.push(...this.#runtime.run(() => next(x, normed)));
        for (const done of alive.splice(0, 2)) done.dispose();
        await pause.pass();
      };
      // The first layer alone: the embeddings' memory may be another's too, that of its result is not.
      const single = fused === null ? whole : Math.min(1, whole);
      for (let i = 0; i < single; i++) {
        await replace((x, normed) => this.#layer(i, x, normed, positions, sequences, trace));
      }
      if (fused !== null && single < whole) {
        const [x, normed] = alive as [Tensor2D, Tensor2D];
        await advanceInRuns(fused.begin(x, normed, single, positions, sequences), whole, pause);
      }
      if (ends !== null) {
        await replace((x, normed) => this.#lastLayer(x, normed, positions, sequences, ends));
      }
    } catch (error) {
      for (const tensor of alive) tensor.dispose();
      throw error;
    }
    const [x, normed] = alive as [Tensor2D, Tensor2D];
    x.dispose();
    traceTensor(trace, "norm_out", normed);
    return normed;
  }

  /**
   * The same without a pause, for few rows: a decode step, which is one op where the device has it. To be called inside
   * `runtime.run`, which frees what lies between; `embeds` stays the caller's.
   */
  step(embeds: Tensor2D, sequences: readonly SequenceRows[]): Tensor2D {
    const positions = positionsOf(embeds.shape[0], sequences);
    if (this.#fused !== null && this.#runtime.observe === null) {
      return this.#fused.forward(embeds, positions, sequences);
    }
    let x = embeds;
    let normed = this.#layers[0]!.inputNorm.forward(x);
    for (let i = 0; i < this.#layers.length; i++)
      [x, normed] = this.#layer(i, x, normed, positions, sequences);
    return normed;
  }

  /**
   * A decode step of the sequences' next rows: `step` where it is one op, else with the event loop's turns between the
   * layers. `embeds` is consumed.
   */
  async decode(
    embeds: Tensor2D,
    sequences: readonly SequenceRows[],
    pause: EventLoopBreak,
  ): Promise<Tensor2D> {
    if (this.#fused === null) return this.forward(embeds, sequences, pause);
    try {
      await pause.pass();
      return this.#runtime.run(() => this.step(embeds, sequences));
    } finally {
      embeds.dispose();
    }
  }

  /** Row `rows[i]` of x `[n, hidden]` for each i. */
  pickRows(x: Tensor2D, rows: readonly number[]): Tensor2D {
    return this.#runtime.run(() =>
      concat2d(
        rows.map((row) => slice2d(x, [row, 0], [1, x.shape[1]])),
        0,
      ),
    );
  }

  /** The last layer for the ends of prompts; other rows leave their keys and values only. */
  #lastLayer(
    x: Tensor2D,
    normed: Tensor2D,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    ends: readonly PromptEnd[],
  ): [sum: Tensor2D, normed: Tensor2D] {
    const index = this.#layers.length - 1;
    this.#layers[index]!.fused!.appendKeys(normed, positions, sequences, index);
    const rowsOf = (all: Tensor2D) =>
      concat2d(
        ends.map(({ from, count }) => slice2d(all, [from, 0], [count, all.shape[1]])),
        0,
      );
    const rows = ends.reduce((sum, { count }) => sum + count, 0);
    return this.#layer(index, rowsOf(x), rowsOf(normed), positionsOf(rows, ends), ends);
  }

  #layer(
    index: number,
    x: Tensor2D,
    normed: Tensor2D,
    positions: Int32Array,
    sequences: readonly SequenceRows[],
    trace?: TraceSink,
  ): [sum: Tensor2D, normed: Tensor2D] {
    const nextNorm = this.#layers[index + 1]?.inputNorm ?? this.#norm;
    return this.#layers[index]!.forward(x, normed, nextNorm, positions, sequences, trace);
  }
}

/** How long the event loop may wait for some of a prompt's layers, if one of them does not take longer. */
const RUN_MS = 45;

/** The layers before `end`, as many at a time as `RUN_MS` allows by how long those before took. */
async function advanceInRuns(pass: DecoderPass, end: number, pause: EventLoopBreak): Promise<void> {
  let layers = 1;
  while (pass.layer < end) {
    const count = Math.min(layers, end - pass.layer);
    const start = performance.now();
    pass.advance(count);
    layers = Math.max(1, Math.floor((RUN_MS * count) / (performance.now() - start)));
    await pause.pass();
  }
}

/** The last rows of a sequence, on their own: `start` counts among them, `from` among the rows of all sequences. */
interface PromptEnd extends SequenceRows {
  readonly from: number;
}

/**
 * Rows of a prompt that go through the whole of the last layer. More than a backend's matrix × vector kernels take at once:
 * the one row that is asked for shall come from the same kernels as in the layers before.
 */
const END_ROWS = 16;

/** Ends of prompts; null where they are not much shorter than the prompts. */
function promptEnds(sequences: readonly SequenceRows[]): PromptEnd[] | null {
  let rows = 0;
  const ends = sequences.map(({ cache, start, count, position }) => {
    const kept = Math.min(count, END_ROWS);
    const end = {
      cache,
      from: start + count - kept,
      start: rows,
      count: kept,
      position: position + count - kept,
    };
    rows += kept;
    return end;
  });
  const all = sequences.reduce((sum, { count }) => sum + count, 0);
  return rows >= END_ROWS && 2 * rows <= all ? ends : null;
}

function positionsOf(rows: number, sequences: readonly SequenceRows[]): Int32Array {
  const positions = new Int32Array(rows);
  for (const { start, count, position } of sequences) {
    for (let i = 0; i < count; i++) positions[start + i] = position + i;
  }
  return positions;
}
