import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openAudio } from "@voxquant/audio";
import { BackendError, ConfigError, ResourceError } from "@voxquant/quant-core";
import type { AsrModel } from "../asr-model.js";
import { loadAsrModel } from "../load.js";

const repository = fileURLToPath(new URL("../../../..", import.meta.url));
const MINI = join(repository, "models/qwen3-asr-mini");
const sample = (name: string) => join(repository, "samples", name);
const SAID = [
  ["kitchen-light-en.wav", "Turn on the kitchen light.", "English"],
  ["fenster-de.wav", "Öffne das Fenster.", "German"],
  ["pogoda-ru.wav", "Какая сегодня погода?", "Russian"],
] as const;
const MORNING = [
  ...["Good morning.", "What time is it?", "Play some jazz music.", "Set the volume to forty percent."],
  ...["Where are my keys?", "Add coffee to the shopping list.", "Thank you very much."],
];

async function* nothing(): AsyncGenerator<Float32Array> {
  yield* [];
}

let model: AsrModel;
beforeAll(async () => {
  model = await loadAsrModel(MINI);
});
afterAll(() => model.dispose());

test.each(SAID)("%s", async (file, text, language) => {
  const transcript = await model.transcribe(sample(file));
  expect(transcript).toMatchObject({ text, language, stopReason: "eos" });
  expect(transcript.timings.decodeTokens).toBe(transcript.tokens.length);
});

test("a recording is cut at its pauses, and its segments have their times", async () => {
  const { text, segments, audioSeconds } = await model.transcribe(sample("morning-en.wav"));
  expect(segments.map((segment) => segment.text)).toEqual(MORNING);
  expect(text).toBe(MORNING.join(" "));
  segments.forEach(({ start, end }, i) => {
    expect(start).toBeLessThan(end);
    expect(end).toBeLessThanOrEqual(segments[i + 1]?.start ?? audioSeconds);
  });
});

test("the result does not depend on the batch size", async () => {
  const [one, many] = await Promise.all(
    [1, 8].map((batchSize) => model.transcribe(sample("morning-en.wav"), { batchSize })),
  );
  expect(one!.segments).toEqual(many!.segments);
});

test.each(["native", "wasm"] as const)(
  "the beginning that prompts share is computed once, which changes nothing, on %s",
  async (backend) => {
    const open = () => loadAsrModel(MINI, { backend });
    let used: AsrModel;
    try {
      used = await open();
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      process.stderr.write(`prompt cache: ${error.message}\n`);
      return;
    }
    const shared: number[] = [];
    for (const [file, prompt] of [
      [SAID[1][0], ""],
      [SAID[1][0], "Names: Zoë, Łukasz."],
      [SAID[2][0], "Names: Zoë, Edgar."],
      [SAID[0][0], ""],
      ["morning-en.wav", "Names: Zoë, Łukasz."], // several pieces in a batch
    ] as const) {
      const fresh = await open();
      const whole = await fresh.transcribe(sample(file), { prompt });
      const { tokens, timings } = await used.transcribe(sample(file), { prompt });
      expect(tokens).toEqual(whole.tokens);
      expect(whole.timings.prefillCachedTokens).toBe(0);
      expect(timings.prefillTokens).toBe(whole.timings.prefillTokens);
      shared.push(timings.prefillCachedTokens);
      await fresh.dispose();
    }
    const [first, otherStart, commonNames, plain, pieces] = shared as [
      number,
      number,
      number,
      number,
      number,
    ];
    expect(first).toBe(0);
    expect(plain).toBe(8); // of 9, in fours
    expect(commonNames).toBeGreaterThan(otherStart);
    expect(pieces).toBeGreaterThan(MORNING.length * commonNames);
    await used.dispose();
  },
);

test("calls at the same time are not mixed up", async () => {
  const alone = await Promise.all(
    SAID.map(([file]) => model.transcribe(sample(file)).then(({ tokens }) => tokens)),
  );
  const calls = Array.from({ length: 12 }, (_, i) => SAID[i % SAID.length]!);
  const together = await Promise.all(calls.map(([file]) => model.transcribe(sample(file))));
  together.forEach(({ text, tokens }, i) => {
    expect(text).toBe(calls[i]![1]);
    expect(tokens).toEqual(alone[i % SAID.length]);
  });
});

