import { AudioError } from "@voxquant/audio";
import { ConfigError } from "@voxquant/quant-core";
import type { ForcedAligner } from "./asr-model.js";
import { SAMPLE_RATE } from "./pieces.js";
import type { Piece, Recognition, RecognizeOptions } from "./qwen3-asr/model.js";
import { tokenBudget, transcribe, type Recognizer } from "./transcriber.js";

/** Answers each clip by its first sample, which the tests make tell clips apart. */
class FakeRecognizer implements Recognizer {
  readonly batches: Piece[][] = [];
  readonly #answer: (piece: Piece) => Partial<Recognition>;

  constructor(answer: (piece: Piece) => Partial<Recognition>) {
    this.#answer = answer;
  }

  async recognize(pieces: readonly Piece[], options: RecognizeOptions = {}): Promise<Recognition[]> {
    options.signal?.throwIfAborted();
    this.batches.push([...pieces]);
    pieces.forEach((_, i) => options.onToken?.(i, i, `token ${i}`));
    return pieces.map((piece) => ({
      ids: [1, 2],
      raw: "",
      language: "English",
      text: "text",
      stopReason: "eos",
      truncatedRepeats: 0,
      audioTokens: 1,
      promptTokens: 16,
      ...this.#answer(piece),
    }));
  }
}

function seconds(value: number, level = 0.25): { samples: Float32Array; sampleRate: number } {
  const samples = new Float32Array(Math.round(value * SAMPLE_RATE)).fill(level);
  return { samples, sampleRate: SAMPLE_RATE };
}

/** Constant sound with 0.1 s of silence from each of these seconds on, where the splitting will cut. */
function withGaps(length: number, gaps: readonly number[]) {
  const audio = seconds(length);
  for (const gap of gaps)
    audio.samples.fill(0, Math.round(gap * SAMPLE_RATE), Math.round((gap + 0.1) * SAMPLE_RATE));
  return audio;
}

const whole = { vad: false } as const;
const FACTS = { loadMs: 0, kvCacheBytes: (tokens: number) => 1000 * tokens };

test.each([
  [0.5, 256],
  [2, 256],
  [10, 256],
  [30, 544],
  [60, 1024],
  [265, 4096],
])("token budget of %d s", (length, tokens) => {
  expect(tokenBudget(length * SAMPLE_RATE)).toBe(tokens);
});

test("a clip is one piece, as it is", async () => {
  const recognizer = new FakeRecognizer(() => ({ text: "Hello.", ids: [5, 6, 7] }));
  const audio = seconds(0.3);
  const transcript = await transcribe(
    recognizer,
    audio,
    { ...whole, prompt: "names", language: "english", maxTokens: 9 },
    { ...FACTS, loadMs: 3 },
  );
  expect(recognizer.batches).toHaveLength(1);
  const [piece] = recognizer.batches[0]!;
  expect(piece).toMatchObject({ context: "names", language: "English", maxTokens: 9 });
  expect(piece!.samples).toEqual(audio.samples);
  expect(transcript).toMatchObject({
    text: "Hello.",
    language: "English",
    tokens: [5, 6, 7],
    stopReason: "eos",
    audioSeconds: 0.3,
    segments: [{ start: 0, end: 0.3, text: "Hello.", language: "English", stopReason: "eos" }],
  });
  expect(transcript.segments[0]).not.toHaveProperty("truncatedRepeats");
  expect(transcript.timings.loadMs).toBe(3);
  for (const value of Object.values(transcript.timings)) expect(Number.isFinite(value)).toBe(true);
});

test("peaks over full scale are scaled down, the caller's samples stay", async () => {
  const recognizer = new FakeRecognizer(() => ({}));
  const audio = seconds(1, 2);
  await transcribe(recognizer, audio, whole, FACTS);
  expect(recognizer.batches[0]![0]!.samples[0]).toBe(1);
  expect(audio.samples[0]).toBe(2);
});

test("long audio is cut at quiet places and joined as the official package does", async () => {
  const cuts = [20.5, 39];
  const recognizer = new FakeRecognizer(({ samples }) => ({
    text: `${(samples.length / SAMPLE_RATE).toFixed(1)};`,
    language: samples.length > 19 * SAMPLE_RATE ? "English" : "German",
  }));
  const transcript = await transcribe(
    recognizer,
    withGaps(45, cuts),
    { ...whole, segmentSeconds: 20, batchSize: 2 },
    FACTS,
  );
  expect(transcript.segments.map(({ start, end }) => [start.toFixed(1), end.toFixed(1)])).toEqual([
    ["0.0", "20.5"],
    ["20.5", "39.0"],
    ["39.0", "45.0"],
  ]);
  expect(transcript.segments.map(({ end }, i) => end === (transcript.segments[i + 1]?.start ?? 45))).toEqual([
    true,
    true,
    true,
  ]);
  expect(transcript.text).toBe("20.5;18.5;6.0;");
  expect(transcript.language).toBe("English,German");
  expect(recognizer.batches.map((batch) => batch.length)).toEqual([2, 1]);
});

