import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import {
  EventLoopBreak,
  generateGreedy,
  Qwen3Decoder,
  type TraceSink,
  type WeightSource,
} from "@voxquant/nn";
import {
  dequantize,
  elementCount,
  openCheckpoint,
  openModelFiles,
  quantizeCheckpoint,
  quantizeRows,
  Runtime,
  selectDevice,
  writeSafetensors,
  type Precision,
  type SafetensorsTensor,
} from "@voxquant/quant-core";

/** Vocabulary and the encoder's part of the config come from the embedded model. */
const mini = resolve(import.meta.dirname, "../../../models/qwen3-asr-mini");
const MINI_FILES = ["generation_config.json", "tokenizer_config.json", "vocab.json", "merges.txt"];
const PREFIX = "thinker.model.";

/**
 * Generates greedily in llama.cpp, by the package node-llama-cpp. Arguments: its main file, the model, prompts of ids,
 * count of ids. A process of its own: the library keeps threads.
 */
const LLAMA_CPP = `
const [location, modelPath, prompts, count] = process.argv.slice(2);
const { getLlama } = await import(location);
const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: 256,
  threads: 1,
  flashAttention: false,
  experimentalKvCacheKeyType: "F32",
  experimentalKvCacheValueType: "F32",
});
const sequence = context.getSequence();
const results = [];
for (const prompt of JSON.parse(prompts)) {
  await sequence.clearHistory();
  const ids = [];
  for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    ids.push(id);
    if (ids.length === Number(count)) break;
  }
  results.push(ids);
}
console.log("IDS " + JSON.stringify(results));
process.exit(0);
`;

interface TextConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  rms_norm_eps: number;
  rope_theta: number;
  tie_word_embeddings: boolean;
}

interface Config {
  thinker_config: { text_config: TextConfig };
}

const readConfig = (folder: string) =>
  JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Config;

/** node-llama-cpp's main file, or null with a line on stderr. */
function llamaCpp(): string | null {
  const folder = process.env["VOXQUANT_LLAMA_CPP"];
  if (folder === undefined || folder === "") {
    process.stderr.write(
      "llama.cpp: VOXQUANT_LLAMA_CPP (a folder with node_modules/node-llama-cpp) is not set, its tests are skipped\n",
    );
    return null;
  }
  const main = join(resolve(folder), "node_modules/node-llama-cpp/dist/index.js");
  if (!existsSync(main)) throw new Error(`VOXQUANT_LLAMA_CPP: ${main} does not exist`);
  return main;
}

/** A Qwen3-ASR checkpoint whose decoder is random and of the given sizes. */
async function randomCheckpoint(folder: string, seed: number, sizes: Partial<TextConfig>): Promise<string> {
  mkdirSync(folder);
  const config = readConfig(mini);
  const text = Object.assign(config.thinker_config.text_config, sizes);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  for (const file of MINI_FILES) cpSync(join(mini, file), join(folder, file));

  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const tensors: SafetensorsTensor[] = [];
  const add = (name: string, shape: number[], scale: number, mean = 0) => {
    const values = Float32Array.from({ length: elementCount(shape) }, () => {
      return mean + scale * (next() + next() + next() + next() - 2) * Math.sqrt(3); // variance scale²
    });
    tensors.push({ name, dtype: "BF16", shape, bytes: quantizeRows("BF16", values, shape.at(-1)!) });
  };
  const matrix = (name: string, rows: number, columns: number) =>
    add(`${name}.weight`, [rows, columns], 1.5 / Math.sqrt(columns));
  const gain = (name: string, dim: number) => add(`${name}.weight`, [dim], 0.2, 1);
  const { hidden_size: hidden, intermediate_size: inner, head_dim: headDim } = text;
  const q = text.num_attention_heads * headDim;
  const kv = text.num_key_value_heads * headDim;
  // Small beside what the layers add: with a tied head the last token would only repeat itself.
  add(`${PREFIX}embed_tokens.weight`, [text.vocab_size, hidden], 0.1);
  gain(`${PREFIX}norm`, hidden);
  if (!text.tie_word_embeddings) matrix("thinker.lm_head", text.vocab_size, hidden);
  for (let i = 0; i < text.num_hidden_layers; i++) {
    const layer = `${PREFIX}layers.${i}`;
    gain(`${layer}.input_layernorm`, hidden);
    gain(`${layer}.post_attention_layernorm`, hidden);
    gain(`${layer}.self_attn.q_norm`, headDim);
    gain(`${layer}.self_attn.k_norm`, headDim);
    matrix(`${layer}.self_attn.q_proj`, q, hidden);
    matrix(`${layer}.self_attn.k_proj`, kv, hidden);
    matrix(`${layer}.self_attn.v_proj`, kv, hidden);
    matrix(`${layer}.self_attn.o_proj`, hidden, q);
    matrix(`${layer}.mlp.gate_proj`, inner, hidden);
    matrix(`${layer}.mlp.up_proj`, inner, hidden);
    matrix(`${layer}.mlp.down_proj`, hidden, inner);
  }
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return folder;
}

