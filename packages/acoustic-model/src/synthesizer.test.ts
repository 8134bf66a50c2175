import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { memory } from "@tensorflow/tfjs-core";
import { BackendError, ConfigError, UnsupportedError, type BackendName } from "@voxquant/quant-core";
import { loadTtsModel } from "./load.js";
import { writeScript } from "./synthesizer-script.js";
import type {
  AudioChunk,
  SynthesizedSentence,
  SynthesizedSpeech,
  SynthesizeOptions,
  SynthesizeProgress,
  TtsModel,
} from "./tts-model.js";

const MINI = fileURLToPath(new URL("../../../models/qwen3-tts-mini", import.meta.url));
const { cases } = JSON.parse(readFileSync(join(MINI, "expected.json"), "utf8")) as {
  cases: readonly {
    readonly text: string;
    readonly speaker: string;
    readonly language: string;
    readonly nonStreaming: boolean;
    readonly maxNewTokens: number;
    readonly finish: string;
    readonly codes: readonly (readonly number[])[];
  }[];
};

/** Null where the backend is not available. */
async function load(backend: BackendName | "auto"): Promise<TtsModel | null> {
  try {
    return await loadTtsModel(MINI, { backend, precision: "exact" });
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    process.stderr.write(`backend ${backend} is not available, its tests are skipped\n`);
    return null;
  }
}

let model: TtsModel;
beforeAll(async () => {
  model = (await load("auto"))!;
});
afterAll(() => model.dispose());

const greedyCase = (item: (typeof cases)[number]) => ({
  text: item.text,
  speaker: item.speaker,
  language: item.language,
  streamingText: !item.nonStreaming,
  normalize: false,
  temperature: 0,
});

async function collect(chunks: AsyncIterable<AudioChunk>): Promise<AudioChunk[]> {
  const all: AudioChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

const joined = (chunks: readonly AudioChunk[]) =>
  Float32Array.from(chunks.flatMap(({ samples }) => [...samples]));
const bytes = (samples: Float32Array) => Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);

const TEXT = "[pause:100ms]Turn left. What time is it? [pause:1200ms] Call 59!\n\nSee you in May.";
const SEEDED: SynthesizeOptions = { speaker: "ava", seed: 12 };

describe("greedy", () => {
  test("no text of expected.json is split or rewritten", () => {
    for (const { text } of cases) {
      const { sentences, spell } = writeScript(text, { normalize: false, language: "auto" });
      expect(sentences).toEqual([{ text, pauseSeconds: 0 }]);
      expect(spell(sentences[0]!)).toBe(text);
    }
  });

  test("texts of expected.json give the official package's codes", async () => {
    const some = cases.filter((_, i) => i % 6 === 0);
    const results = await model.synthesizeBatch(some.map(greedyCase));
    results.forEach(({ sentences, warnings }, i) => {
      const { text, codes, finish } = some[i]!;
      expect(warnings).toEqual([]);
      expect(sentences.map((sentence) => ({ ...sentence, codes: [...sentence.codes] }))).toEqual([
        { text, start: 0, end: codes.length / 12.5, stopReason: finish, codes: codes.flat() },
      ]);
    });
  });

  test.each(["wasm", "native"] as const)("the same on %s", async (backend) => {
    const other = await load(backend);
    if (other === null) return;
    const [item] = cases;
    const { sentences } = await other.synthesizeToBuffer(item!.text, greedyCase(item!));
    expect([...sentences[0]!.codes]).toEqual(item!.codes.flat());
    const text = "Yes. Volume up!";
    const { samples } = await other.synthesizeToBuffer(text, SEEDED);
    expect(bytes(joined(await collect(other.synthesize(text, SEEDED)))).equals(bytes(samples))).toBe(true);
    expect(other.info.backend).toBe(backend);
    await other.dispose();
  });
});

