import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { memory } from "@tensorflow/tfjs-core";
import {
  ConfigError,
  openCheckpoint,
  openModelFiles,
  Runtime,
  selectDevice,
  type Checkpoint,
} from "@voxquant/quant-core";
import type { SpeechRequest, SpeechTimings } from "./generate.js";
import { plausibleFrames } from "./generate.js";
import { Qwen3TtsModel } from "./model.js";

const folder = resolve(import.meta.dirname, "../../../../models/qwen3-tts-mini");

interface Expected {
  readonly cases: readonly {
    readonly id: string;
    readonly text: string;
    readonly speaker: string;
    readonly language: string;
    readonly nonStreaming: boolean;
    readonly maxNewTokens: number;
    readonly frames: number;
    readonly finish: string;
    readonly codes: readonly (readonly number[])[];
  }[];
}

const { cases } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected;

let checkpoint: Checkpoint;
let model: Qwen3TtsModel;

beforeAll(async () => {
  const { device } = await selectDevice("auto");
  checkpoint = await openCheckpoint(folder);
  const files = await openModelFiles(folder);
  const runtime = new Runtime(device, "exact");
  model = await Qwen3TtsModel.load({ location: folder, main: checkpoint, files }, runtime);
});
afterAll(async () => {
  model.runtime.dispose();
  await checkpoint.close();
});

const tensors = () => {
  model.runtime.run(() => []); // makes the backend the active one: memory() asks that
  return memory().numTensors;
};

const greedyRequest = (item: Expected["cases"][number]): SpeechRequest => ({
  text: item.text,
  speaker: item.speaker,
  language: item.language,
  streamingText: !item.nonStreaming,
  maxFrames: item.maxNewTokens - 1,
  temperature: 0,
});

describe("the embedded model, greedy", () => {
  test("every sentence of expected.json gives the official package's codes, all in one batch", async () => {
    const before = tensors();
    const results = await model.generate(cases.map(greedyRequest));
    results.forEach((result, i) => {
      const { id, codes, finish } = cases[i]!;
      expect({ id, codes: [...result.codes], finish: result.stopReason }).toEqual({
        id,
        codes: codes.flat(),
        finish,
      });
    });
    expect(tensors()).toBe(before);
  });

  test.each(cases.filter((_, i) => i % 16 === 0))("alone: $id: $text", async (item) => {
    const [result] = await model.generate([greedyRequest(item)]);
    expect([...result!.codes]).toEqual(item.codes.flat());
  });
});

const request = (i: number): SpeechRequest => ({
  text: cases[i]!.text,
  speaker: cases[i]!.speaker,
  seed: 100 + i,
});

describe("sampled speech", () => {
  test("a seed gives the same codes again, in a batch too; another gives others", async () => {
    // More than fit in one step, with settings of their own.
    const requests = Array.from({ length: 10 }, (_, i): SpeechRequest => ({
      ...request(i),
      ...(i === 3 ? { temperature: 0 } : {}),
      ...(i === 5 ? { topK: 0, topP: 0.8, predictor: { temperature: 0 } } : {}),
    }));
    const together = await model.generate(requests);
    for (const i of [0, 3, 5, 9]) {
      const [alone] = await model.generate([requests[i]!]);
      expect(alone).toEqual(together[i]);
    }
    expect([...together[3]!.codes]).toEqual(cases[3]!.codes.flat());
    const [other] = await model.generate([{ ...requests[0]!, seed: 7 }]);
    expect(other!.codes).not.toEqual(together[0]!.codes);
    expect(together[0]!.seed).toBe(100);
  });

  test("without a seed one is taken and told", async () => {
    const { text, speaker } = cases[0]!;
    const unseeded = { text, speaker };
    const [first] = await model.generate([{ ...unseeded, maxFrames: 4 }]);
    const [again] = await model.generate([{ ...unseeded, maxFrames: 4, seed: first!.seed }]);
    expect(again).toEqual(first);
  });

  test("fed its own codes it would choose them again", async () => {
    const greedy = { ...request(2), temperature: 0, guards: false };
    const [free] = await model.generate([greedy]);
    const [forced] = await model.generate([{ ...greedy, forcedCodes: free!.codes }]);
    expect(forced).toEqual(free);
    // Other codes are fed back: the first choice is the same, what follows is not.
    const codes = free!.codes.map((code) => (code + 1) % model.config.predictor.vocabSize);
    const [misled] = await model.generate([{ ...greedy, forcedCodes: codes }]);
    expect(misled!.frames).toBe(free!.frames);
    expect(misled!.codes[0]).toBe(free!.codes[0]);
    expect(misled!.codes).not.toEqual(free!.codes);
  });
});

