import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { spawnSync } from "node:child_process";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import type { AudioBuffer } from "./buffer.js";
import { sniffContainer } from "./containers/sniff.js";
import { decodeAudio } from "./decode.js";
import { AudioError } from "./errors.js";
import { writeWav } from "./wav.js";

interface Row {
  file: string;
  codec: string;
  container_rate: number;
  chirp_hi: number;
  lag_frames: number;
  pcm_bits?: number;
  sha256_of_interleaved_int32le?: string;
  probe_of_decode: { channel: number; start: number; step: number; values: number[] };
  require: {
    rate: number;
    channels: number;
    min_correlation: number;
    max_abs_lag_frames: number;
    frames: number | null;
    duration_tolerance_s: number;
  };
}

const { abs, min, max, sin, sqrt, PI } = Math;
const list = goldensFolder("pipeline", "containers", "containers.json");
const folder = list === null ? "" : dirname(list);
const rows = list === null ? [] : readGoldenJson<{ rows: Row[] }>(list).rows;
const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;
if (!hasFfmpeg) process.stderr.write("ffmpeg is not installed: the tests of AAC and ALAC are skipped\n");
const needsFfmpeg = (codec: string) => codec === "aac" || codec === "alac";

function chirp(rate: number, hi: number): Float32Array {
  return Float32Array.from({ length: rate }, (_, i) => {
    const t = i / rate;
    return 0.5 * sin(2 * PI * (100 * t + ((hi - 100) * t * t) / 2)) * min(1, min(t, 1 - t) / 0.02);
  });
}

function correlationAt(y: Float32Array, x: Float32Array, lag: number): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = max(0, -lag); i < min(x.length, y.length - lag); i++) {
    xy += x[i]! * y[i + lag]!;
    xx += x[i]! * x[i]!;
    yy += y[i + lag]! * y[i + lag]!;
  }
  return xy / sqrt(xx * yy || 1);
}

/** The lag of the best correlation among those allowed. */
function bestLag(y: Float32Array, x: Float32Array, limit: number): { lag: number; correlation: number } {
  let best = { lag: 0, correlation: -1 };
  for (let lag = -limit; lag <= limit; lag++) {
    const correlation = correlationAt(y, x.subarray(0, x.length), lag);
    if (correlation > best.correlation) best = { lag, correlation };
  }
  return best;
}

function hashOfIntegers(buffer: AudioBuffer, bits: number): string {
  const { channels } = buffer;
  const frames = channels[0]!.length;
  const integers = new Int32Array(frames * channels.length);
  channels.forEach((samples, c) => {
    // floor: the ALAC file holds 24 bits, of which its hash has the upper 16
    samples.forEach((value, i) => (integers[i * channels.length + c] = Math.floor(value * 2 ** (bits - 1))));
  });
  return createHash("sha256").update(new Uint8Array(integers.buffer)).digest("hex");
}

describe("containers", () => {
  const runnable = rows.filter(
    (row) => existsSync(join(folder, row.file)) && (hasFfmpeg || !needsFfmpeg(row.codec)),
  );
  const inProcess = runnable.filter((row) => !needsFfmpeg(row.codec));
  if (inProcess.length === 0) {
    test.skip("no goldens", () => undefined);
    return;
  }
  test.each(runnable.map((row) => [row.file, row] as const))("%s", async (file, row) => {
    const buffer = await decodeAudio(readFileSync(join(folder, file)));
    expect(buffer.sampleRate).toBe(row.require.rate);
    expect(buffer.channels.length).toBe(row.require.channels);
    const frames = buffer.channels[0]!.length;
    if (row.require.frames !== null) expect(frames).toBe(row.require.frames);
    else expect(abs(frames / buffer.sampleRate - 1)).toBeLessThanOrEqual(row.require.duration_tolerance_s);
    if (row.sha256_of_interleaved_int32le !== undefined) {
      expect(hashOfIntegers(buffer, row.pcm_bits!)).toBe(row.sha256_of_interleaved_int32le);
    }
    const x = chirp(row.require.rate, row.chirp_hi);
    // The search runs near the reference decoder's lag first; the whole range only if that is not it.
    const near = min(row.require.max_abs_lag_frames, abs(row.lag_frames) + 3);
    let found = bestLag(buffer.channels[0]!, x, near);
    if (found.correlation < row.require.min_correlation)
      found = bestLag(buffer.channels[0]!, x, row.require.max_abs_lag_frames);
    expect(found.correlation).toBeGreaterThanOrEqual(row.require.min_correlation);
    const probe = row.probe_of_decode;
    const shift = found.lag - row.lag_frames;
    const worst = max(
      ...probe.values.map((value, i) =>
        abs(buffer.channels[probe.channel]![probe.start + i * probe.step + shift]! - value),
      ),
    );
    if (row.codec !== "opus") expect(worst).toBeLessThanOrEqual(2e-3);
  });

  test.each(inProcess.map((row) => row.file))("%s cut and damaged", async (file) => {
    const bytes = new Uint8Array(readFileSync(join(folder, file)));
    const whole = (await decodeAudio(bytes)).channels[0]!.length;
    const output = globalThis.console;
    const { error: print } = output;
    let printed = 0;
    output.error = () => printed++;
    for (const damaged of [
      bytes.subarray(0, bytes.length >> 1),
      bytes.subarray(0, 60),
      flipped(bytes, 7),
      flipped(bytes, 99),
    ]) {
      try {
        const { channels } = await decodeAudio(damaged);
        expect(channels[0]!.length).toBeLessThanOrEqual(whole + 8192);
      } catch (error) {
        expect(error).toBeInstanceOf(AudioError);
      }
    }
    output.error = print;
    expect(printed).toBe(0);
  });
});

function flipped(bytes: Uint8Array, seed: number): Uint8Array {
  const copy = bytes.slice();
  let state = seed;
  for (let i = 0; i < 40; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    copy[64 + (state % (copy.length - 64))] = state >>> 24;
  }
  return copy;
}

test("empty, foreign and unsupported input are typed errors", async () => {
  await expect(decodeAudio(new Uint8Array(0))).rejects.toMatchObject({ kind: "no_data" });
  const noSamples = writeWav({ sampleRate: 16000, channels: [new Float32Array(0)] });
  await expect(decodeAudio(noSamples)).rejects.toMatchObject({ kind: "no_data" });
  const text = new TextEncoder().encode("this is not audio at all, ".repeat(20));
  await expect(decodeAudio(text, { ffmpeg: "no-such-ffmpeg" })).rejects.toMatchObject({ kind: "no_decoder" });
  if (hasFfmpeg) await expect(decodeAudio(text)).rejects.toMatchObject({ kind: "undecodable" });
});

test("an abort ends decoding by ffmpeg", async () => {
  if (!hasFfmpeg || !existsSync(join(folder, "aac_16k.m4a"))) return;
  const bytes = readFileSync(join(folder, "aac_16k.m4a"));
  await expect(decodeAudio(bytes, { signal: AbortSignal.abort() })).rejects.toThrow("abort");
});

test("ADTS AAC is not taken for MP3", () => {
  expect(sniffContainer(Uint8Array.of(0xff, 0xf1, 0x50, 0x80))).toBe("foreign");
  expect(sniffContainer(Uint8Array.of(0xff, 0xfb, 0x90, 0x00))).toBe("mp3");
});