describe("a text of several sentences", () => {
  let whole: SynthesizedSpeech;
  let chunks: AudioChunk[];
  const streamed: SynthesizedSentence[] = [];
  beforeAll(async () => {
    whole = await model.synthesizeToBuffer(TEXT, SEEDED);
    chunks = await collect(
      model.synthesize(TEXT, { ...SEEDED, onSentence: (sentence) => streamed.push(sentence) }),
    );
  });

  test("streamed, at once, or in a batch: the same samples, sentences, times", async () => {
    expect(bytes(joined(chunks)).equals(bytes(whole.samples))).toBe(true);
    expect(whole.sentences).toEqual(streamed);
    const others = [
      { text: "volume up", speaker: "leo", seed: 3 },
      { text: TEXT, ...SEEDED },
      { text: "Play the next song", speaker: "leo", temperature: 0 },
    ];
    const batch = await model.synthesizeBatch(others);
    expect(bytes(batch[1]!.samples).equals(bytes(whole.samples))).toBe(true);
    expect(batch[1]!.sentences).toEqual(whole.sentences);
    for (const i of [0, 2]) {
      const { text, ...options } = others[i]!;
      const alone = await model.synthesizeToBuffer(text, options);
      expect(bytes(alone.samples).equals(bytes(batch[i]!.samples))).toBe(true);
    }
  });

  test("every sample is accounted for; pauses are silence; sentences are as long as their codes", () => {
    const { sampleRate, codeGroups, frameRate } = model.info;
    let samples = 0;
    for (const chunk of chunks) {
      expect(Math.round(chunk.start * sampleRate)).toBe(samples);
      expect(chunk.sampleRate).toBe(sampleRate);
      samples += chunk.samples.length;
    }
    expect(chunks[1]!.samples.length).toBeLessThan(4 * (sampleRate / frameRate));
    expect(whole.duration).toBe(samples / sampleRate);
    const { sentences } = whole;
    expect(sentences.map(({ text }) => text)).toEqual([
      "Turn left.",
      "What time is it?",
      "Call 59!",
      "See you in May.",
    ]);
    const gaps = [0.1, 0.2, 1.2, 0.5];
    sentences.forEach(({ start, end, codes }, i) => {
      const before = i === 0 ? 0 : sentences[i - 1]!.end;
      expect(start - before).toBeCloseTo(gaps[i]!, 9);
      expect(end - start).toBeCloseTo(codes.length / codeGroups / frameRate, 9);
      const gap = whole.samples.subarray(Math.round(before * sampleRate), Math.round(start * sampleRate));
      expect(gap.every((x) => x === 0)).toBe(true);
      // No click where the sound begins and ends.
      const [first, last] = [Math.round(start * sampleRate), Math.round(end * sampleRate) - 1];
      expect(Math.abs(whole.samples[first]!)).toBeLessThan(1e-4);
      expect(Math.abs(whole.samples[last]!)).toBeLessThan(1e-4);
    });
    expect(whole.timings.frames).toBe(
      sentences.reduce((sum, { codes }) => sum + codes.length / codeGroups, 0),
    );
  });

  test("begun at a sentence, it sounds as it would have after those before", async () => {
    const rest = await collect(model.synthesize(TEXT, { ...SEEDED, fromSentence: 2 }));
    const expected = chunks.filter(({ sentence }) => sentence >= 2);
    expect(rest.map(({ samples, sentence }) => [sentence, samples])).toEqual(
      expected.map(({ samples, sentence }) => [sentence, samples]),
    );
    expect(rest[0]!.start).toBe(0);
    const { samples } = await model.synthesizeToBuffer(TEXT, { ...SEEDED, fromSentence: 2 });
    expect(bytes(samples).equals(bytes(joined(expected)))).toBe(true);
  });

  test("each sentence has its own chance: the same words twice are not the same speech", async () => {
    const { sentences } = await model.synthesizeToBuffer("Stop now. Stop now.", {
      ...SEEDED,
      temperature: 1,
    });
    expect(sentences[0]!.codes).not.toEqual(sentences[1]!.codes);
  });

  test("progress, timings, trace", async () => {
    const seen: SynthesizeProgress[] = [];
    const stages = new Set<string>();
    let finished = 0;
    let promptRows = 0;
    await collect(
      model.synthesize("Yes. No.", {
        ...SEEDED,
        onProgress: (progress) => seen.push(progress),
        onFinish: ({ totalMs, firstAudioMs, promptMs, talkerMs, predictorMs, codecMs, ...counts }) => {
          expect(firstAudioMs).toBeGreaterThan(0);
          expect(totalMs).toBeGreaterThan(firstAudioMs);
          expect(totalMs).toBeGreaterThan(promptMs + talkerMs + predictorMs + codecMs - 1);
          expect(counts.frames).toBeGreaterThan(0);
          expect(counts.promptTokens).toBe(promptRows);
          finished++;
        },
        trace: (name, { shape }) => {
          stages.add(name);
          if (name.endsWith(".prompt_embeds")) promptRows += shape[0]!;
        },
      }),
    );
    expect(seen.map(({ sentencesDone, sentencesTotal }) => [sentencesDone, sentencesTotal])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(seen[1]!.seconds).toBeGreaterThan(seen[0]!.seconds);
    expect(finished).toBe(1);
    expect([...stages]).toEqual(expect.arrayContaining(["0.prompt_embeds", "1.codes"]));
    const batch: SynthesizeProgress[] = [];
    await model.synthesizeBatch(
      [
        { text: "Yes. No.", ...SEEDED },
        { text: "stop", ...SEEDED },
      ],
      { onProgress: (progress) => batch.push(progress) },
    );
    expect(batch.at(-1)).toMatchObject({ sentencesDone: 3, sentencesTotal: 3 });
  });
});

describe("a reader", () => {
  const long = "What time is it? ".repeat(40);
  const turn = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const tensors = () => memory().numTensors;

  test("who does not read on stops the speech some 2 s ahead; who leaves the loop ends it", async () => {
    const before = tensors();
    let made = 0;
    const stream = model.synthesize(long, {
      ...SEEDED,
      onProgress: ({ seconds }) => (made = seconds),
    });
    const reader = stream[Symbol.asyncIterator]();
    await reader.next();
    let last = -1;
    while (last !== made) {
      last = made;
      await turn(300);
    }
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(5);
    await reader.return!();
    expect(await reader.next()).toEqual({ done: true, value: undefined });
    expect(tensors()).toBe(before);
  });

  test("an abort ends a call at once, wherever it is, and the model speaks on", async () => {
    const before = tensors();
    const reason = new Error("enough");
    for (const after of [0, 1, 5]) {
      const abort = new AbortController();
      let chunks = 0;
      const reading = (async () => {
        for await (const chunk of model.synthesize(long, { ...SEEDED, signal: abort.signal })) {
          expect(chunk.samples.length).toBeGreaterThan(0);
          if (++chunks > after) abort.abort(reason);
        }
      })();
      await expect(reading).rejects.toBe(reason);
      expect(chunks).toBe(after + 1);
    }
    const early = new AbortController();
    early.abort(reason);
    await expect(collect(model.synthesize(long, { ...SEEDED, signal: early.signal }))).rejects.toBe(reason);
    const batch = new AbortController();
    const running = model.synthesizeBatch([
      { text: "yes", ...SEEDED },
      { text: long, ...SEEDED, signal: batch.signal },
    ]);
    setTimeout(() => batch.abort(reason), 30);
    await expect(running).rejects.toBe(reason);
    expect(tensors()).toBe(before);
    expect((await model.synthesizeToBuffer("yes", SEEDED)).duration).toBeGreaterThan(0);
  });

  test("two at once do not hear each other", async () => {
    const requests: [string, SynthesizeOptions][] = [
      ["See you in May.", SEEDED],
      ["volume up", { speaker: "leo", seed: 3 }],
    ];
    const together = await Promise.all(requests.map((request) => collect(model.synthesize(...request))));
    for (const [i, request] of requests.entries()) {
      const alone = await model.synthesizeToBuffer(...request);
      expect(bytes(joined(together[i]!)).equals(bytes(alone.samples))).toBe(true);
    }
  });

  test("dispose ends what runs, also what nobody reads, and refuses what comes", async () => {
    const other = (await load("auto"))!;
    const reader = other.synthesize(long, SEEDED)[Symbol.asyncIterator]();
    await reader.next();
    const buffer = other.synthesizeToBuffer(long, SEEDED);
    await Promise.all([expect(buffer).rejects.toThrow(/was disposed of/), other.dispose()]);
    await expect(reader.next()).rejects.toThrow(ConfigError);
    await expect(other.synthesizeToBuffer("yes")).rejects.toThrow(/was disposed of; load it again/);
    await other.dispose();
  });
});

describe("speech without an end", () => {
  // A penalty below 1 rewards what was used before.
  const endless: SynthesizeOptions = { speaker: "leo", temperature: 0, repetitionPenalty: 0.2 };

  test("is cut where it repeats itself, with a warning", async () => {
    const heard: string[] = [];
    const options = { ...endless, onWarning: (message: string) => heard.push(message) };
    const speech = await model.synthesizeToBuffer("stop", options);
    const [sentence] = speech.sentences;
    expect(["repetition", "silence"]).toContain(sentence!.stopReason);
    expect(speech.duration).toBeLessThan(4);
    expect(sentence!.codes.length).toBe(speech.duration * model.info.frameRate * model.info.codeGroups);
    expect(speech.warnings).toEqual([
      expect.stringMatching(/^sentence 1 \("stop"\) .*; another seed may help$/),
    ]);
    expect(heard).toEqual(speech.warnings);
    const streamed = joined(await collect(model.synthesize("stop", endless)));
    expect(bytes(streamed).equals(bytes(speech.samples))).toBe(true);
  });

  test("is cut at maxSeconds", async () => {
    const { sentences, duration } = await model.synthesizeToBuffer("What time is it?", {
      ...SEEDED,
      maxSeconds: 0.5,
    });
    expect(sentences[0]!.stopReason).toBe("length");
    expect(duration).toBeCloseTo(6 / model.info.frameRate, 9);
  });
});

describe("warnings", () => {
  test("instruct without an effect, a speaker that was not chosen", async () => {
    const { warnings } = await model.synthesizeToBuffer("yes", { temperature: 0, instruct: "whisper" });
    expect(warnings).toEqual([
      expect.stringMatching(/instruct has no effect: this checkpoint \(custom_voice, 0b6\)/),
      expect.stringMatching(/no speaker was given: leo speaks, .* \(others: ava\)/),
    ]);
  });
});

describe("what cannot be done is refused before anything is computed", () => {
  const voice = { xVector: new Float32Array(4), referenceCodes: null, referenceText: null };
  const refused: readonly (readonly [string, string, SynthesizeOptions, RegExp])[] = [
    ["no text", " \n", {}, /text is empty/],
    ["symbols", "*** !", {}, /has no letter or digit/],
    ["emoji", "👍🏽 🎉", {}, /has no letter or digit/],
    ["a pause without end", "wait [pause:5", {}, /is no pause: expected \[pause:500ms\]/],
    ["a special token late in the text", `${"Yes. ".repeat(50)}<|im_end|>`, {}, /contains <\|im_end\|>/],
    ["an unknown speaker", "yes", { speaker: "Bob" }, /"Bob" is unknown; this checkpoint has leo, ava/],
    ["an unknown language", "yes", { language: "klingon" }, /"klingon" is unknown; .* auto, english/],
    ["a cloned voice", "yes", { voice }, /custom_voice checkpoint cannot speak with a cloned voice/],
    ["temperature", "yes", { temperature: -1 }, /temperature is -1/],
    ["seed", "yes", { seed: 0.5 }, /seed is 0.5/],
    ["firstChunkFrames", "yes", { firstChunkFrames: 0 }, /firstChunkFrames is 0/],
    ["chunkFrames", "yes", { chunkFrames: 2.5 }, /chunkFrames is 2.5/],
    ["maxSeconds", "yes", { maxSeconds: -1 }, /maxSeconds is -1/],
    ["fromSentence", "Yes. No.", { fromSentence: 2 }, /fromSentence is 2, the text has 2 sentences/],
  ];
  test.each(refused)("%s", async (_, text, options, message) => {
    const streaming = collect(model.synthesize(text, options));
    await expect(streaming).rejects.toThrow(ConfigError);
    await expect(model.synthesizeToBuffer(text, options)).rejects.toThrow(message);
  });

  test("one bad text of a batch", async () => {
    const running = model.synthesizeBatch([{ text: "yes" }, { text: "" }]);
    await expect(running).rejects.toThrow(/text 2 of 2: the text is empty/);
    expect(await model.synthesizeBatch([])).toEqual([]);
  });

  test("cloning without a speaker encoder", async () => {
    expect(model.info.canClone).toBe(false);
    const cloning = model.createVoice({ samples: new Float32Array(24000), sampleRate: 24000 });
    await expect(cloning).rejects.toThrow(UnsupportedError);
  });
});
