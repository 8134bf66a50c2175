import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readWav } from "@voxquant/audio";
import { repository, runCli } from "./testing/cli.js";

const MINI = join(repository, "models/qwen3-tts-mini");

/** A request of expected.json: what the official package made of it, greedily and in float32. */
interface Reference {
  readonly id: string;
  readonly text: string;
  readonly speaker: string;
  readonly language: string;
  readonly nonStreaming: boolean;
  readonly frames: number;
  readonly finish: string;
  readonly codes: readonly (readonly number[])[];
  readonly wave: {
    readonly samples: number;
    readonly rms: number;
    readonly probeIndex: readonly number[];
    readonly probe: readonly number[];
  };
}

/** What `synthesize --json` tells. */
interface Made {
  readonly sampleRate: number;
  readonly sentences: readonly {
    readonly text: string;
    readonly start: number;
    readonly end: number;
    readonly stopReason: string;
    readonly frames: number;
    readonly codes: readonly (readonly number[])[];
  }[];
}

/** A sentence that was made, and the one of the official package. */
interface Pair {
  readonly reference: Reference;
  readonly made: Made["sentences"][number];
  readonly samples: Float32Array;
  readonly sampleRate: number;
}

const { cases } = JSON.parse(readFileSync(join(MINI, "expected.json"), "utf8")) as {
  cases: readonly Reference[];
};

/** The beginning and end of a sentence are faded, so that joints do not click. */
const FADE_SECONDS = 0.005;
/** What the model's README asks of another implementation in float32. */
const WAVE_TOLERANCE = 1e-4;

/** 88 s of speech; a machine without native kernels that does other things too takes its time. */
const TIMEOUT_MS = 300_000;

const folder = mkdtempSync(join(tmpdir(), "voxquant-tts-mini-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Requests of the same voice and layout are paragraphs of one text: each sentence is as if it had been alone. */
function groups(): Reference[][] {
  const byVoice = new Map<string, Reference[]>();
  for (const item of cases) {
    const key = [item.speaker, item.language, item.nonStreaming].join();
    byVoice.set(key, [...(byVoice.get(key) ?? []), item]);
  }
  return [...byVoice.values()];
}

async function synthesizeAll(model: string): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const group of groups()) {
    const [first] = group;
    const texts = join(folder, "texts.txt");
    const output = join(folder, "speech.wav");
    writeFileSync(texts, group.map(({ text }) => text).join("\n\n"));
    const { code, stdout, stderr } = await runCli([
      ...["synthesize", "--model", model, "--text-file", texts, "--normalize", "off", "--temperature", "0"],
      ...["--speaker", first!.speaker, "--language", first!.language],
      ...(first!.nonStreaming ? [] : ["--streaming-text"]),
      ...["--json", "--output", output, "--format", "wav-float", "--force", "--quiet"],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { sentences, sampleRate } = JSON.parse(stdout) as Made;
    expect(sentences.map(({ text }) => text)).toEqual(group.map(({ text }) => text));
    const wav = readWav(readFileSync(output));
    expect(wav.sampleRate).toBe(sampleRate);
    group.forEach((reference, i) => {
      const made = sentences[i]!;
      const [start, end] = [Math.round(made.start * sampleRate), Math.round(made.end * sampleRate)];
      pairs.push({ reference, made, samples: wav.channels[0]!.subarray(start, end), sampleRate });
    });
  }
  return pairs;
}

/** Frames before the first one with another code. */
function agreeingFrames({ reference, made }: Pair): number {
  const codes = reference.codes.map((frame) => frame.join());
  const at = codes.findIndex((frame, i) => frame !== made.codes[i]?.join());
  return at < 0 ? codes.length : at;
}

const isSame = (pair: Pair) =>
  agreeingFrames(pair) === pair.reference.frames && pair.made.frames === pair.reference.frames;

/** Largest difference at the probes, those in the fades left out. */
function waveError({ reference, samples, sampleRate }: Pair): number {
  const { probeIndex, probe } = reference.wave;
  const fade = Math.round(FADE_SECONDS * sampleRate);
  let worst = 0;
  probeIndex.forEach((index, i) => {
    if (index < fade || index >= samples.length - fade) return;
    worst = Math.max(worst, Math.abs(samples[index]! - probe[i]!));
  });
  return worst;
}

function rms(samples: Float32Array): number {
  return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
}

describe("the embedded model on the command line, greedy", () => {
  test(
    "in float32: codes and sound of the official package",
    async () => {
      const pairs = await synthesizeAll(MINI);
      expect(pairs.length).toBe(cases.length);
      for (const pair of pairs) {
        const { reference, made, samples } = pair;
        const { id } = reference;
        expect({ id, codes: made.codes, finish: made.stopReason }).toEqual({
          id,
          codes: reference.codes,
          finish: reference.finish,
        });
        expect(samples.length).toBe(reference.wave.samples);
        expect(waveError(pair)).toBeLessThan(WAVE_TOLERANCE);
        expect(Math.abs(rms(samples) - reference.wave.rms)).toBeLessThan(WAVE_TOLERANCE);
      }
    },
    TIMEOUT_MS,
  );

  test(
    "as one Q8_0 file, rounded activations: the same but for close calls, which are told",
    async () => {
      const model = join(folder, "mini-q8_0.gguf");
      const { code } = await runCli(["quantize", "-i", MINI, "-o", model, "--qtype", "q8_0"]);
      expect(code).toBe(0);
      const pairs = await synthesizeAll(model);
      const different = pairs.filter((pair) => !isSame(pair));
      const list = different.map(
        (pair) => `${pair.reference.id} ${agreeingFrames(pair)}/${pair.reference.frames}`,
      );
      process.stderr.write(
        `qwen3-tts-mini as Q8_0: codes of ${pairs.length - different.length} of ${pairs.length} requests are the ` +
          `float model's; frames before the first other code: ${list.join(", ")}\n`,
      );
      expect(different.length).toBeLessThanOrEqual(pairs.length / 2);
      for (const { reference, made } of pairs) {
        expect({ id: reference.id, finish: made.stopReason }).toEqual({ id: reference.id, finish: "eos" });
        expect(Math.abs(made.frames - reference.frames)).toBeLessThanOrEqual(0.25 * reference.frames);
      }
    },
    TIMEOUT_MS,
  );
});
