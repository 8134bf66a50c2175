import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@voxquant/quant-core";
import { loadQwen3Tts, type LoadedQwen3Tts } from "../load.js";
import { AgreementCount } from "./agreement.js";
import { compareValidationRuns } from "./compare.js";
import { speakForValidation, type ValidationRun } from "./speak.js";
import { validationTexts } from "./texts.js";

const MINI = fileURLToPath(new URL("../../../../models/qwen3-tts-mini", import.meta.url));

test("equal codes are counted by codebook, and frames of one side as different", () => {
  const count = new AgreementCount(2);
  count.add(Int32Array.of(1, 2, 3, 4), Int32Array.of(1, 9, 3, 4));
  count.add(Int32Array.of(5, 6), Int32Array.of(5, 6, 7, 8));
  const { byCodebook, all, frames } = count.result();
  expect(frames).toBe(4);
  expect(byCodebook).toEqual([3 / 4, 2 / 4]);
  expect(all).toBe(5 / 8);
});

test("each language has texts, others the English ones", () => {
  expect(validationTexts("Russian")[0]).toMatch(/[а-я]/);
  expect(validationTexts("klingon")).toBe(validationTexts("auto"));
});

describe("with the mini model", () => {
  if (!existsSync(MINI)) {
    test.skip("models/qwen3-tts-mini is not here", () => undefined);
    return;
  }
  let loaded: LoadedQwen3Tts;
  let run: ValidationRun;
  const texts = ["Volume up. What time is it?"];
  beforeAll(async () => {
    loaded = await loadQwen3Tts(MINI, { precision: "exact" });
    run = await speakForValidation(loaded, texts, null, { temperature: 0 });
  });
  afterAll(() => loaded.dispose());

  test("greedy speech is what is most likely along itself, and equals itself", () => {
    expect(run.speeches.map(({ text }) => text)).toEqual(["Volume up.", "What time is it?"]);
    for (const { freeCodes, forcedCodes, freeAudio, ends, stopReason } of run.speeches) {
      expect(forcedCodes).toEqual(freeCodes);
      expect(freeAudio).toHaveLength((freeCodes.length / run.groups) * loaded.codec.config.samplesPerFrame);
      expect([stopReason, ends]).toEqual(["eos", true]);
    }
    const { talkerMsPerFrame, frames, audioSeconds } = run.timings;
    expect(talkerMsPerFrame).toBeGreaterThan(0);
    expect(audioSeconds).toBeCloseTo(frames / loaded.codec.frameRate, 6);

    const report = compareValidationRuns(run, run);
    expect(report.freeAgreement.all).toBe(1);
    expect(report.forcedAgreement.byCodebook).toEqual(new Array(run.groups).fill(1));
    expect(report).toMatchObject({ endAgreement: 2, lengthRatio: 1, equalLengths: 2, alignedDistortion: 0 });
    expect(report.codec).toMatchObject({ snr: Infinity, logSpectralDistance: 0, melDistance: 0 });
  });

  test("another speech is led along the reference's codes, frame by frame", async () => {
    const [first] = run.speeches;
    const other = await speakForValidation(loaded, ["Volume up."], [first!.freeCodes], {
      temperature: 0,
      speaker: loaded.model.config.speakers.at(-1)!.name,
    });
    const [led] = other.speeches;
    expect(led!.forcedCodes).toHaveLength(first!.freeCodes.length);
    expect(led!.codecAudio).toEqual(first!.freeAudio);
    const report = compareValidationRuns({ ...run, speeches: [first!] }, other);
    expect(report.forcedAgreement.all).toBeLessThan(1);
    expect(report.forcedAgreement.all).toBeGreaterThan(report.freeAgreement.all);
    expect(report.codec.snr).toBe(Infinity);
    expect(report.forced.snr).toBeLessThan(40);
    expect(report.sentences[0]!.aligned.melCepstralDistortion).toBeGreaterThan(0);
  });

  test("runs of other models or texts are refused", () => {
    expect(() => compareValidationRuns(run, { ...run, groups: run.groups + 1 })).toThrow(ConfigError);
    expect(() => compareValidationRuns(run, { ...run, speeches: [] })).toThrow(/2 and 0 sentences/);
  });
});
