// The decoder of a Qwen3-ASR file alone, in steps that can be timed: what the peers and the growth of cost with the context
// are measured with.
import { openModel } from "../packages/asr-model/dist/open-model.js";
import { parseQwen3AsrConfig } from "../packages/asr-model/dist/qwen3-asr/config.js";
import { DECODER_PREFIX, HEAD_NAME, Qwen3AsrWeights } from "../packages/asr-model/dist/qwen3-asr/weights.js";
import { EventLoopBreak, Qwen3Decoder } from "../packages/nn/dist/index.js";
import { Runtime, selectDevice, setThreads } from "../packages/quant-core/dist/index.js";

/** First id of the prompts, which count up from there. */
const PROMPT_ID = 1000;

export class DecoderBench {
  #runtime;
  #decoder;

  constructor(runtime, decoder) {
    this.#runtime = runtime;
    this.#decoder = decoder;
  }

  static async open(path, threads) {
    const { files, main, location } = await openModel(path, "qwen3-asr");
    const config = parseQwen3AsrConfig(
      await files.readText("config.json"),
      await files.readText("generation_config.json"),
      location,
    );
    const { device } = await selectDevice("native");
    setThreads(threads);
    const runtime = new Runtime(device, "fast");
    const names = { model: DECODER_PREFIX, head: config.tiedHead ? null : HEAD_NAME };
    const weights = new Qwen3AsrWeights(main, null);
    return new DecoderBench(runtime, await Qwen3Decoder.load(runtime, weights, names, config.decoder));
  }

  /** A sequence without tokens and room for so many; to be released. */
  sequence(capacity) {
    return { cache: this.#decoder.createCache(capacity), position: 0 };
  }

  release({ cache }) {
    this.#runtime.releaseKvCache(cache);
  }

  /** Passes so many tokens at once, without the head. @returns milliseconds */
  async prefill(sequence, count) {
    const start = performance.now();
    const hidden = await this.#pass(
      sequence,
      Array.from({ length: count }, (_, i) => PROMPT_ID + i),
    );
    const ms = performance.now() - start;
    hidden.dispose();
    return ms;
  }

  /** Generates so many tokens, always the most likely one. @returns milliseconds per token */
  async decode(sequence, count) {
    let id = 7;
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const hidden = await this.#pass(sequence, [id]);
      [id] = this.#runtime.run(() => ({ ids: this.#decoder.head.argmax(hidden) })).ids;
      hidden.dispose();
    }
    return (performance.now() - start) / count;
  }

  /** The attention of all layers for a prompt of so many tokens, with its writes to the cache. @returns milliseconds */
  attention(count) {
    const { layers, heads, kvHeads, headDim } = this.#decoder.config;
    const { device } = this.#runtime;
    const sequence = this.sequence(count);
    const vector = (width) =>
      device.uploadVector(
        Float32Array.from({ length: count * width * headDim }, (_, i) => Math.sin(i * 0.37)),
      );
    const vectors = [heads, kvHeads, kvHeads, heads].map(vector);
    const [q, k, v, out] = vectors;
    const segments = [{ cache: sequence.cache.data, start: 0, count, position: 0 }];
    const scale = 1 / Math.sqrt(headDim);
    const start = performance.now();
    for (let layer = 0; layer < layers; layer++)
      device.kernels.cachedAttention(q, k, v, segments, layer, heads, scale, count, out);
    const ms = performance.now() - start;
    for (const each of vectors) device.releaseVector(each);
    this.release(sequence);
    return ms;
  }

  async #pass(sequence, ids) {
    const rows = [{ cache: sequence.cache, start: 0, count: ids.length, position: sequence.position }];
    const embeds = this.#runtime.run(() => this.#decoder.embedding.lookup(ids));
    const hidden = await this.#decoder.forward(embeds, rows, new EventLoopBreak());
    sequence.position += ids.length;
    return hidden;
  }
}
