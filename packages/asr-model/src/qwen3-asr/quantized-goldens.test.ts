import {
  GOLDEN_BACKENDS,
  readGoldenJson,
  whereAvailable,
  type GoldenCase,
  type GoldenTensor,
} from "@voxquant/goldens";
import {
  dequantize,
  elementCount,
  GGML_TYPES,
  quantizeRows,
  withReads,
  type GgmlType,
  type Weight,
} from "@voxquant/quant-core";
import type { OpenedModel } from "../open-model.js";
import {
  compareStages,
  FAMILY,
  inputOf,
  kindOf,
  loadOn,
  openVariant,
  pieceOf,
  recognizeTraced,
  tensorsOf,
  variants,
  type CaseJson,
} from "./testing.js";

/** A model whose weights go through `replace`. */
function replacing(opened: OpenedModel, replace: (weight: Weight) => Weight): OpenedModel {
  return { ...opened, main: withReads(opened.main, async (name) => replace(await opened.main.read(name))) };
}

function toFloats(weight: Weight): Float32Array {
  const values = new Float32Array(elementCount(weight.shape));
  dequantize(weight.dtype, weight.bytes, values);
  return values;
}

/** The weight in blocks of a type, or as it is where its rows do not fit. */
function quantized(weight: Weight, dtype: GgmlType): Weight {
  const rows = weight.shape[0]!;
  const columns = elementCount(weight.shape) / rows;
  if (weight.shape.length < 2 || columns % GGML_TYPES[dtype].block !== 0) return weight;
  return { ...weight, dtype, shape: [rows, columns], bytes: quantizeRows(dtype, toFloats(weight), columns) };
}

function dequantized(weight: Weight): Weight {
  const values = toFloats(weight);
  return { ...weight, dtype: "F32", bytes: new Uint8Array(values.buffer) };
}

if (variants.length === 0) test.skip("there are no reference checkpoints", () => undefined);

// Quantized weights with float activations: the reference is the float model on the dequantized weights.
const QUANTIZED_TYPES = [
  "Q8_0",
  "Q4_0",
  "Q5_1",
  "Q6_K",
  "Q4_K",
  "IQ4_NL",
] as const satisfies readonly GgmlType[];

for (const variant of variants) {
  // The shortest clip: the reference backend is slow.
  const tokens = (candidate: GoldenCase) =>
    readGoldenJson<CaseJson>(candidate.jsonPath).audio_tokens ?? Infinity;
  const candidates = variant.cases.filter((candidate) => kindOf(candidate) === "recognize");
  const golden = candidates.sort((a, b) => tokens(a) - tokens(b))[0];
  if (golden === undefined) continue;

  describe(`${FAMILY}/${variant.name} quantized`, () => {
    test.each(QUANTIZED_TYPES)("%s", async (dtype) => {
      const json = readGoldenJson<CaseJson>(golden.jsonPath);
      const piece = pieceOf(json, inputOf(golden, json, tensorsOf(golden)));
      const opened = await openVariant(variant);
      try {
        const inBlocks = (weight: Weight) => quantized(weight, dtype);
        const float = await loadOn(
          "cpu",
          replacing(opened, (weight) => dequantized(inBlocks(weight))),
        );
        const expected = await recognizeTraced(float, piece);
        for (const backend of GOLDEN_BACKENDS) {
          const model = await whereAvailable(backend, () => loadOn(backend, replacing(opened, inBlocks)));
          if (model === null) continue;
          const actual = await recognizeTraced(model, piece);
          expect(actual.result.ids).toEqual(expected.result.ids);
          compareStages(
            variant,
            golden,
            { ...json, select: {} },
            withoutMel(expected.tensors),
            actual.tensors,
          );
          model.runtime.dispose();
        }
        float.runtime.dispose();
      } finally {
        await opened.close();
      }
    });
  });
}

/** The mel is the same by construction and has no rule of its own in a case. */
function withoutMel(tensors: ReadonlyMap<string, GoldenTensor>): Map<string, GoldenTensor> {
  const kept = new Map(tensors);
  kept.delete("mel");
  return kept;
}
