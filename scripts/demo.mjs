import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, run as runProcess } from "./process.mjs";

const recogniser = {
  source: "models/qwen3-asr-mini",
  sourceWeights: ["model.safetensors"],
  /** The smallest type that changes no transcript of the evaluation set (docs/quality.md). */
  qtype: "q4_k",
  quantized: "default-model/qwen3-asr-mini-q4_k.gguf",
};
const synthesizer = {
  source: "models/qwen3-tts-mini",
  sourceWeights: ["model.safetensors", "speech_tokenizer/model.safetensors"],
  qtype: "q8_0",
  quantized: "default-model/qwen3-tts-mini-q8_0.gguf",
};
const speech = {
  file: "default-model/speech.wav",
  speaker: "ava",
  written: "Set a timer for 12 seconds.",
  spoken: "Set a timer for twelve seconds.",
};

/**
 * Quantizes the embedded models, shows what that costs, transcribes the samples, speaks a sentence and transcribes it again,
 * says how to go on.
 */
export async function run() {
  mkdirSync(join(root, "default-model"), { recursive: true });

  title(`1. Quantize ${recogniser.source} to ${recogniser.qtype}: one file that is a complete model`);
  if (!(await quantize("asr-cli", recogniser, ["--scope", "all", "--quantize-embeddings"]))) return 1;

  title("2. What that changed");
  if (!(await showErrors())) return 1;

  title("3. Speech to text");
  const allRight = await transcribeSamples();

  title(
    `4. Quantize ${synthesizer.source} to ${synthesizer.qtype}: language model, codec and tokenizer in one file`,
  );
  if (!(await quantize("tts-cli", synthesizer, []))) return 1;

  title("5. Text to speech, and back");
  const heardRight = await speakAndListen();

  title("Next: real models");
  say("The embedded models know only a small domain (models/*/README.md). For real speech:");
  say("");
  say("  npx pnpm asr-cli models download qwen3-asr-0.6b");
  say("  npx pnpm asr-cli quantize -i FOLDER -o qwen3-asr-0.6b-q8_0.gguf --qtype q8_0 --scope all");
  say("  npx pnpm asr-cli transcribe recording.wav --model qwen3-asr-0.6b-q8_0.gguf --format srt");
  say("");
  say("  npx pnpm tts-cli models download qwen3-tts-0.6b-customvoice");
  say("  npx pnpm tts-cli quantize -i FOLDER -o qwen3-tts-0.6b-q8_0.gguf");
  say('  npx pnpm tts-cli synthesize "Your table is ready." --model qwen3-tts-0.6b-q8_0.gguf -o ready.wav');
  say("");
  say("FOLDER is what the download prints (1.9 GB for recognition, 2.5 GB for synthesis).");
  return allRight && heardRight ? 0 : 1;
}

async function quantize(program, { source, sourceWeights, qtype, quantized }, flags) {
  const args = ["quantize", "--input", source, "--output", quantized, "--qtype", qtype, ...flags, "--force"];
  const result = await show(program, args);
  process.stdout.write(result.output);
  if (!result.ok || !existsSync(join(root, quantized))) return false;
  const before = sourceWeights.reduce((sum, file) => sum + statSync(join(root, source, file)).size, 0);
  const after = statSync(join(root, quantized)).size;
  const share = `${((100 * after) / before).toFixed(0)} %`;
  say(`${megabytes(before)} of safetensors, ${megabytes(after)} as ${qtype}: ${share}.`);
  return true;
}

async function transcribeSamples() {
  const samples = JSON.parse(readFileSync(join(root, "samples/samples.json"), "utf8"));
  const transcripts = await transcribe(samples.map(({ file }) => `samples/${file}`));
  if (transcripts === null) return false;
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
  return right === samples.length;
}

/** Transcripts as asr-cli's JSON tells them, null if it failed. */
async function transcribe(files) {
  const args = ["transcribe", ...files, "--model", recogniser.quantized, "--format", "json"];
  const result = await execute("asr-cli", args);
  if (!result.ok) {
    process.stderr.write(result.output);
    return null;
  }
  const transcripts = JSON.parse(result.stdout);
  return Array.isArray(transcripts) ? transcripts : [transcripts];
}

async function speakAndListen() {
  const { file, speaker, written, spoken } = speech;
  const args = ["synthesize", written, "--speaker", speaker, "--language", "english", "--temperature", "0"];
  args.push("--model", synthesizer.quantized, "--output", file, "--force");
  const result = await show("tts-cli", [...args, "--json"]);
  if (!result.ok) {
    process.stderr.write(result.output);
    return false;
  }
  const { duration, timings, backend } = JSON.parse(result.stdout);
  const speed = duration / (timings.totalMs / 1000);
  say(
    `${file}: ${duration.toFixed(1)} s of speech (${speed.toFixed(1)}x real time, first audio after ` +
      `${timings.firstAudioMs.toFixed(0)} ms, ${backend})`,
  );
  const transcripts = await transcribe([file]);
  if (transcripts === null) return false;
  const heard = transcripts[0].text;
  say(`written  ${written}`);
  say(`heard    ${heard}`);
  if (heard !== spoken) say(`WRONG: it should be heard as ${spoken}`);
  return heard === spoken;
}

/** The errors that `inspect --compare` lists for every tensor, by type. */
async function showErrors() {
  const args = ["inspect", recogniser.quantized, "--compare", recogniser.source];
  say(`$ asr-cli ${args.join(" ")}`);
  const result = await execute("asr-cli", [...args, "--json"]);
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

/** Runs one of our programs, and says how. */
function show(program, args) {
  say(`$ ${program} ${args.map((word) => (word.includes(" ") ? `"${word}"` : word)).join(" ")}`);
  return execute(program, args);
}

function execute(program, args) {
  return runProcess(process.execPath, [join(root, `packages/${program}/bin/${program}.mjs`), ...args]);
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
