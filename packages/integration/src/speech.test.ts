import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadTtsModel, qwen3TtsQuantizeProfile, type TtsModel } from "@voxquant/acoustic-model";
import { loadAsrModel, type AsrModel } from "@voxquant/asr-model";
import { runProcess } from "@voxquant/cli-core/testing";
import { openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";

const repository = resolve(import.meta.dirname, "../../..");
const ttsMini = join(repository, "models/qwen3-tts-mini");
const ttsCli = join(repository, "packages/tts-cli/bin/tts-cli.mjs");

const folder = mkdtempSync(join(tmpdir(), "voxquant-speech-"));
const quantized = join(folder, "mini-q8_0.gguf");
let recogniser: AsrModel;

beforeAll(async () => {
  await quantizeCheckpoint(
    { input: ttsMini, output: quantized, qtype: "q8_0", scope: "all" },
    await qwen3TtsQuantizeProfile(await openModelFiles(ttsMini)),
  );
  recogniser = await loadAsrModel(join(repository, "models/qwen3-asr-mini"));
});
afterAll(async () => {
  await recogniser.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Sentences that both mini models know, as they are written and as the recogniser writes them. */
const SENTENCES = [
  ["Turn on the kitchen light.", "Turn on the kitchen light."],
  ["Set a timer for 12 seconds.", "Set a timer for twelve seconds."],
  ["Set the kitchen light to yellow.", "Set the kitchen light to yellow."],
  ["What time is it?", "What time is it?"],
  ["3 7 1", "Three seven one."],
  ["Go to the kitchen.", "Go to the kitchen."],
  ["Good night.", "Good night."],
] as const;

describe.each([
  ["BF16", ttsMini],
  ["Q8_0", quantized],
])("speech of the mini model, %s", (_, source) => {
  let model: TtsModel;
  beforeAll(async () => {
    model = await loadTtsModel(source);
  });
  afterAll(() => model.dispose());

  it.each(["leo", "ava"])("is understood by the mini recogniser: %s", async (speaker) => {
    const requests = SENTENCES.map(([text]) => ({ text, speaker, language: "english", temperature: 0 }));
    const heard: string[] = [];
    for (const { samples, sampleRate } of await model.synthesizeBatch(requests)) {
      heard.push((await recogniser.transcribe({ samples, sampleRate })).text);
    }
    expect(heard).toEqual(SENTENCES.map(([, text]) => text));
  });
});

/** Sampled, with a pause of its own, so that every way in which sentences could depend on each other shows. */
const TEXT =
  "Good morning. [pause:300ms] What time is it? Play the next song.\n\nTurn on the kitchen light. Volume up! " +
  "Today is Monday. Set a timer for 6 seconds. The heater is on. See you in May. Good night.";
const VOICE = { speaker: "leo", seed: 5 } as const;

describe("a text that is interrupted", () => {
  it("continues at a sentence as if it had not been", async () => {
    const model = await loadTtsModel(quantized);
    const whole = await model.synthesizeToBuffer(TEXT, VOICE);
    expect(whole.sentences.length).toBe(10);

    const abort = new AbortController();
    const reason = new Error("enough");
    let complete = 0;
    let samples: number[] = [];
    const streaming = async () => {
      let current: number[] = [];
      for await (const chunk of model.synthesize(TEXT, { ...VOICE, signal: abort.signal })) {
        if (chunk.sentence > complete) {
          samples = samples.concat(current);
          current = [];
          complete = chunk.sentence;
        }
        current.push(...chunk.samples);
        if (complete === 3) abort.abort(reason);
      }
    };
    await expect(streaming()).rejects.toBe(reason);
    expect(complete).toBe(3);
    for await (const chunk of model.synthesize(TEXT, { ...VOICE, fromSentence: complete })) {
      samples.push(...chunk.samples);
    }
    await model.dispose();
    expect(samples.length).toBe(whole.samples.length);
    expect(Float32Array.from(samples)).toEqual(whole.samples);
  });

  it("on the command line: Ctrl-C, the same command again, the same file", async () => {
    const args = (output: string) => [
      ...["synthesize", TEXT, "--model", quantized, "--speaker", VOICE.speaker, "--seed", `${VOICE.seed}`],
      ...["--output", output, "--resume"],
    ];
    const uninterrupted = join(folder, "uninterrupted.wav");
    expect(await runProcess(ttsCli, args(uninterrupted))).toMatchObject({ code: 0 });

    const output = join(folder, "interrupted.wav");
    const code = await interruptedAfter(3, args(output), `${output}.part.json`);
    expect(code).toBe(130);
    expect(existsSync(output)).toBe(false);
    const again = await runProcess(ttsCli, args(output));
    expect(again).toMatchObject({ code: 0 });
    expect(again.stderr).toMatch(/continued after [1-9]\d*\.\d s of speech/);
    expect(readFileSync(output).equals(readFileSync(uninterrupted))).toBe(true);
    expect(existsSync(`${output}.part.json`)).toBe(false);
  });
});

/** Runs tts-cli and interrupts it once its state tells that many complete sentences. @returns its exit code */
function interruptedAfter(sentences: number, args: readonly string[], state: string): Promise<number | null> {
  const child = spawn(process.execPath, [ttsCli, ...args], { stdio: "ignore" });
  const watch = setInterval(() => {
    if (!existsSync(state)) return;
    const { sentences: complete } = JSON.parse(readFileSync(state, "utf8")) as { sentences: number };
    if (complete < sentences) return;
    clearInterval(watch); // a second Ctrl-C would not wait for the first one's end
    child.kill("SIGINT");
  }, 5);
  return new Promise((done) => {
    child.on("close", (code) => {
      clearInterval(watch);
      done(code);
    });
  });
}
