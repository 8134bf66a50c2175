import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import { EventLoopBreak, generateGreedy, Qwen3Decoder, type WeightSource } from "@voxquant/nn";
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
  type SafetensorsTensor,
} from "@voxquant/quant-core";

/** Vocabulary and the encoder's part of the config come from the embedded model. */
const mini = resolve(import.meta.dirname, "../../../models/qwen3-asr-mini");
const MINI_FILES = ["generation_config.json", "tokenizer_config.json", "vocab.json", "merges.txt"];
const PREFIX = "thinker.model.";

/**
 * Generates greedily in llama.cpp, which is the package node-llama-cpp: argv is its folder, the model, ids of the prompt,
 * count. A process of its own: the library keeps threads.
 */
const LLAMA_CPP = `
const [location, modelPath, prompt, count] = process.argv.slice(2);
const { getLlama } = await import(location);
const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 256, threads: 1 });
const ids = [];
for await (const id of context.getSequence().evaluate(JSON.parse(prompt), { temperature: 0, yieldEogToken: true })) {
  ids.push(id);
  if (ids.length === Number(count)) break;
}
console.log("IDS " + JSON.stringify(ids));
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

const readConfig = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Config;

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
  add(`${PREFIX}embed_tokens.weight`, [text.vocab_size, hidden], 1);
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

interface Generated {
  readonly ids: number[];
  /** Per step: the largest logit less the second, divided by the logits' RMS. */
  readonly margins: number[];
}

/** Our decoder on the weights of the llama.cpp file, found under their names there. */
async function generateHere(
  checkpoint: string,
  gguf: string,
  prompt: readonly number[],
  count: number,
): Promise<Generated> {
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
  const runtime = new Runtime((await selectDevice("cpu")).device, "exact");
  const head = text.tie_word_embeddings ? null : "thinker.lm_head";
  const decoder = await Qwen3Decoder.load(runtime, source, { model: PREFIX, head }, config);
  const margins: number[] = [];
  const [result] = await generateGreedy(
    runtime,
    decoder,
    [{ embeds: runtime.run(() => decoder.embedding.lookup(prompt)), maxTokens: count }],
    {
      endIds: new Set(),
      pause: new EventLoopBreak(),
      trace: (name, { shape, data }) => {
        if (name !== "logits") return;
        const width = shape[1]!;
        for (let at = 0; at < data.length; at += width) {
          const [first, second] = Array.from(data.subarray(at, at + width)).sort((a, b) => b - a);
          const rms = Math.hypot(...data.subarray(at, at + width)) / Math.sqrt(width);
          margins.push((first! - second!) / rms);
        }
      },
    },
  );
  runtime.dispose();
  await file.close();
  return { ids: result!.ids, margins };
}

function generateInLlamaCpp(main: string, gguf: string, prompt: readonly number[], count: number): number[] {
  const script = `${gguf}.mjs`; // a file, as the library forks it to try its binaries
  writeFileSync(script, LLAMA_CPP);
  const args = [script, main, gguf, JSON.stringify(prompt), String(count)];
  const run = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 100_000 });
  const line = /^IDS (.*)$/m.exec(run.stdout);
  if (line === null) throw new Error(`llama.cpp did not generate:\n${run.stdout}${run.stderr}`);
  return JSON.parse(line[1]!) as number[];
}

describe("--layout llama.cpp", () => {
  const main = llamaCpp();
  const folder = mkdtempSync(join(tmpdir(), "voxquant-llama-cpp-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const COUNT = 24;
  const narrow = { head_dim: 64, num_hidden_layers: 2, tie_word_embeddings: true };
  const wide = { head_dim: 128, num_hidden_layers: 3, tie_word_embeddings: false, num_attention_heads: 2, num_key_value_heads: 1 };

  /**
   * llama.cpp rounds activations (to F16 or int8 blocks) before it multiplies them, we do not: ids can differ where two
   * logits are within that error, so the comparison ends at the first such step.
   */
  const CLOSE = 0.02;

  it.each([
    ["f16", "tied head, heads of 64", narrow],
    ["bf16", "own head, heads of 128", wide],
    ["q8_0", "own head, heads of 128", wide],
    ["q6_k", "tied head, heads of 64", narrow],
    ["q4_0", "own head, heads of 128", wide],
    ["q4_k", "tied head, heads of 64", narrow],
  ])("gives the same greedy ids in llama.cpp: %s, %s", async (qtype, name, sizes) => {
    if (main === null) return;
    const checkpoint = join(folder, name);
    if (!existsSync(join(checkpoint, "model.safetensors"))) await randomCheckpoint(checkpoint, name.length, sizes);
    await compareOn(checkpoint, qtype, [5, 17, 101, 33, 7, 250, 431]);
  });

  it("runs the embedded model's decoder in llama.cpp", async () => {
    if (main === null) return;
    await compareOn(mini, "q8_0", [577, 80, 101, 33, 7, 250, 431]);
  });

  async function compareOn(checkpoint: string, qtype: string, prompt: readonly number[]): Promise<void> {
    const output = join(folder, `${qtype}.gguf`);
    const report = await quantizeCheckpoint(
      { input: checkpoint, output, qtype, layout: "llama.cpp", force: true },
      await qwen3AsrQuantizeProfile(await openModelFiles(checkpoint)),
    );
    expect(report.tensors.every(({ name }) => !name.startsWith("thinker."))).toBe(true);
    const here = await generateHere(checkpoint, output, prompt, COUNT);
    const there = generateInLlamaCpp(main!, output, prompt, COUNT);
    const close = here.margins.findIndex((margin) => margin < CLOSE);
    const compared = close < 0 ? COUNT : close;
    process.stderr.write(
      `llama.cpp: ${qtype} ${here.ids.join(" ")} | ${there.join(" ")} | ${Math.min(...here.margins).toFixed(3)} ${compared}\n`,
    );
    expect(there.slice(0, compared)).toEqual(here.ids.slice(0, compared));
    expect(compared).toBeGreaterThanOrEqual(8);
    expect(new Set(here.ids).size).toBeGreaterThan(3);
  }
});
