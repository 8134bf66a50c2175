import type { Tensor2D } from "@tensorflow/tfjs-core";
import { add, type Embedding, type KvCache, type LinearLayer, type Runtime } from "@voxquant/quant-core";
import type { DecoderStack, EventLoopBreak } from "@voxquant/nn";
import { hostRows, rowsTensor } from "./talker.js";

export interface CodePredictorParts {
  readonly stack: DecoderStack;
  /** From the talker's width to this one's (`small_to_mtp_projection`), null where they are equal. */
  readonly projection: LinearLayer | null;
  /** Entry i embeds codebook i + 1, at the talker's width. */
  readonly embeddings: readonly Embedding[];
  /** Entry i predicts codebook i + 1. */
  readonly heads: readonly LinearLayer[];
}

/** Rows of a step up to which a row's result does not depend on the others; the first step has two rows per frame. */
const FIRST_STEP_FRAMES = 4;

/** Sees what goes through the predictor, as matrices of one row per frame. The arrays may be overwritten later. */
export interface PredictorTrace {
  /** Inputs after the projection: position 0 is the talker's state, i + 1 codebook i. Rows of the frames `[from, to)`. */
  input(position: number, rows: Float32Array, from: number, to: number): void;
  output(step: number, hidden: Float32Array, logits: Float32Array): void;
}

/**
 * The code predictor (`Qwen3TTSTalkerCodePredictorModelForConditionalGeneration`): from the talker's state and code 0 of a
 * frame, its other codes one by one. Every frame starts anew at position 0.
 */
export class CodePredictor {
  readonly #runtime: Runtime;
  readonly #parts: CodePredictorParts;

  constructor(runtime: Runtime, parts: CodePredictorParts) {
    this.#runtime = runtime;
    this.#parts = parts;
  }

  /** Embeddings of the codebooks after the first, which the talker's next input is the sum of. */
  get embeddings(): readonly Embedding[] {
    return this.#parts.embeddings;
  }

  /** A cache that serves one row of every frame. */
  createCache(): KvCache {
    return this.#parts.stack.createCache(this.#parts.heads.length + 1);
  }

  /**
   * The codes after the first of one frame of each of several sequences.
   * @param hidden the talker's state of each frame, `[talker hidden]`
   * @param first embeddings of code 0 of each, `[frames, talker hidden]`, consumed
   * @param caches one per frame
   * @param choose gives the code of a frame's codebook `step + 1`, from scores that it may overwrite
   * @returns the sum of the embeddings of all codes of each frame, the caller's to dispose
   */
  async predict(
    hidden: readonly Float32Array[],
    first: Tensor2D,
    caches: readonly KvCache[],
    choose: (frame: number, step: number, logits: Float32Array) => number,
    pause: EventLoopBreak,
    trace?: PredictorTrace,
  ): Promise<Tensor2D> {
    const { embeddings, heads } = this.#parts;
    let sum = first;
    try {
      let codes: number[] = [];
      for (let step = 0; step <= heads.length; step++) {
        await pause.pass();
        let logits: Float32Array = new Float32Array(0);
        const next = this.#runtime.run(() => {
          const embedded = step === 0 ? null : embeddings[step - 1]!.lookup(codes);
          if (step < heads.length) {
            const out =
              embedded === null
                ? this.#firstStep(hidden, sum, caches, trace)
                : this.#step(embedded, caches, step + 1, trace);
            logits = hostRows(heads[step]!.forward(out));
            trace?.output(step, hostRows(out), logits);
          }
          return embedded === null ? sum : add(sum, embedded);
        });
        if (next !== sum) sum.dispose();
        sum = next;
        if (step === heads.length) break;
        const width = logits.length / caches.length;
        codes = caches.map((_, frame) =>
          choose(frame, step, logits.subarray(frame * width, (frame + 1) * width)),
        );
      }
    } catch (error) {
      sum.dispose();
      throw error;
    }
    return sum;
  }

  /** Positions 0 and 1 of each frame in one pass. */
  #firstStep(
    hidden: readonly Float32Array[],
    first: Tensor2D,
    caches: readonly KvCache[],
    trace?: PredictorTrace,
  ): Tensor2D {
    const embedded = rowsOf(first);
    const outs: Float32Array[] = [];
    for (let from = 0; from < caches.length; from += FIRST_STEP_FRAMES) {
      const part = caches.slice(from, from + FIRST_STEP_FRAMES);
      const pairs = part.flatMap((_, i) => [hidden[from + i]!, embedded[from + i]!]);
      const x = this.#project(rowsTensor(pairs, first.shape[1]));
      const states = this.#parts.stack.step(
        x,
        part.map((cache, i) => ({ cache, start: 2 * i, count: 2, position: 0 })),
      );
      outs.push(...rowsOf(states).filter((_, row) => row % 2 === 1));
      if (trace !== undefined) {
        const inputs = rowsOf(x);
        for (let i = 0; i < part.length; i++) {
          trace.input(0, inputs[2 * i]!, from + i, from + i + 1);
          trace.input(1, inputs[2 * i + 1]!, from + i, from + i + 1);
        }
      }
    }
    return rowsTensor(outs, outs[0]!.length);
  }

  #step(embedded: Tensor2D, caches: readonly KvCache[], position: number, trace?: PredictorTrace): Tensor2D {
    const x = this.#project(embedded);
    trace?.input(position, hostRows(x), 0, caches.length);
    return this.#parts.stack.step(
      x,
      caches.map((cache, start) => ({ cache, start, count: 1, position })),
    );
  }

  #project(x: Tensor2D): Tensor2D {
    return this.#parts.projection?.forward(x) ?? x;
  }
}

/** The rows of x one by one. */
function rowsOf(x: Tensor2D): Float32Array[] {
  const [rows, dim] = x.shape;
  const values = hostRows(x);
  return Array.from({ length: rows }, (_, row) => values.subarray(row * dim, (row + 1) * dim));
}
