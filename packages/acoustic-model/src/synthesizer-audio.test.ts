import { SentenceAudio, type SentenceAudioOptions, type SpeechCodec } from "./synthesizer-audio.js";
import type { StopReason } from "./tts-model.js";

const SIZE = 200;
const GROUPS = 2;
const RATE = 2000;
const FADE = 10;

/** A codec whose samples are the frame's first code / 100; primed frames and calls are written down. */
function fakeCodec() {
  const calls: number[] = [];
  const primed: number[] = [];
  let open = 0;
  const codec: SpeechCodec = {
    config: { sampleRate: RATE, samplesPerFrame: SIZE, groups: GROUPS },
    frameRate: RATE / SIZE,
    createStream: () => {
      open++;
      return {
        decode: (codes) => {
          calls.push(codes.length / GROUPS);
          const samples = new Float32Array((codes.length / GROUPS) * SIZE);
          for (let i = 0; i < samples.length; i++) samples[i] = codes[GROUPS * Math.floor(i / SIZE)]! / 100;
          return Promise.resolve(samples);
        },
        prime: (codes) => {
          primed.push(...codes);
          return Promise.resolve();
        },
        dispose: () => void open--,
      };
    },
  };
  return { codec, calls, primed, isClosed: () => open === 0 };
}

async function speak(
  codes: readonly number[],
  {
    stopReason = "eos" as StopReason,
    usefulFrames = codes.length,
    ...options
  }: Partial<SentenceAudioOptions> & {
    stopReason?: StopReason;
    usefulFrames?: number;
  } = {},
) {
  const fake = fakeCodec();
  const chunks: Float32Array[] = [];
  const audio = new SentenceAudio(fake.codec, {
    firstChunkFrames: 4,
    chunkFrames: 10,
    referenceCodes: null,
    textFrames: 0,
    signal: new AbortController().signal,
    timings: { codecMs: 0 },
    emit: (samples) => void chunks.push(samples),
    ...options,
  });
  let stoppedAt: number | null = null;
  for (const [at, code] of codes.entries()) {
    if ((await audio.push(Int32Array.of(code, at))) !== "silence") continue;
    stoppedAt = at;
    break;
  }
  const before = chunks.reduce((sum, { length }) => sum + length, 0);
  const kept = await audio.finish(stoppedAt === null ? stopReason : "silence", usefulFrames);
  audio.dispose();
  const samples = chunks.flatMap((chunk) => [...chunk]);
  return { ...fake, chunks, samples, kept: [...kept], stoppedAt, before };
}

/** Codes that do not repeat. */
const speech = (count: number) => Array.from({ length: count }, (_, i) => 10 + ((i * 7) % 61));

test("chunks grow from a short one, and all samples come, faded at both ends alone", async () => {
  const codes = speech(40);
  const { calls, samples, kept, isClosed } = await speak(codes);
  expect(calls).toEqual([4, 6, 9, 10, 10, 1]);
  expect(samples).toHaveLength(40 * SIZE);
  expect(kept).toEqual(codes.flatMap((code, at) => [code, at]));
  const expected = codes.flatMap((code) => new Array<number>(SIZE).fill(Math.fround(code / 100)));
  expect(samples.slice(FADE, -FADE)).toEqual(expected.slice(FADE, -FADE));
  for (let i = 0; i < FADE; i++) {
    const gain = 0.5 * (1 - Math.cos((Math.PI * (i + 0.5)) / FADE));
    expect(samples[i]! / expected[i]!).toBeCloseTo(gain, 5);
    expect(samples.at(-1 - i)! / expected.at(-1 - i)!).toBeCloseTo(gain, 5);
  }
  expect(isClosed()).toBe(true);
});

test("what is emitted does not depend on when it is taken, and a promise holds it back", async () => {
  let waiting = 0;
  const slow = await speak(speech(20), {
    emit: async () => {
      expect(waiting++).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 1));
      waiting--;
    },
  });
  expect(slow.calls).toEqual([4, 6, 9, 1]);
});

test("a cloned recording is heard before the first frame", async () => {
  const { primed } = await speak(speech(3), { referenceCodes: Int32Array.of(1, 2, 3, 4) });
  expect(primed).toEqual([1, 2, 3, 4]);
});

test("a silence that does not end is cut off; one within the speech stays", async () => {
  const pause = new Array<number>(15).fill(0);
  const whole = await speak([...speech(10), ...pause, ...speech(8)]);
  expect(whole.samples).toHaveLength(33 * SIZE);
  const lost = await speak([...speech(10), ...new Array<number>(200).fill(0)]);
  expect(lost.stoppedAt).toBeLessThan(10 + 25 + 10);
  expect(lost.kept).toHaveLength((10 + 4) * GROUPS);
  expect(lost.samples).toHaveLength((10 + 4) * SIZE);
});

test("codes that repeat themselves are held back, and cut where they turn out to be a loop", async () => {
  const loop = Array.from({ length: 64 }, (_, i) => [70, 71, 72][i % 3]!);
  const codes = [...speech(20), ...loop];
  const cut = await speak(codes, { stopReason: "repetition", usefulFrames: 23 });
  expect(cut.before).toBeLessThan((23 + 20) * SIZE);
  expect(cut.samples.length).toBeLessThan((23 + 21) * SIZE);
  expect(cut.samples).toHaveLength((cut.kept.length / GROUPS) * SIZE);
  // Not a loop after all: everything is spoken.
  const held = await speak([...speech(20), ...loop.slice(0, 40), ...speech(10)]);
  expect(held.samples).toHaveLength(70 * SIZE);
});
