import {
  GOLDEN_BACKENDS,
  GoldenTally,
  readGoldenJson,
  type GoldenCase,
  type GoldenVariant,
} from "@voxquant/goldens";
import { Qwen3ForcedAligner } from "./forced-aligner.js";
import type { Piece, Qwen3AsrModel } from "./model.js";
import {
  compareStages,
  FAMILY,
  inputOf,
  kindOf,
  models,
  pieceOf,
  readAudio,
  recognizeTraced,
  storedAudio,
  tensorsOf,
  Traced,
  variants,
  type AlignedItem,
  type CaseJson,
} from "./testing.js";

async function checkRecognition(
  model: Qwen3AsrModel,
  variant: GoldenVariant,
  golden: GoldenCase,
): Promise<number> {
  const json = readGoldenJson<CaseJson>(golden.jsonPath);
  const expected = tensorsOf(golden);
  const piece = pieceOf(json, inputOf(golden, json, expected));
  const { result, tensors } = await recognizeTraced(model, piece);
  expect(result.ids).toEqual(json.generated_ids);
  // Nobody watches: the device may fuse layers.
  const [unwatched] = await model.recognize([piece], { repetitionGuard: false });
  expect(unwatched!.ids).toEqual(json.generated_ids);
  if (json.raw_text !== undefined) expect(result.raw).toBe(json.raw_text);
  if (json.parsed !== undefined)
    expect({ language: result.language, text: result.text }).toEqual(json.parsed);
  if (json.stop === "eos") expect(result.stopReason).toBe("eos");
  if (json.audio_tokens !== undefined) expect(result.audioTokens).toBe(json.audio_tokens);
  return compareStages(variant, golden, json, expected, tensors);
}

interface BatchItem extends CaseJson {
  readonly generated_ids_alone: readonly number[];
}

/** Several clips in one pass give what each gives alone. */
async function checkBatch(
  model: Qwen3AsrModel,
  _: GoldenVariant,
  golden: GoldenCase,
  tally: GoldenTally,
): Promise<number> {
  const json = readGoldenJson<{ items: readonly BatchItem[]; max_new_tokens: number }>(golden.jsonPath);
  const pieces: Piece[] = [];
  for (const item of json.items) {
    const samples = readAudio(golden, item.audio, item.audio_range) ?? storedAudio(golden, item.audio);
    if (samples === null) {
      tally.skipped.add(`${golden.name}: ${item.audio}`);
      return 0;
    }
    pieces.push(pieceOf({ ...item, max_new_tokens: json.max_new_tokens }, samples));
  }
  const results = await model.recognize(pieces, { repetitionGuard: false });
  expect(results.map(({ ids }) => ids)).toEqual(json.items.map((item) => item.generated_ids_alone));
  for (const [i, piece] of pieces.entries()) {
    const [alone] = await model.recognize([piece], { repetitionGuard: false });
    expect(results[i]).toEqual(alone);
  }
  return 0;
}

async function checkAlignment(
  model: Qwen3AsrModel,
  variant: GoldenVariant,
  golden: GoldenCase,
): Promise<number> {
  const json = readGoldenJson<CaseJson & { items: readonly AlignedItem[]; words: readonly string[] }>(
    golden.jsonPath,
  );
  const expected = tensorsOf(golden);
  const traced = new Traced();
  const aligner = new Qwen3ForcedAligner(model);
  const { classes, words } = await aligner.alignWords(inputOf(golden, json, expected), json.words, {
    trace: traced.sink,
  });
  expect([...classes]).toEqual(json.classes);
  expect(words.map(({ text, start, end }) => ({ text, start_time: start, end_time: end }))).toEqual(
    json.items,
  );
  return compareStages(variant, golden, json, expected, traced.tensors);
}

/** By what is compared of a case; each gives the number of tensors compared. */
const CHECKS: Readonly<
  Record<
    string,
    (model: Qwen3AsrModel, variant: GoldenVariant, golden: GoldenCase, tally: GoldenTally) => Promise<number>
  >
> = { recognize: checkRecognition, batch: checkBatch, align: checkAlignment };

if (variants.length === 0) test.skip("there are no reference checkpoints", () => undefined);

for (const variant of variants) {
  const tally = new GoldenTally();
  const runnable = variant.cases.flatMap((golden) => {
    const check = CHECKS[kindOf(golden) ?? ""];
    return check === undefined ? [] : [{ name: golden.name, golden, check }];
  });
  if (runnable.length === 0) continue;

  describe(`${FAMILY}/${variant.name}`, () => {
    afterAll(() => tally.report(FAMILY, variant));

    describe.each(GOLDEN_BACKENDS)("%s", (backend) => {
      test.each(runnable)("$name", async ({ golden, check }) => {
        const model = await models.of(variant, backend);
        if (model === null) {
          tally.skipped.add(`backend ${backend}`);
          return;
        }
        tally.cases.add(golden.name);
        tally.compared += await check(model, variant, golden, tally);
      });
    });
  });
}

afterAll(async () => {
  for (const model of await models.all()) await model.dispose();
});