test("a tail of less than half a second is padded", async () => {
  const recognizer = new FakeRecognizer(() => ({}));
  const transcript = await transcribe(recognizer, withGaps(5.2, [5]), { ...whole, segmentSeconds: 5 }, FACTS);
  const tail = recognizer.batches[0]![1]!.samples;
  expect(tail).toHaveLength(SAMPLE_RATE / 2);
  expect(tail.at(-1)).toBe(0);
  expect(transcript.segments[1]!.end).toBeCloseTo(5.2, 6);
});

test("batches hold a bounded amount of audio", async () => {
  const recognizer = new FakeRecognizer(() => ({}));
  await transcribe(recognizer, seconds(265), { ...whole, segmentSeconds: 130 }, FACTS);
  for (const batch of recognizer.batches) {
    expect(batch.reduce((sum, { samples }) => sum + samples.length, 0)).toBeLessThanOrEqual(
      240 * SAMPLE_RATE,
    );
  }
  expect(recognizer.batches.length).toBeGreaterThanOrEqual(2);
});

test("and of keys and values: a large model gets fewer pieces at once, but one at least", async () => {
  const sizes = async (bytesPerToken: number) => {
    const recognizer = new FakeRecognizer(() => ({}));
    await transcribe(
      recognizer,
      withGaps(3.9, [1, 2, 3]),
      { ...whole, segmentSeconds: 1 },
      { ...FACTS, kvCacheBytes: (tokens) => bytesPerToken * tokens },
    );
    return recognizer.batches.map((batch) => batch.length);
  };
  const [pieces] = await sizes(1000);
  expect(pieces).toBeGreaterThan(2);
  expect(Math.max(...(await sizes(1_500_000)))).toBe(2);
  expect(await sizes(2 ** 31)).toEqual(new Array<number>(pieces!).fill(1));
});

test("a silent recording needs no model", async () => {
  const recognizer = new FakeRecognizer(() => ({ text: "invented" }));
  const transcript = await transcribe(recognizer, seconds(3, 0), {}, FACTS);
  expect(transcript).toMatchObject({
    text: "",
    language: "",
    segments: [],
    tokens: [],
    stopReason: "no-speech",
    audioSeconds: 3,
  });
  expect(recognizer.batches).toEqual([]);
});

test("a piece in which the model hears nothing is no segment", async () => {
  const recognizer = new FakeRecognizer(() => ({ text: "", language: "", ids: [4, 2] }));
  const transcript = await transcribe(recognizer, seconds(1), whole, FACTS);
  expect(transcript).toMatchObject({ text: "", segments: [], tokens: [4, 2], stopReason: "no-speech" });
});

describe("repetition", () => {
  test("a piece that repeats itself is tried again in two halves", async () => {
    const recognizer = new FakeRecognizer(({ samples }) =>
      samples.length > 6 * SAMPLE_RATE
        ? { text: "loop", stopReason: "repetition", truncatedRepeats: 20 }
        : { text: samples.length > 4.5 * SAMPLE_RATE ? "first." : "second." },
    );
    const transcript = await transcribe(recognizer, withGaps(9, [5]), whole, FACTS);
    expect(
      transcript.segments.map(({ text, start, end }) => [text, start.toFixed(1), end.toFixed(1)]),
    ).toEqual([
      ["first.", "0.0", "5.0"],
      ["second.", "5.0", "9.0"],
    ]);
    expect(transcript.stopReason).toBe("eos");
  });

  test("and kept with its repeats cut if that does not help", async () => {
    const recognizer = new FakeRecognizer(() => ({
      text: "loop",
      stopReason: "repetition",
      truncatedRepeats: 20,
    }));
    const transcript = await transcribe(recognizer, seconds(9), whole, FACTS);
    expect(recognizer.batches.map((batch) => batch.length)).toEqual([1, 2]);
    expect(transcript).toMatchObject({ text: "loop", stopReason: "repetition" });
    expect(transcript.segments).toHaveLength(1);
    expect(transcript.segments[0]!.truncatedRepeats).toBe(20);
  });

  test("a piece too short to halve is not tried again", async () => {
    const recognizer = new FakeRecognizer(() => ({ stopReason: "repetition", truncatedRepeats: 1 }));
    await transcribe(recognizer, seconds(0.9), whole, FACTS);
    expect(recognizer.batches).toHaveLength(1);
  });
});

