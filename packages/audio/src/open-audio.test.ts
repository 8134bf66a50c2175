import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { goldensFolder } from "@voxquant/goldens";
import { ResourceError } from "@voxquant/quant-core";
import { toMono } from "./buffer.js";
import { decodeAudio } from "./decode.js";
import { AudioError } from "./errors.js";
import { openAudio, readAll } from "./open-audio.js";
import { resample } from "./resample.js";
import { readWav, writeWav } from "./wav.js";

const stereo = {
  sampleRate: 44100,
  channels: [0, 1].map((c) =>
    Float32Array.from({ length: 50_000 }, (_, i) => 0.4 * Math.sin(i * (0.03 + 0.02 * c))),
  ),
};
const file = writeWav(stereo, { format: "float32" });
const expected = resample(toMono(stereo), 44100, 16000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-audio-"));
  writeFileSync(join(folder, "stereo.wav"), file);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const to16k = { sampleRate: 16000 };

test("every kind of source gives the samples of the whole signal", async () => {
  const path = join(folder, "stereo.wav");
  for (const source of [
    path,
    pathToFileURL(path),
    pathToFileURL(path).href,
    file,
    new Blob([file]),
    pieces(file, 999),
    stereo,
    { samples: toMono(stereo), sampleRate: 44100 },
    `data:audio/wav;base64,${Buffer.from(file).toString("base64")}`,
  ]) {
    expect(await readAll(openAudio(source, to16k))).toEqual(expected);
  }
});

test("one channel can be chosen", async () => {
  const second = await readAll(openAudio(stereo, { sampleRate: 16000, channel: 1 }));
  expect(second).toEqual(resample(stereo.channels[1]!, 44100, 16000));
  await expect(readAll(openAudio(stereo, { sampleRate: 16000, channel: 2 }))).rejects.toMatchObject({
    kind: "bad_input",
  });
});

test("many channels at a high rate come in small blocks", async () => {
  // 8 channels at 96 kHz: the bytes are made while they are read, 5 s of them
  const header = writeWav({
    sampleRate: 96000,
    channels: Array.from({ length: 8 }, () => new Float32Array(1)),
  }).subarray(0, 44);
  new DataView(header.buffer).setUint32(40, 0xffffffff, true);
  const source = async function* () {
    yield header;
    for (let second = 0; second < 5; second++) yield new Uint8Array(96000 * 16);
  };
  let samples = 0;
  for await (const block of openAudio(source(), to16k)) {
    expect(block.length).toBeLessThanOrEqual(16_100);
    samples += block.length;
  }
  expect(samples).toBe(5 * 16000);
});

test("a stream equals the whole for a packed format", async () => {
  const containers = goldensFolder("pipeline", "containers", "mp3_44k_stereo.mp3");
  if (containers === null) return;
  const bytes = readFileSync(containers);
  const whole = await decodeAudio(bytes);
  const streamed = await readAll(openAudio(pieces(bytes, 700), to16k));
  expect(streamed).toEqual(resample(toMono(whole), whole.sampleRate, 16000));
});

test("a stream can be opened again, and left early", async () => {
  const audio = openAudio(join(folder, "stereo.wav"), to16k);
  for await (const block of audio) {
    expect(block.length).toBeGreaterThan(0);
    break;
  }
  expect(await readAll(audio)).toEqual(expected);
});

test("errors", async () => {
  await expect(readAll(openAudio(join(folder, "none.wav"), to16k))).rejects.toThrow("no such file");
  await expect(readAll(openAudio(folder, to16k))).rejects.toThrow(ResourceError);
  await expect(readAll(openAudio("http://127.0.0.1:9/x.wav", to16k))).rejects.toThrow(ResourceError);
  await expect(readAll(openAudio(new Uint8Array(0), to16k))).rejects.toMatchObject({ kind: "no_data" });
  const nan = { samples: Float32Array.of(0, NaN, 0), sampleRate: 16000 };
  await expect(readAll(openAudio(nan, to16k))).rejects.toMatchObject({ kind: "bad_samples" });
  expect(() => openAudio(file, { sampleRate: 0 })).toThrow(AudioError);
  const aborted = openAudio(file, { sampleRate: 16000, signal: AbortSignal.abort() });
  await expect(readAll(aborted)).rejects.toThrow("abort");
});

test("audio without samples is an error, whose header can be read all the same", async () => {
  const empty = writeWav({ sampleRate: 8000, channels: [new Float32Array(0)] });
  expect(readWav(empty).channels[0]!.length).toBe(0);
  await expect(readAll(openAudio(empty, to16k))).rejects.toMatchObject({ kind: "no_data" });
  await expect(readAll(openAudio(readWav(empty), to16k))).rejects.toMatchObject({ kind: "no_data" });
});

test("says how much of a source of known size was read", async () => {
  const wav = writeWav({ sampleRate: 16000, channels: [new Float32Array(500_000)] });
  const sources = [
    wav,
    new Blob([wav as BlobPart]),
    { samples: new Float32Array(500_000), sampleRate: 16000 },
  ];
  for (const source of sources) {
    const stream = openAudio(source, { sampleRate: 16000 });
    expect(stream.fractionRead).toBeNull();
    const fractions: number[] = [];
    for await (const block of stream) {
      expect(block.length).toBeGreaterThan(0);
      fractions.push(stream.fractionRead!);
    }
    expect(fractions.length).toBeGreaterThan(2);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(stream.fractionRead).toBe(1);
  }
  async function* bytes() {
    yield wav;
  }
  const live = openAudio(bytes(), { sampleRate: 16000 });
  for await (const block of live) expect(block.length).toBeGreaterThan(0);
  expect(live.fractionRead).toBeNull();
});