/** Ids per prompt. */
const COUNT = 8;

/**
 * llama.cpp rounds activations to what its kernels for a weight type multiply with: BF16, F16, int8 blocks of 32 (which
 * our fast mode does too) or 256. Where two logits are as close as the error of that, ids may differ, and with them all
 * later ones: a comparison ends there.
 */
interface Rounding {
  readonly precision: Precision;
  /** Fraction of the logits' RMS. */
  readonly close: number;
}

interface Generated {
  readonly ids: number[];
  /** Ids before the first step whose two largest logits are closer than `close` of the logits' RMS. */
  readonly clear: number;
}

/** Our decoder on the weights of the llama.cpp file, found under their names there. */
async function generateHere(
  checkpoint: string,
  gguf: string,
  prompts: readonly (readonly number[])[],
  { precision, close }: Rounding,
): Promise<Generated[]> {
  const { llamaCpp: layout } = await qwen3AsrQuantizeProfile(await openModelFiles(checkpoint));
  const file = await openCheckpoint(gguf);
  const nameOf = (name: string) => layout!.nameOf(name)!;
  const source: WeightSource = {
    has: (name) => file.tensors.has(nameOf(name)),
    read: (name) => file.read(nameOf(name)),
    readVector: async (name) => {
      const { dtype, shape, bytes } = await file.read(nameOf(name));
      const values = new Float32Array(elementCount(shape));
      dequantize(dtype, bytes, values);
      return values;
    },
  };
  const text = readConfig(checkpoint).thinker_config.text_config;
  const config = {
    vocabSize: text.vocab_size,
    hiddenSize: text.hidden_size,
    intermediateSize: text.intermediate_size,
    layers: text.num_hidden_layers,
    heads: text.num_attention_heads,
    kvHeads: text.num_key_value_heads,
    headDim: text.head_dim,
    normEps: text.rms_norm_eps,
    ropeTheta: text.rope_theta,
  };
  const runtime = new Runtime((await selectDevice("cpu")).device, precision);
  const head = text.tie_word_embeddings ? null : "thinker.lm_head";
  const decoder = await Qwen3Decoder.load(runtime, source, { model: PREFIX, head }, config);
  const results: Generated[] = [];
  for (const prompt of prompts) {
    let clear = 0;
    const trace: TraceSink = (name, { shape, data }) => {
      if (name === "logits") clear = clearSteps(data as Float32Array, shape[1]!, close);
    };
    const [result] = await generateGreedy(
      runtime,
      decoder,
      [{ embeds: runtime.run(() => decoder.embedding.lookup(prompt)), maxTokens: COUNT }],
      { endIds: new Set(), pause: new EventLoopBreak(), trace },
    );
    results.push({ ids: result!.ids, clear });
  }
  runtime.dispose();
  await file.close();
  return results;
}

