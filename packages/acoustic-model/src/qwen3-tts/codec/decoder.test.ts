import { memory } from "@tensorflow/tfjs-core";
import {
  BackendError,
  ConfigError,
  dequantize,
  elementCount,
  quantizeRows,
  Runtime,
  selectDevice,
  type BackendName,
  type Weight,
} from "@voxquant/quant-core";
import { parseCodecConfig } from "./config.js";
import { CodecDecoder } from "./decoder.js";
import { SLICE_FRAMES, type CodecDecoderStream } from "./stream.js";
import { checkpointOf, randomCheckpoint, randomCodes, randomNumbers, SMALL_CONFIG } from "./testing.js";
import { waveformReach } from "./waveform.js";
import { codecTensors, CodecWeights } from "./weights.js";

const config = parseCodecConfig(JSON.stringify(SMALL_CONFIG), "memory");
const { groups, samplesPerFrame } = config;
const checkpoint = randomCheckpoint(config);

const BACKENDS = ["cpu", "wasm", "native"] as const satisfies readonly BackendName[];

async function runtimeOf(backend: BackendName): Promise<Runtime | null> {
  try {
    return new Runtime((await selectDevice(backend)).device, "exact");
  } catch (error) {
    if (error instanceof BackendError) return null;
    throw error;
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

async function decodePieces(
  stream: CodecDecoderStream,
  codes: Int32Array,
  sizes: () => number,
): Promise<Float32Array> {
  const samples = new Float32Array((codes.length / groups) * samplesPerFrame);
  for (let at = 0; at < codes.length;) {
    const piece = codes.subarray(at, at + sizes() * groups);
    samples.set(await stream.decode(piece), (at / groups) * samplesPerFrame);
    at += piece.length;
  }
  return samples;
}

function partitions(): Record<string, () => number> {
  const random = randomNumbers(3);
  let first = true;
  return {
    "1, 1, …": () => 1,
    "2, 10, 10, …": () => {
      const size = first ? 2 : 10;
      first = false;
      return size;
    },
    "random 1 to 8": () => 1 + Math.floor((random() + 1) * 4),
    "longer than a slice": () => SLICE_FRAMES + 3,
  };
}

describe.each(BACKENDS)("codec decoder on %s", (backend) => {
  let runtime: Runtime | null = null;
  let decoder: CodecDecoder;

  beforeAll(async () => {
    runtime = await runtimeOf(backend);
    if (runtime === null) process.stderr.write(`codec decoder: ${backend} is not available, skipped\n`);
    else decoder = await CodecDecoder.load(runtime, new CodecWeights(checkpoint, config), config);
  });

  afterAll(() => runtime?.dispose());

  test("samples in pieces are those of the whole", async () => {
    if (runtime === null) return;
    const codes = randomCodes(3 * SLICE_FRAMES + 5, config);
    const whole = await decoder.decode(codes);
    expect(Math.max(...whole.map(Math.abs))).toBeGreaterThan(0.05);
    const stream = decoder.createStream();
    for (const [name, sizes] of Object.entries(partitions())) {
      const difference = largestDifference(await decodePieces(stream, codes, sizes), whole);
      expect([name, difference < 1e-5]).toEqual([name, true]);
      stream.reset();
    }
    stream.dispose();
  });

  test("streams that are open together do not see each other", async () => {
    if (runtime === null) return;
    const utterances = [randomCodes(9, config, 11), randomCodes(5, config, 12)];
    const streams = utterances.map(() => decoder.createStream());
    const together = await Promise.all(
      utterances.map((codes, i) => decodePieces(streams[i]!, codes, () => 2)),
    );
    for (const [i, codes] of utterances.entries()) {
      expect(largestDifference(together[i]!, await decoder.decode(codes))).toBeLessThan(1e-5);
      streams[i]!.dispose();
    }
  });

  test("a frame changes its own and later samples only", async () => {
    if (runtime === null) return;
    const codes = randomCodes(12, config);
    const changed = codes.slice();
    const frame = 7;
    for (let g = 0; g < groups; g++) {
      const at = frame * groups + g;
      changed[at] = (codes[at]! + 1) % config.decoder.codebookSize;
    }
    const [a, b] = [await decoder.decode(codes), await decoder.decode(changed)];
    const cut = frame * samplesPerFrame;
    expect(b.subarray(0, cut)).toEqual(a.subarray(0, cut));
    expect(
      largestDifference(a.subarray(cut, cut + samplesPerFrame), b.subarray(cut, cut + samplesPerFrame)),
    ).not.toBe(0);
  });

  test("primed frames are continued as if they had been decoded", async () => {
    if (runtime === null) return;
    const reach = waveformReach(config.decoder);
    for (const reference of [1, reach, reach + SLICE_FRAMES + 3]) {
      const codes = randomCodes(reference + 6, config, 5);
      const whole = await decoder.decode(codes);
      const stream = decoder.createStream();
      await stream.prime(codes.subarray(0, reference * groups));
      expect(stream.frames).toBe(reference);
      const samples = await stream.decode(codes.subarray(reference * groups));
      stream.dispose();
      expect(largestDifference(samples, whole.subarray(reference * samplesPerFrame))).toBeLessThan(1e-5);
    }
  });

  test("Q8_0 weights give what their dequantized values give", async () => {
    if (runtime === null) return;
    const source = new CodecWeights(checkpoint, config);
    const quantized: Weight[] = [];
    const dense: Weight[] = [];
    let blocks = 0;
    for (const { name, role, part, shape } of codecTensors(config)) {
      if (part === "encoder") continue;
      const weight = await source.read(name);
      if (role !== "matrix" || shape.at(-1)! % 32 !== 0) {
        quantized.push(weight);
        dense.push(weight);
        continue;
      }
      const values = new Float32Array(elementCount(shape));
      dequantize(weight.dtype, weight.bytes, values);
      const bytes = quantizeRows("Q8_0", values, shape.at(-1)!);
      dequantize("Q8_0", bytes, values);
      quantized.push({ name, shape, dtype: "Q8_0", bytes });
      dense.push({ name, shape, dtype: "F32", bytes: new Uint8Array(values.buffer) });
      blocks++;
    }
    expect(blocks).toBeGreaterThan(20);
    const codes = randomCodes(20, config);
    const samples: Float32Array[] = [];
    for (const weights of [quantized, dense]) {
      const own = new Runtime(runtime.device, "exact");
      const loaded = await CodecDecoder.load(own, new CodecWeights(checkpointOf(weights), config), config);
      samples.push(await loaded.decode(codes));
      own.dispose();
    }
    expect(largestDifference(samples[0]!, samples[1]!)).toBeLessThan(2e-5);
    expect(largestDifference(samples[0]!, await decoder.decode(codes))).toBeGreaterThan(1e-4);
  });

  test("leaves no tensors behind, aborted or not", async () => {
    if (runtime === null) return;
    const codes = randomCodes(2 * SLICE_FRAMES, config);
    await decoder.decode(codes);
    const before = memory().numTensors;
    await decoder.decode(codes);
    const stream = decoder.createStream();
    const abort = new AbortController();
    const running = stream.decode(codes, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    await expect(stream.decode(codes)).rejects.toThrow(/reset/);
    stream.reset();
    expect(largestDifference(await stream.decode(codes), await decoder.decode(codes))).toBeLessThan(1e-6);
    stream.dispose();
    expect(memory().numTensors).toBe(before);
  });
});

describe("codec stream", () => {
  let decoder: CodecDecoder;
  beforeAll(async () => {
    const runtime = (await runtimeOf("native")) ?? (await runtimeOf("wasm"))!;
    decoder = await CodecDecoder.load(runtime, new CodecWeights(checkpoint, config), config);
  });

  test("goes on past the positions that the published config names", async () => {
    // Frames out of every reach do not matter, so a late place in a stream sounds as an early one.
    const prefix = randomCodes(1, config, 21);
    const tail = randomCodes(40, config, 22);
    const late = decoder.createStream();
    for (let i = 0; i < 9000 / 500; i++) await late.prime(repeat(prefix, 500));
    expect(late.frames).toBeGreaterThan(8000);
    const early = decoder.createStream();
    await early.prime(repeat(prefix, 60));
    expect(largestDifference(await late.decode(tail), await early.decode(tail))).toBeLessThan(1e-4);
    late.dispose();
    early.dispose();
  });

  test("refuses codes that are not the codec's", async () => {
    const stream = decoder.createStream();
    const frame = new Int32Array(groups);
    await expect(stream.decode(frame.subarray(1))).rejects.toThrow(/not whole frames of 4/);
    await expect(stream.decode(frame, { groups: 16 })).rejects.toThrow(/16 codes/);
    for (const code of [-1, config.decoder.codebookSize]) {
      const codes = Int32Array.from([0, 0, 0, 0, 0, 0, code, 0]);
      await expect(stream.decode(codes)).rejects.toThrow(`code ${code} of frame 1, group 2`);
      await expect(stream.prime(codes)).rejects.toThrow(ConfigError);
    }
    expect(await stream.decode(new Int32Array(0))).toEqual(new Float32Array(0));
    expect(stream.frames).toBe(0);
    stream.dispose();
    await expect(stream.decode(frame)).rejects.toThrow(/disposed/);
  });

  test("takes one piece at a time", async () => {
    const stream = decoder.createStream();
    const codes = randomCodes(3, config);
    const first = stream.decode(codes);
    await expect(stream.decode(codes)).rejects.toThrow(/one piece at a time/);
    expect(() => stream.reset()).toThrow(ConfigError);
    expect(largestDifference(await first, await decoder.decode(codes))).toBeLessThan(1e-6);
    stream.dispose();
  });

  test("disposed while it decodes, ends with an error", async () => {
    const stream = decoder.createStream();
    const running = stream.decode(randomCodes(2 * SLICE_FRAMES, config));
    stream.dispose();
    await expect(running).rejects.toThrow(/disposed/);
  });

  test("looks back as far as its convolutions", () => {
    // The published strides: 10 frames (receptive field measured on the official modules).
    const published = { ...config.decoder, blockRates: [8, 5, 4, 3], upsamplingRatios: [2, 2] };
    expect(waveformReach(published)).toBe(10);
  });
});

function repeat(codes: Int32Array, times: number): Int32Array {
  const result = new Int32Array(codes.length * times);
  for (let i = 0; i < times; i++) result.set(codes, i * codes.length);
  return result;
}