test("length outranks the other reasons", async () => {
  const reasons = ["eos", "length", "repetition"] as const;
  let at = 0;
  const recognizer = new FakeRecognizer(() => ({ stopReason: reasons[at++ % 3]! }));
  const transcript = await transcribe(
    recognizer,
    withGaps(2.9, [1, 2]),
    { ...whole, segmentSeconds: 1 },
    FACTS,
  );
  expect(transcript.stopReason).toBe("length");
});

test("word times are those of the recording", async () => {
  const calls: { length: number; text: string; language: string }[] = [];
  const aligner: ForcedAligner = {
    location: "aligner",
    languages: [],
    align: async (samples, text, language) => {
      calls.push({ length: samples.length, text, language });
      return [{ start: 0.08, end: 0.4804, text: "word" }];
    },
    dispose: async () => undefined,
  };
  const recognizer = new FakeRecognizer(() => ({ text: "Word.", language: "German" }));
  const options = { ...whole, segmentSeconds: 20, timestamps: "word", aligner } as const;
  const { segments } = await transcribe(recognizer, withGaps(30, [20.5]), options, FACTS);
  expect(calls).toMatchObject([
    { text: "Word.", language: "German" },
    { text: "Word.", language: "German" },
  ]);
  expect(segments[0]!.words).toEqual([{ start: 0.08, end: 0.48, text: "word" }]);
  expect(segments[1]!.words![0]!.start).toBeCloseTo(segments[1]!.start + 0.08, 3);
});

test("progress, tokens and segments are reported in order", async () => {
  const recognizer = new FakeRecognizer(() => ({ text: "a" }));
  const events: string[] = [];
  await transcribe(
    recognizer,
    withGaps(50, [20, 40]),
    {
      ...whole,
      segmentSeconds: 20,
      batchSize: 2,
      onProgress: ({ secondsDone, secondsTotal, segments }) =>
        events.push(`${secondsDone.toFixed(0)}/${secondsTotal} ${segments}`),
      onToken: ({ segment, text }) => events.push(`${segment}:${text}`),
      onSegment: ({ start }) => events.push(`segment ${start.toFixed(0)}`),
    },
    FACTS,
  );
  expect(events).toEqual([
    ...["0:token 0", "1:token 1", "segment 0", "segment 20", "40/50 2"],
    ...["2:token 0", "segment 40", "50/50 3", "50/50 3"],
  ]);
});

test("a trace is of one piece at a time", async () => {
  const recognizer = new FakeRecognizer(() => ({}));
  await transcribe(
    recognizer,
    withGaps(50, [20, 40]),
    { ...whole, segmentSeconds: 20, trace: () => undefined },
    FACTS,
  );
  expect(recognizer.batches.map((batch) => batch.length)).toEqual([1, 1, 1]);
});

describe("refused", () => {
  const recognizer = new FakeRecognizer(() => ({}));
  const run = (audio: Parameters<typeof transcribe>[1], options = {}) =>
    transcribe(recognizer, audio, options, FACTS);

  test.each([
    ["no samples", 0, "no_data", whole],
    ["200 samples", 200 / SAMPLE_RATE, "too_short", whole],
    ["200 samples, with voice activity detection", 200 / SAMPLE_RATE, "too_short", {}],
    ["0.02 s, with voice activity detection", 0.02, "too_short", {}],
  ])("%s", async (_, length, kind, options) => {
    const error = await run(seconds(length), options).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AudioError);
    expect((error as AudioError).kind).toBe(kind);
  });

  test("but 201 samples are enough for the official splitting", async () => {
    expect((await run(seconds(201 / SAMPLE_RATE), whole)).segments).toHaveLength(1);
  });

  test.each([NaN, Infinity])("%d samples", async (level) => {
    await expect(run(seconds(1, level), whole)).rejects.toMatchObject({ kind: "bad_samples" });
    await expect(run(seconds(1, level))).rejects.toMatchObject({ kind: "bad_samples" });
  });

  test.each([
    ["an unknown language", { language: "Klingon" }, /Klingon/],
    ["word times without an aligner", { timestamps: "word" }, /aligner/],
    ["segmentSeconds", { segmentSeconds: 0 }, /segmentSeconds is 0/],
    ["batchSize", { batchSize: 1.5 }, /batchSize is 1.5/],
    ["maxTokens", { maxTokens: 0 }, /maxTokens is 0/],
  ])("%s", async (_, options, message) => {
    await expect(run(seconds(1), options)).rejects.toThrow(ConfigError);
    await expect(run(seconds(1), options)).rejects.toThrow(message);
  });

  test("an aborted call, before and between batches", async () => {
    await expect(run(seconds(1), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    const controller = new AbortController();
    const options = {
      ...whole,
      segmentSeconds: 20,
      batchSize: 1,
      signal: controller.signal,
      onSegment: () => controller.abort(),
    };
    await expect(run(withGaps(50, [20, 40]), options)).rejects.toMatchObject({ name: "AbortError" });
  });
});