function clearSteps(logits: Float32Array, width: number, close: number): number {
  for (let at = 0; at < logits.length; at += width) {
    const row = logits.subarray(at, at + width);
    const [first, second] = Array.from(row).sort((a, b) => b - a);
    if (first! - second! < (close * Math.hypot(...row)) / Math.sqrt(width)) return at / width;
  }
  return logits.length / width;
}

function generateInLlamaCpp(main: string, gguf: string, prompts: readonly (readonly number[])[]): number[][] {
  const script = `${gguf}.mjs`; // a file, as the library forks the process to try its binaries
  writeFileSync(script, LLAMA_CPP);
  const args = [script, main, gguf, JSON.stringify(prompts), String(COUNT)];
  const run = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 100_000 });
  const line = /^IDS (.*)$/m.exec(run.stdout);
  if (line === null) throw new Error(`llama.cpp did not generate:\n${run.stdout}${run.stderr}`);
  return JSON.parse(line[1]!) as number[][];
}

describe("--layout llama.cpp", () => {
  const main = llamaCpp();
  const folder = mkdtempSync(join(tmpdir(), "voxquant-llama-cpp-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const tied = { head_dim: 64, num_hidden_layers: 2, tie_word_embeddings: true };
  const untied = {
    head_dim: 128,
    num_hidden_layers: 3,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    tie_word_embeddings: false,
  };
  const prompts = Array.from({ length: 12 }, (_, i) =>
    Array.from({ length: 3 + (i % 5) }, (_, at) => (i * 131 + at * 197 + 7) % 570),
  );

  it.each([
    ["f32", "tied head, heads of 64", tied, { precision: "exact", close: 0.001 }],
    ["f32", "own head, heads of 128", untied, { precision: "exact", close: 0.001 }],
    ["bf16", "own head, heads of 128", untied, { precision: "exact", close: 0.05 }],
    ["q8_0", "own head, heads of 128", untied, { precision: "fast", close: 0.05 }],
    ["q4_0", "tied head, heads of 64", tied, { precision: "fast", close: 0.05 }],
    ["q6_k", "own head, heads of 128", untied, { precision: "exact", close: 0.1 }],
    ["q4_k", "tied head, heads of 64", tied, { precision: "exact", close: 0.1 }],
  ] as const)("gives the same greedy ids in llama.cpp: %s, %s", async (qtype, name, sizes, rounding) => {
    if (main === null) return;
    const checkpoint = join(folder, name);
    if (!existsSync(join(checkpoint, "model.safetensors"))) {
      await randomCheckpoint(checkpoint, name.length, sizes);
    }
    await compareOn(checkpoint, qtype, rounding, 12);
  });

  it("gives the embedded model's decoder the same greedy ids in llama.cpp", async () => {
    if (main === null) return;
    await compareOn(mini, "q8_0", { precision: "fast", close: 0.05 }, 2);
  });

  /** @param variety fewest different ids that all prompts together must have led to */
  async function compareOn(
    checkpoint: string,
    qtype: string,
    rounding: Rounding,
    variety: number,
  ): Promise<void> {
    const output = join(folder, `${qtype}.gguf`);
    await quantizeCheckpoint(
      { input: checkpoint, output, qtype, layout: "llama.cpp", force: true },
      await qwen3AsrQuantizeProfile(await openModelFiles(checkpoint)),
    );
    const here = await generateHere(checkpoint, output, prompts, rounding);
    const there = generateInLlamaCpp(main!, output, prompts);
    const compared = here.reduce((sum, { clear }) => sum + clear, 0);
    here.forEach(({ ids, clear }, i) => {
      expect({ prompt: i, ids: there[i]!.slice(0, clear) }).toEqual({ prompt: i, ids: ids.slice(0, clear) });
    });
    expect(compared).toBeGreaterThanOrEqual(prompts.length * 2);
    expect(new Set(here.flatMap(({ ids }) => ids)).size).toBeGreaterThanOrEqual(variety);
  }
});
