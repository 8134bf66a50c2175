import { add, type Runtime } from "@voxquant/quant-core";
import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Voice } from "../tts-model.js";
import type { CodePredictor } from "./code-predictor.js";
import type { Prompt } from "./prompt.js";
import { hostRows, type Talker } from "./talker.js";

/** A prompt as the talker takes it, on the host. */
export interface EmbeddedPrompt {
  /** `[positions, hidden]` */
  readonly rows: Float32Array;
  readonly length: number;
  /** Text that goes along with the frames, one row each. */
  readonly trailing: readonly Float32Array[];
}

/** Adds up text and codec track of every position. The voice is that of the prompt's request. */
export function embedPrompt(
  runtime: Runtime,
  talker: Talker,
  predictor: CodePredictor,
  prompt: Prompt,
  voice: Voice | null,
  codeGroups: number,
): EmbeddedPrompt {
  const dim = talker.config.hiddenSize;
  const { positions } = prompt;
  const texts = [...new Set([...positions.map(({ text }) => text), ...prompt.trailing])];
  const textRows = rowsById(texts, talker.embedText(texts), dim);
  const ids = [...new Set(positions.flatMap(({ codec }) => (typeof codec === "number" ? [codec] : [])))];
  const codecRows = rowsById(
    ids,
    lookup(runtime, () => talker.codecEmbedding.lookup(ids)),
    dim,
  );
  const reference = positions.some(({ codec }) => typeof codec === "object" && codec !== null)
    ? embedFrames(runtime, talker, predictor, voice!.referenceCodes!, codeGroups)
    : new Float32Array(0);

  const rows = new Float32Array(positions.length * dim);
  positions.forEach(({ text, codec }, at) => {
    const row = rows.subarray(at * dim, (at + 1) * dim);
    row.set(textRows.get(text)!);
    if (codec === null) return;
    const other =
      codec === "xvector"
        ? voice!.xVector
        : typeof codec === "number"
          ? codecRows.get(codec)!
          : reference.subarray(codec.frame * dim, (codec.frame + 1) * dim);
    for (let i = 0; i < dim; i++) row[i]! += other[i]!;
  });
  return { rows, length: positions.length, trailing: prompt.trailing.map((id) => textRows.get(id)!) };
}

/** Sum of the embeddings of all codes of each frame, `[frames, hidden]`. */
function embedFrames(
  runtime: Runtime,
  talker: Talker,
  predictor: CodePredictor,
  codes: Int32Array,
  codeGroups: number,
): Float32Array {
  const ofGroup = (group: number) => codes.filter((_, i) => i % codeGroups === group);
  return lookup(runtime, () =>
    predictor.embeddings.reduce<Tensor2D>(
      (sum, table, i) => add(sum, table.lookup(ofGroup(i + 1))),
      talker.codecEmbedding.lookup(ofGroup(0)),
    ),
  );
}

function lookup(runtime: Runtime, rows: () => Tensor2D): Float32Array {
  let values: Float32Array = new Float32Array(0);
  runtime.run(() => {
    values = hostRows(rows());
    return [];
  });
  return values;
}

function rowsById(ids: readonly number[], rows: Float32Array, dim: number): Map<number, Float32Array> {
  return new Map(ids.map((id, i) => [id, rows.subarray(i * dim, (i + 1) * dim)]));
}
