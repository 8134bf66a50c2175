import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadTtsModel, type TtsModel } from "@voxquant/acoustic-model";
import { loadAsrModel, type AsrModel } from "@voxquant/asr-model";
import {
  BackendError,
  selectDevice,
  type BackendName,
  type KvCacheShape,
  type Precision,
} from "@voxquant/quant-core";

interface Tfjs {
  memory(): { readonly numTensors: number; readonly numDataBuffers: number };
  engine(): { readonly registry: Readonly<Record<string, unknown>> };
}

const repository = resolve(import.meta.dirname, "../../..");
const mini = join(repository, "models/qwen3-asr-mini");
const ttsMini = join(repository, "models/qwen3-tts-mini");
const clip = new Uint8Array(readFileSync(join(repository, "samples/kitchen-light-en.wav")));

/** The tfjs that the packages share. */
const tfjs = (await import(
  createRequire(join(repository, "packages/quant-core/package.json")).resolve("@tensorflow/tfjs-core")
)) as Tfjs;

const WARM_UP = 10;
const RUNS = 50;
const SPEECH_WARM_UP = 6;
const SPEECH_RUNS = 18;
/** Far above what garbage collection leaves to chance, far below one key-value cache or encoder activation per run. */
const LIMIT_BYTES = 8 * 2 ** 20;

/** Bytes of array buffers that are alive. */
function bufferBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < 3; i++) collect();
  return process.memoryUsage().arrayBuffers;
}

/** Bytes of the WebAssembly memory; 0 as long as that backend was not started (which `findBackend` would do). */
function wasmBytes(): number {
  const backend = tfjs.engine().registry["wasm"] as
    { wasm: { asm: { memory: WebAssembly.Memory } } } | undefined;
  return backend?.wasm.asm.memory.buffer.byteLength ?? 0;
}

/** Counts the caches that the backend's device makes and takes back. */
async function countCaches(backend: BackendName): Promise<{ made: number; released: number }> {
  const counts = { made: 0, released: 0 };
  const { device } = await selectDevice(backend);
  const { createKvCache, releaseKvCache } = device;
  device.createKvCache = (shape: KvCacheShape, precision?: Precision) => {
    counts.made++;
    return createKvCache.call(device, shape, precision);
  };
  device.releaseKvCache = (cache) => {
    counts.released++;
    releaseKvCache.call(device, cache);
  };
  return counts;
}

/** One transcription; every fifth is aborted after some tokens. */
async function transcribe(model: AsrModel, run: number): Promise<void> {
  if (run % 5 !== 4) {
    const { text } = await model.transcribe(clip);
    expect(text).toBe("Turn on the kitchen light.");
    return;
  }
  const abort = new AbortController();
  let tokens = 0;
  const onToken = () => {
    if (++tokens === 3) abort.abort();
  };
  await expect(model.transcribe(clip, { signal: abort.signal, onToken })).rejects.toThrow("aborted");
}

describe.each(["native", "wasm"] as const)("many transcriptions on %s", (backend) => {
  it("leave no tensors, caches or memory behind", async () => {
    let model: AsrModel;
    let caches: { made: number; released: number };
    try {
      caches = await countCaches(backend);
      model = await loadAsrModel(mini, { backend });
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      process.stderr.write(`memory: ${error.message}, its test is skipped\n`);
      return;
    }
    for (let run = 0; run < WARM_UP; run++) await transcribe(model, run);
    const before = { ...tfjs.memory(), wasm: wasmBytes(), buffers: bufferBytes() };
    for (let run = 0; run < RUNS; run++) await transcribe(model, run);
    const after = { ...tfjs.memory(), wasm: wasmBytes(), buffers: bufferBytes() };
    expect(after.numTensors).toBe(before.numTensors);
    expect(after.numDataBuffers).toBe(before.numDataBuffers);
    if (backend === "wasm") expect(before.wasm).toBeGreaterThan(0);
    expect(after.wasm).toBe(before.wasm);
    expect(after.buffers - before.buffers).toBeLessThan(LIMIT_BYTES);
    // One for each call, and the beginning that all prompts share, which the model keeps.
    expect(caches.made).toBe(WARM_UP + RUNS + 1);
    expect(caches.released).toBe(caches.made - 1);
    await model.dispose();
    expect(caches.released).toBe(caches.made);
  });

  it("and loading the model again and again: neither", async () => {
    try {
      await selectDevice(backend);
    } catch (error) {
      if (error instanceof BackendError) return;
      throw error;
    }
    const state: { wasm: number; tensors: number; buffers: number }[] = [];
    for (let i = 0; i < 4; i++) {
      const model = await loadAsrModel(mini, { backend });
      await transcribe(model, 0);
      await model.dispose();
      state.push({ wasm: wasmBytes(), tensors: tfjs.memory().numTensors, buffers: bufferBytes() });
    }
    const [, second, , last] = state;
    expect(last!.wasm).toBe(second!.wasm);
    expect(last!.tensors).toBe(second!.tensors);
    expect(last!.buffers - second!.buffers).toBeLessThan(LIMIT_BYTES);
  });
});

/** One synthesis; every third is aborted after its first chunk of sound. */
async function speak(model: TtsModel, run: number): Promise<void> {
  const request = { speaker: "leo", temperature: 0 };
  if (run % 3 !== 2) {
    const { sentences } = await model.synthesizeToBuffer("Yes. Stop.", request);
    expect(sentences.map(({ stopReason }) => stopReason)).toEqual(["eos", "eos"]);
    return;
  }
  const reader = model.synthesize("Yes. Stop.", request)[Symbol.asyncIterator]();
  expect((await reader.next()).done).toBe(false);
  await reader.return?.();
}

describe.each(["native", "wasm"] as const)("many syntheses on %s", (backend) => {
  it("leave no tensors, caches, codec states or memory behind", async () => {
    let model: TtsModel;
    let caches: { made: number; released: number };
    try {
      caches = await countCaches(backend);
      model = await loadTtsModel(ttsMini, { backend });
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      process.stderr.write(`memory: ${error.message}, its test is skipped\n`);
      return;
    }
    for (let run = 0; run < SPEECH_WARM_UP; run++) await speak(model, run);
    const alive = caches.made - caches.released;
    const before = { ...tfjs.memory(), wasm: wasmBytes(), buffers: bufferBytes() };
    for (let run = 0; run < SPEECH_RUNS; run++) await speak(model, run);
    const after = { ...tfjs.memory(), wasm: wasmBytes(), buffers: bufferBytes() };
    expect(after.numTensors).toBe(before.numTensors);
    expect(after.numDataBuffers).toBe(before.numDataBuffers);
    expect(after.wasm).toBe(before.wasm);
    expect(after.buffers - before.buffers).toBeLessThan(LIMIT_BYTES);
    expect(caches.made - caches.released).toBe(alive);
    await model.dispose();
    expect(caches.released).toBe(caches.made);
  });
});
