import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, run as runProcess } from "./process.mjs";

const model = "models/qwen3-asr-mini";
/** The smallest type that changes no transcript of the evaluation set (docs/quality.md). */
const qtype = "q4_k";
const quantized = `default-model/qwen3-asr-mini-${qtype}.gguf`;

/** Quantizes the embedded model, shows what that costs, transcribes the samples with it, says how to go on. */
export async function run() {
  mkdirSync(join(root, "default-model"), { recursive: true });

  title(`1. Quantize ${model} to ${qtype}: one file that is a complete model`);
  if (
    !(await cli([
      "quantize",
      "--input",
      model,
      "--output",
      quantized,
      "--qtype",
      qtype,
      "--scope",
      "all",
      "--quantize-embeddings",
      "--force",
    ]))
  )
    return 1;
  const before = statSync(join(root, model, "model.safetensors")).size;
  const after = statSync(join(root, quantized)).size;
  say(
    `${megabytes(before)} in BF16, ${megabytes(after)} as ${qtype}: ${((100 * after) / before).toFixed(0)} %.`,
  );

  title("2. What that changed");
  if (!(await showErrors())) return 1;

  title("3. Speech to text");
  const samples = JSON.parse(readFileSync(join(root, "samples/samples.json"), "utf8"));
  const files = samples.map(({ file }) => `samples/${file}`);
  const result = await runProcess(process.execPath, [
    asrCli,
    "transcribe",
    ...files,
    "--model",
    quantized,
    "--format",
    "json",
  ]);
  if (!result.ok) {
    process.stderr.write(result.output);
    return 1;
  }
  const transcripts = JSON.parse(result.stdout);
  let right = 0;
  for (const [index, { file, text, language }] of samples.entries()) {
    const got = transcripts[index];
    const same = got.text === text && got.language === language;
    if (same) right++;
    const speed = got.audioSeconds / (got.timings.totalMs / 1000);
    say(
      `${same ? "right" : "WRONG"}  ${file} (${got.audioSeconds.toFixed(1)} s, ${got.language}, ${speed.toFixed(0)}x real time, ${got.backend})`,
    );
    say(`       ${got.text}`);
    if (!same) say(`       expected (${language}): ${text}`);
  }
  say(`${right} of ${samples.length} right.`);

  title("Next: a real model");
  say("The embedded model knows only a small domain (models/qwen3-asr-mini/README.md). For real speech:");
  say("");
  say("  npx pnpm asr-cli models download qwen3-asr-0.6b");
  say("  npx pnpm asr-cli quantize -i FOLDER -o qwen3-asr-0.6b-q8_0.gguf --qtype q8_0 --scope all");
  say("  npx pnpm asr-cli transcribe recording.wav --model qwen3-asr-0.6b-q8_0.gguf --format srt");
  say("");
  say("FOLDER is what the first command prints (1.9 GB are downloaded).");
  return right === samples.length ? 0 : 1;
}

/** The errors that `inspect --compare` lists for every tensor, by type. */
async function showErrors() {
  const args = ["inspect", quantized, "--compare", model];
  say(`$ asr-cli ${args.join(" ")}`);
  const result = await runProcess(process.execPath, [asrCli, ...args, "--json"]);
  if (!result.ok) {
    process.stderr.write(result.output);
    return false;
  }
  const { comparison } = JSON.parse(result.stdout);
  const byType = new Map();
  for (const tensor of comparison.tensors) {
    const key = `${tensor.from} -> ${tensor.to}`;
    byType.set(key, [...(byType.get(key) ?? []), tensor]);
  }
  say("type             tensors  worst relative RMSE  lowest SNR");
  for (const [type, tensors] of byType) {
    const worst = tensors.reduce((a, b) => (a.relativeRmse >= b.relativeRmse ? a : b));
    const error = worst.relativeRmse === 0 ? "0" : worst.relativeRmse.toExponential(2);
    const snr = worst.snrDb === null ? "exact" : `${worst.snrDb.toFixed(1)} dB`;
    say(
      `${type.padEnd(15)}  ${String(tensors.length).padStart(7)}  ${error.padStart(19)}  ${snr.padStart(10)}`,
    );
  }
  return true;
}

const asrCli = join(root, "packages/asr-cli/bin/asr-cli.mjs");

async function cli(args) {
  say(`$ asr-cli ${args.join(" ")}`);
  const result = await runProcess(process.execPath, [asrCli, ...args]);
  process.stdout.write(result.output);
  return result.ok && existsSync(join(root, quantized));
}

function title(text) {
  say(`\n== ${text}`);
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
