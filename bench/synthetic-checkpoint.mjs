// Writes a Qwen3-ASR checkpoint of random weights with the real names, shapes, configs and vocabulary size, so that
// loading, quantizing and speed can be measured without a download. Its transcripts are noise.
//
//   node bench/synthetic-checkpoint.mjs qwen3-asr-0.6b|qwen3-asr-1.7b OUTPUT_FOLDER [shards]
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

let state = 12345; // of the random numbers

const fixtures = new URL("../fixtures/goldens/qwen3-asr/", import.meta.url);
const [name, folder, shardCount = name === "qwen3-asr-1.7b" ? "2" : "1"] = process.argv.slice(2);
if (!/^qwen3-asr-(0\.6b|1\.7b)$/.test(name ?? "") || folder === undefined) {
  console.error(
    "usage: node bench/synthetic-checkpoint.mjs qwen3-asr-0.6b|qwen3-asr-1.7b OUTPUT_FOLDER [shards]",
  );
  process.exit(2);
}
const shapes = JSON.parse(
  readFileSync(new URL(`real-shapes-${name.slice("qwen3-asr-".length)}.json`, fixtures)),
);
mkdirSync(folder, { recursive: true });
writeTextFiles();
writeWeights(Number(shardCount));

/** Config and tokenizer of the tiny fixture with the real sizes and ids. */
function writeTextFiles() {
  const read = (file) => JSON.parse(readFileSync(new URL(`tiny-a/${file}`, fixtures)));
  const config = read("config.json");
  const { audio_config: audio, text_config: text } = config.thinker_config;
  for (const [key, value] of Object.entries(shapes.config)) {
    if (key in audio) audio[key] = value;
    if (key in text) text[key] = value;
  }
  audio.num_hidden_layers = audio.encoder_layers;
  text.num_hidden_layers = shapes.config.num_hidden_layers;
  const tokenizerConfig = read("tokenizer_config.json");
  const firstTiny = Math.min(...Object.keys(tokenizerConfig.added_tokens_decoder).map(Number));
  const shift = 151643 - firstTiny;
  const moved = Object.entries(tokenizerConfig.added_tokens_decoder).map(([id, token]) => [
    Number(id) + shift,
    token,
  ]);
  tokenizerConfig.added_tokens_decoder = Object.fromEntries(moved);
  for (const key of ["audio_token_id", "audio_start_token_id", "audio_end_token_id"])
    config.thinker_config[key] += shift;

  // The fixture's byte-level vocabulary, filled up with merges of pairs of its tokens.
  const vocab = read("vocab.json");
  const merges = readFileSync(new URL("tiny-a/merges.txt", fixtures), "utf8").trim().split("\n");
  const base = Object.keys(vocab);
  let id = base.length;
  fill: for (const a of base) {
    for (const b of base) {
      if (id === 151643) break fill;
      if (a + b in vocab) continue;
      vocab[a + b] = id++;
      merges.push(`${a} ${b}`);
    }
  }
  const write = (file, content) => writeFileSync(join(folder, file), content);
  write("config.json", JSON.stringify(config, null, 1));
  write("generation_config.json", JSON.stringify({ eos_token_id: [151643, 151645] }));
  for (const file of ["preprocessor_config.json", "chat_template.json"])
    write(file, JSON.stringify(read(file)));
  write("tokenizer_config.json", JSON.stringify(tokenizerConfig));
  write("vocab.json", JSON.stringify(vocab));
  write("merges.txt", merges.join("\n") + "\n");
}

function writeWeights(shards) {
  const total = shapes.list.reduce((sum, [, , shape]) => sum + byteLength(shape), 0);
  const weightMap = {};
  const files = Array.from({ length: shards }, () => []);
  let at = 0;
  for (const [tensor, , shape] of shapes.list) {
    files[Math.min(shards - 1, Math.floor((at / total) * shards))].push([tensor, shape]);
    at += byteLength(shape);
  }
  const pool = randomPool();
  files.forEach((tensors, i) => {
    const number = (n) => String(n).padStart(5, "0");
    const file =
      shards === 1 ? "model.safetensors" : `model-${number(i + 1)}-of-${number(shards)}.safetensors`;
    for (const [tensor] of tensors) weightMap[tensor] = file;
    writeShard(join(folder, file), tensors, pool);
  });
  if (shards > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  }
}

function byteLength(shape) {
  return 2 * shape.reduce((product, dim) => product * dim, 1);
}

function writeShard(path, tensors, pool) {
  const header = {};
  let offset = 0;
  for (const [tensor, shape] of tensors) {
    header[tensor] = { dtype: "BF16", shape, data_offsets: [offset, (offset += byteLength(shape))] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  padded.writeBigUInt64LE(BigInt(padded.length - 8), 0);
  json.copy(padded, 8);
  const file = openSync(path, "w");
  writeSync(file, padded);
  for (const [tensor, shape] of tensors) {
    const isGain = /norm\.weight$|ln_post\.weight$/.test(tensor);
    for (let left = byteLength(shape); left > 0;) {
      const chunk = isGain
        ? Buffer.from(new Uint16Array(Math.min(left, 1 << 20) / 2).fill(0x3f80).buffer)
        : randomSlice(pool, Math.min(left, 1 << 20));
      writeSync(file, chunk);
      left -= chunk.length;
    }
  }
  closeSync(file);
}

function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

/** BF16 values of standard deviation 0.02, as an initialised network has them. */
function randomPool() {
  const values = new Float32Array(1 << 20).map(() => (random() + random() + random() + random() - 2) * 0.035);
  const bits = new Uint32Array(values.buffer);
  return Buffer.from(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}

function randomSlice(pool, length) {
  const start = 2 * Math.floor((random() * (pool.length - length)) / 2);
  return pool.subarray(start, start + length);
}
