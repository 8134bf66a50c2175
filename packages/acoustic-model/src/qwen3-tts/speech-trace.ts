import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { TraceSink } from "@voxquant/nn";
import type { PredictorTrace } from "./code-predictor.js";
import type { Qwen3TtsConfig } from "./config.js";
import type { EmbeddedPrompt } from "./prompt-embedding.js";
import type { SpeechSequence } from "./speech-sequence.js";
import { hostRows } from "./talker.js";

/** Collects the stages of one speech, which come step by step, and gives them to the sink as whole tensors. */
export class SpeechTrace {
  readonly #sink: TraceSink;
  readonly #config: Qwen3TtsConfig;
  readonly #sequence: SpeechSequence;
  readonly #rows = new Map<string, Float32Array[]>();

  constructor(sink: TraceSink, sequence: SpeechSequence, config: Qwen3TtsConfig) {
    this.#sink = sink;
    this.#sequence = sequence;
    this.#config = config;
    sequence.onScores = (scores) => this.#add("scores", scores);
  }

  prompt({ rows, length, trailing }: EmbeddedPrompt): void {
    const dim = this.#config.talker.hiddenSize;
    this.#sink("prompt_embeds", { shape: [length, dim], data: rows });
    this.#sink("trailing_text", { shape: [trailing.length, dim], data: joined(trailing) });
  }

  /** The talker's latest output; `logits` has the scores of the codes and of the end. */
  talker(): void {
    const { hidden, logits } = this.#sequence;
    const { talker, codec } = this.#config;
    this.#add("hidden", hidden);
    this.#add("logits", [...logits.subarray(0, talker.codeCount), logits[codec.eos]!]);
    if (this.#rows.get("logits")!.length === 1) {
      this.#sink("logits_full.0", { shape: [logits.length], data: logits.slice() });
    }
  }

  /** A predictor's trace that tells the frames of several speeches apart. */
  static ofFrames(traces: readonly SpeechTrace[]): PredictorTrace {
    const each = (name: string, rows: Float32Array, from: number, to: number) => {
      const dim = rows.length / (to - from);
      for (let at = from; at < to; at++)
        traces[at]!.#add(name, rows.subarray((at - from) * dim, (at - from + 1) * dim));
    };
    return {
      input: (_, rows, from, to) => each("cp_inputs", rows, from, to),
      output: (_, hidden, logits) => {
        each("cp_hidden", hidden, 0, traces.length);
        each("cp_logits", logits, 0, traces.length);
      },
    };
  }

  /** The talker's next inputs x `[speeches, hidden]`. */
  static nextInputs(traces: readonly SpeechTrace[], x: Tensor2D): void {
    const rows = hostRows(x).slice();
    const dim = x.shape[1];
    traces.forEach((trace, i) => trace.#add("next_input", rows.subarray(i * dim, (i + 1) * dim)));
  }

  /** Gives everything to the sink; once, at the end. */
  flush(): void {
    const { codeGroups } = this.#config;
    for (const [name, rows] of this.#rows) {
      const width = rows[0]!.length;
      const perFrame = name === "cp_inputs" ? codeGroups : codeGroups - 1;
      const shape = name.startsWith("cp_") ? [rows.length / perFrame, perFrame, width] : [rows.length, width];
      this.#sink(name, { shape, data: joined(rows) });
    }
    const { firstCodes, codes, frames } = this.#sequence;
    this.#sink("c0", { shape: [firstCodes.length], data: Int32Array.from(firstCodes) });
    this.#sink("codes", { shape: [frames, codeGroups], data: Int32Array.from(codes) });
  }

  #add(name: string, row: ArrayLike<number>): void {
    let rows = this.#rows.get(name);
    if (rows === undefined) this.#rows.set(name, (rows = []));
    rows.push(Float32Array.from(row));
  }
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const width = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => data.set(row, i * width));
  return data;
}
