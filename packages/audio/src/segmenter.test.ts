import { readFileSync } from "node:fs";
import { join } from "node:path";
import { goldensFolder, readGoldenJson, sharedFolder } from "@voxquant/goldens";
import { toMono } from "./buffer.js";
import { AudioError } from "./errors.js";
import { resample } from "./resample.js";
import { segmentSpeech, type SegmentOptions, type SpeechPiece } from "./segmenter.js";
import { readWav } from "./wav.js";

const { imul } = Math;
const RATE = 16000;

async function piecesOf(
  samples: Float32Array | AsyncIterable<Float32Array>,
  options?: SegmentOptions,
): Promise<SpeechPiece[]> {
  const pieces: SpeechPiece[] = [];
  for await (const piece of segmentSpeech(samples, options)) pieces.push(piece);
  return pieces;
}

function noise(length: number, amplitude: number): Float32Array {
  let state = 7;
  return Float32Array.from({ length }, () => {
    state = (imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * amplitude;
  });
}

function joined(...parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

test("silence, noise and hum give no pieces", async () => {
  const hum = Float32Array.from(
    { length: 5 * RATE },
    (_, i) => 0.2 * Math.sin((2 * Math.PI * 50 * i) / RATE),
  );
  for (const audio of [
    new Float32Array(0),
    new Float32Array(5 * RATE),
    noise(5 * RATE, 0.3),
    noise(5 * RATE, 1e-4),
    hum,
  ]) {
    expect(await piecesOf(audio)).toEqual([]);
  }
});

describe("speech", () => {
  const list = goldensFolder("pipeline", "silero", "silero.json");
  const speechPath = goldensFolder("pipeline", "speech.wav");
  if (list === null || speechPath === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const speech = readWav(readFileSync(speechPath)).channels[0]!;
  const { rows } = readGoldenJson<{
    rows: {
      signal: string;
      timestamps: { params: { min_silence_duration_ms?: number }; segments: number[][] }[];
    }[];
  }>(list);
  const official = rows
    .find((row) => row.signal === "speech")!
    .timestamps.find(
      ({ params }) => params.min_silence_duration_ms === 300 && Object.keys(params).length === 1,
    )!.segments;

  test("pieces hold what Silero's own code finds, and nothing twice", async () => {
    const pieces = await piecesOf(speech, { minPauseSeconds: 0.3 });
    expect(pieces.length).toBe(official.length);
    pieces.forEach((piece, i) => {
      // the level and the lead-in move an edge by a few windows
      expect(Math.abs(piece.start - official[i]![0]!)).toBeLessThan(0.3 * RATE);
      expect(Math.abs(piece.end - official[i]![1]!)).toBeLessThan(0.3 * RATE);
      expect(piece.samples).toEqual(speech.slice(piece.start, piece.end));
      if (i > 0) expect(piece.start).toBeGreaterThanOrEqual(pieces[i - 1]!.end);
    });
  });

  test("the size of the blocks makes no difference", async () => {
    const blocks = async function* () {
      for (let at = 0, size = 100; at < speech.length; at += size, size = (size * 3) % 40_009) {
        yield speech.subarray(at, at + size);
      }
    };
    expect(await piecesOf(blocks())).toEqual(await piecesOf(speech));
  });

  test("quiet speech is found", async () => {
    const quiet = speech.map((value) => value / 50);
    expect((await piecesOf(quiet)).length).toBe((await piecesOf(speech)).length);
  });

  test("no piece is longer than asked, and a long one is cut without losing samples", async () => {
    const [first] = await piecesOf(speech);
    const dense = joined(first!.samples, first!.samples, first!.samples);
    const pieces = await piecesOf(dense, { maxSeconds: 2, minPauseSeconds: 2 });
    expect(pieces.length).toBeGreaterThan(3);
    pieces.forEach((piece, i) => {
      expect(piece.end - piece.start).toBeLessThanOrEqual(2 * RATE);
      if (i > 0) expect(piece.start).toBe(pieces[i - 1]!.end);
    });
    expect(pieces[0]!.start).toBe(0);
    expect(pieces.at(-1)!.end).toBe(dense.length);
  });

  test("packing joins neighbours up to its length", async () => {
    const alone = await piecesOf(speech, { minPauseSeconds: 0.3 });
    const packed = await piecesOf(speech, { minPauseSeconds: 0.3, packSeconds: 6 });
    expect(packed.length).toBeLessThan(alone.length);
    for (const piece of packed) {
      expect(piece.end - piece.start).toBeLessThanOrEqual(6 * RATE);
      expect(alone.some(({ start }) => start === piece.start)).toBe(true);
      expect(alone.some(({ end }) => end === piece.end)).toBe(true);
    }
    const whole = await piecesOf(speech, { minPauseSeconds: 0.3, packSeconds: 30 });
    expect(whole.map(({ start, end }) => [start, end])).toEqual([[alone[0]!.start, alone.at(-1)!.end]]);
  });

  test("an abort ends it, progress is told", async () => {
    const seen: number[] = [];
    await piecesOf(speech, { onProgress: (samples) => seen.push(samples) });
    expect(seen.at(-1)).toBe(speech.length);
    const controller = new AbortController();
    const aborted = piecesOf(speech, { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(aborted).rejects.toThrow("abort");
  });
});

test("bad options and samples are refused", async () => {
  const audio = new Float32Array(RATE);
  await expect(piecesOf(audio, { maxSeconds: 0 })).rejects.toMatchObject({ kind: "bad_input" });
  await expect(piecesOf(audio, { minPauseSeconds: NaN })).rejects.toThrow(AudioError);
  await expect(piecesOf(Float32Array.of(0, NaN))).rejects.toMatchObject({ kind: "bad_samples" });
});

describe("evaluation recordings", () => {
  const folder = sharedFolder("models", "eval-asr");
  if (folder === null) {
    process.stderr.write(
      "the evaluation recordings are not beside the repository: their segmentation is not tested\n",
    );
    test.skip("no recordings", () => undefined);
    return;
  }
  interface Recording {
    file: string;
    kind: string;
    segments?: { start: number; end: number; text: string }[];
  }
  const recordings = readFileSync(join(folder, "manifest.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Recording);
  const read = ({ file }: Recording) => {
    const wav = readWav(readFileSync(join(folder, file)));
    return resample(toMono(wav), wav.sampleRate, RATE);
  };

  test("every segment of the long recordings is a piece of its own", async () => {
    const wrong: string[] = [];
    for (const recording of recordings.filter(({ segments }) => segments !== undefined)) {
      const pieces = (await piecesOf(read(recording))).map(
        ({ start, end }) => [start / RATE, end / RATE] as const,
      );
      expect(pieces.length).toBe(recording.segments!.length);
      recording.segments!.forEach(({ start, end, text }, i) => {
        const [from, to] = pieces[i]!;
        if (from > start + 0.05 || to < end - 0.05) wrong.push(`${text} ${start}–${end}: ${from}–${to}`);
      });
    }
    expect(wrong).toEqual([]);
  });

  test("no clip of speech is emptied; silence and noise are", async () => {
    const wrong: string[] = [];
    for (const recording of recordings.filter(({ segments }) => segments === undefined)) {
      const pieces = await piecesOf(read(recording));
      // Voices that cannot be understood are voices: keeping them out of the text is the model's part.
      const babble = recording.file === "none-05.wav";
      if (!babble && (pieces.length === 0) !== (recording.kind === "no-speech")) wrong.push(recording.file);
    }
    expect(wrong).toEqual([]);
  });
});