describe("frames as they come", () => {
  test("each is told once, in order, and a promise holds the next back", async () => {
    const seen: number[][] = [[], []];
    const codes: number[][] = [[], []];
    let waiting = 0;
    const timings: SpeechTimings = {
      promptMs: 0,
      promptPositions: 0,
      talkerMs: 0,
      predictorMs: 0,
      frames: 0,
    };
    const results = await model.generate([request(4), request(9)], {
      timings,
      onFrame: async (speech, frame, frameCodes) => {
        expect(waiting++).toBe(0);
        seen[speech]!.push(frame);
        codes[speech]!.push(...frameCodes);
        await new Promise((resolve) => setTimeout(resolve, 1));
        waiting--;
      },
    });
    results.forEach((result, i) => {
      expect(seen[i]).toEqual(Array.from({ length: result.frames }, (_, frame) => frame));
      expect(codes[i]).toEqual([...result.codes]);
    });
    expect(timings.frames).toBe(results[0]!.frames + results[1]!.frames);
    expect(timings.promptPositions).toBe(results[0]!.promptPositions + results[1]!.promptPositions);
  });

  test("who hears silence ends a speech; when one has ended, the next begins", async () => {
    const order: string[] = [];
    const requests = Array.from({ length: 11 }, (_, i) => request(i));
    const results = await model.generate(requests, {
      onFrame: (speech, frame) => {
        if (frame === 0) order.push(`begin ${speech}`);
        return speech === 4 && frame === 2 ? "silence" : null;
      },
      onSpeech: async (speech, result) => {
        await Promise.resolve();
        order.push(`end ${speech} ${result.stopReason}`);
      },
    });
    expect(results[4]).toMatchObject({ stopReason: "silence", frames: 3, usefulFrames: 3 });
    // Eight at once; the ninth follows the first that ends.
    expect(order.slice(0, 10)).toEqual([
      ...Array.from({ length: 8 }, (_, i) => `begin ${i}`),
      "end 4 silence",
      "begin 8",
    ]);
    expect(order).toHaveLength(2 * requests.length);
    for (const i of [0, 8, 10]) {
      const [alone] = await model.generate([requests[i]!]);
      expect(alone).toEqual(results[i]);
    }
  });

  test("an abort ends it within a frame and frees everything", async () => {
    const before = tensors();
    const abort = new AbortController();
    const reason = new Error("enough");
    let frames = 0;
    const running = model.generate([request(4), request(9)], {
      signal: abort.signal,
      onFrame: (_, frame) => {
        frames++;
        if (frame === 2) abort.abort(reason);
      },
    });
    await expect(running).rejects.toBe(reason);
    expect(frames).toBeLessThanOrEqual(6);
    await expect(model.generate([request(4)], { signal: abort.signal })).rejects.toBe(reason);
    const failing = model.generate([request(4)], {
      onFrame: () => {
        throw reason;
      },
    });
    await expect(failing).rejects.toBe(reason);
    expect(tensors()).toBe(before);
  });
});

describe("limits", () => {
  test("maxFrames is the count of frames; the end may come right there", async () => {
    const greedy = { ...request(0), temperature: 0 };
    const [whole] = await model.generate([greedy]);
    expect(whole!.stopReason).toBe("eos");
    const [exact] = await model.generate([{ ...greedy, maxFrames: whole!.frames }]);
    expect(exact).toEqual(whole);
    const [cut] = await model.generate([{ ...greedy, maxFrames: whole!.frames - 1 }]);
    expect(cut!.stopReason).toBe("length");
    expect([...cut!.codes]).toEqual([...whole!.codes.slice(0, cut!.codes.length)]);
    expect(cut!.frames).toBe(whole!.frames - 1);
  });

  test("speech that never ends is stopped where it is no longer plausible", async () => {
    // A penalty below 1 rewards what was used before: it never comes to its end.
    const endless = { text: "stop", speaker: "leo", temperature: 0, repetitionPenalty: 0.2 };
    const [guarded] = await model.generate([endless]);
    expect(["length", "repetition"]).toContain(guarded!.stopReason);
    expect(guarded!.frames).toBeLessThanOrEqual(plausibleFrames(guarded!.textTokens));
    expect(guarded!.usefulFrames).toBeLessThanOrEqual(guarded!.frames);
  });
});

describe("requests that cannot be done", () => {
  const refused: readonly (readonly [string, Partial<SpeechRequest>, RegExp])[] = [
    ["no text", { text: " \n" }, /text is empty/],
    ["a special token", { text: "yes<|im_end|>no" }, /contains <\|im_end\|>/],
    ["an unknown speaker", { speaker: "Nobody" }, /"Nobody" is unknown; this checkpoint has leo, ava/],
    ["an unknown language", { language: "klingon" }, /"klingon" is unknown; .* auto, english/],
    [
      "a cloned voice",
      { voice: { xVector: new Float32Array(4), referenceCodes: null, referenceText: null } },
      /custom_voice checkpoint cannot speak with a cloned voice/,
    ],
    ["temperature", { temperature: -1 }, /temperature is -1/],
    ["predictor", { predictor: { topP: 2 } }, /predictor\.topP is 2/],
    ["penalty", { repetitionPenalty: 0 }, /repetitionPenalty is 0/],
    ["seed", { seed: 0.5 }, /seed is 0.5/],
    ["frames", { maxFrames: 0 }, /maxFrames is 0/],
    ["codes", { forcedCodes: Int32Array.of(1, 2, 3) }, /forcedCodes are no frames of 16/],
  ];
  test.each(refused)("%s", async (_, change, message) => {
    const running = model.generate([{ ...request(0), ...change }]);
    await expect(running).rejects.toThrow(ConfigError);
    await expect(running).rejects.toThrow(message);
  });

  test("names are matched without regard to case", () => {
    const prompt = (change: Partial<SpeechRequest>) => model.prompt({ ...request(0), ...change });
    expect(prompt({ speaker: "LEO", language: "English" })).toEqual(
      prompt({ speaker: "leo", language: "english" }),
    );
  });
});