test("one aborted call does not disturb the others", async () => {
  const controller = new AbortController();
  const aborted = model.transcribe(sample("morning-en.wav"), {
    signal: controller.signal,
    onToken: () => controller.abort(),
  });
  const other = model.transcribe(sample(SAID[0][0]));
  await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  expect((await other).text).toBe(SAID[0][1]);
});

test("silence and noise give no words", async () => {
  const noise = new Float32Array(3 * 16000);
  let state = 12345;
  for (let i = 0; i < noise.length; i++) {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    noise[i] = 0.02 * (state / 2 ** 30 - 1);
  }
  for (const samples of [noise, new Float32Array(noise.length)]) {
    expect(await model.transcribe({ samples, sampleRate: 16000 })).toMatchObject({
      text: "",
      segments: [],
      stopReason: "no-speech",
    });
  }
});

describe("transcribeIterator", () => {
  test("the text grows up to the final one", async () => {
    const texts: string[] = [];
    const segments: string[] = [];
    let final: string | undefined;
    for await (const partial of model.transcribeIterator(sample("morning-en.wav"), { batchSize: 2 })) {
      texts.push(partial.text);
      if (partial.segment !== undefined) segments.push(partial.segment.text);
      if (partial.final !== undefined) final = partial.final.text;
    }
    expect(segments).toEqual(MORNING);
    expect(final).toBe(MORNING.join(" "));
    expect(texts.at(-1)).toBe(final);
    expect(texts.length).toBeGreaterThan(MORNING.length);
    for (const text of texts) expect(text).not.toMatch(/asr_text|language/);
  });

  test("leaving the loop ends the work", async () => {
    for await (const partial of model.transcribeIterator(sample("morning-en.wav"), { batchSize: 1 })) {
      if (partial.segment !== undefined) break;
    }
    expect((await model.transcribe(sample(SAID[0][0]))).text).toBe(SAID[0][1]);
  });

  test("an error reaches the loop", async () => {
    const iterator = model.transcribeIterator(sample("nowhere.wav"))[Symbol.asyncIterator]();
    await expect(iterator.next()).rejects.toThrow(/nowhere\.wav/);
  });
});

describe("transcribeStream", () => {
  test("ends with the text of the whole", async () => {
    const states = [];
    const pcm = openAudio(sample(SAID[0][0]), { sampleRate: 16000 });
    for await (const state of model.transcribeStream(pcm, { chunkSeconds: 0.5 })) states.push(state);
    expect(states.length).toBeGreaterThan(3);
    expect(states.map(({ final }) => final)).toEqual(states.map((_, i) => i === states.length - 1));
    expect(states.at(-1)).toEqual({ text: SAID[0][1], language: "English", final: true });
  });

  test("no audio gives an empty text", async () => {
    const states = [];
    for await (const state of model.transcribeStream(nothing())) states.push(state);
    expect(states).toEqual([{ text: "", language: "", final: true }]);
  });

  test("an unknown language is refused", async () => {
    const stream = model.transcribeStream(nothing(), { language: "Klingon" });
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow(ConfigError);
  });
});

test("a disposed model says so, to running calls and to later ones", async () => {
  const own = await loadAsrModel(MINI);
  const running = own.transcribe(sample("morning-en.wav"));
  const settled = expect(running).rejects.toThrow(/disposed of/);
  await own.dispose();
  await settled;
  await expect(own.transcribe(sample(SAID[0][0]))).rejects.toThrow(ConfigError);
  await own.dispose();
});

test("a model file that is cut while it is in use gives an error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-cut-"));
  try {
    cpSync(MINI, folder, { recursive: true });
    const own = await loadAsrModel(folder);
    const file = join(folder, "model.safetensors");
    truncateSync(file, readFileSync(file).length / 2);
    await expect(own.transcribe(sample(SAID[0][0]))).rejects.toThrow(ResourceError);
    await own.dispose();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
