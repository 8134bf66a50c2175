import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BackendError, openModelFiles, quantizeCheckpoint, selectDevice } from "@voxquant/quant-core";
import type { AsrBackend } from "../load.js";
import { loadAsrModel } from "../load.js";
import { qwen3AsrQuantizeProfile } from "./quantize-profile.js";

const repository = resolve(import.meta.dirname, "../../../..");
const mini = join(repository, "models/qwen3-asr-mini");
const samples = ["kitchen-light-en.wav", "fenster-de.wav", "pogoda-ru.wav"].map((name) =>
  join(repository, "samples", name),
);

/** Layers of the mini model. */
const ENCODER_LAYERS = 4;
const DECODER_LAYERS = 3;

/**
 * RMS error, relative to the output's RMS, of one matrix product with activations and weights rounded to int8 in groups of
 * 128: the largest of 128 Gaussian values lies near 2.8 σ, so a step is 2.8/127 σ and its rounding error 1/√12 of that,
 * 0.0064 σ; signs are random, so the product keeps the ratio, and both sides together give 0.009. Products of few rows
 * (activations in groups of 32 alone, 0.0055) and bfloat16 (2⁻⁹ at most) stay below it. Where codes have seven bits (AMD) it
 * is 0.018, which the margin covers too.
 */
const ROUNDING_ERROR = 0.009;

/** Real activations have larger extremes than Gaussian ones, and norms can amplify: what the limits allow on top. */
const MARGIN = 2.5;

const ENCODED = 4 + 4 * ENCODER_LAYERS + 2;

/** Matrix products and convolutions in sequence up to a stage: independent errors add as squares. */
const PRODUCTS: readonly [stage: RegExp, count: (layer: number) => number][] = [
  [/^conv1$/, () => 1],
  [/^conv2$/, () => 2],
  [/^conv3_flat$/, () => 3],
  [/^(conv_out|enc_in)$/, () => 4],
  [/^enc_attn_(\d+)$/, (layer) => 6 + 4 * layer],
  [/^enc_layer_(\d+)$/, (layer) => 8 + 4 * layer],
  [/^(ln_post|proj1|audio_embeds|inputs_embeds)$/, () => ENCODED],
  [/^dec_attn_(\d+)$/, (layer) => ENCODED + 2 + 4 * layer],
  [/^dec_layer_(\d+)$/, (layer) => ENCODED + 4 + 4 * layer],
  [/^(dec_norm|logits)$/, () => ENCODED + 4 * DECODER_LAYERS + 1],
];

/** Limit of a stage's relative RMS error against `exact` on the same weights, null for stages before any product. */
function fastErrorLimit(stage: string): number | null {
  for (const [pattern, count] of PRODUCTS) {
    const match = pattern.exec(stage);
    if (match !== null) return MARGIN * ROUNDING_ERROR * Math.sqrt(count(Number(match[1] ?? 0)));
  }
  return null;
}

type Stages = Map<string, Float32Array>;

async function stagesOf(model: string, backend: AsrBackend, precision: "exact" | "fast"): Promise<Stages[]> {
  const recogniser = await loadAsrModel(model, { backend, precision });
  const runs: Stages[] = [];
  for (const sample of samples) {
    const stages: Stages = new Map();
    await recogniser.transcribe(sample, {
      vad: false,
      trace: (name, { shape, data }) => {
        // Later steps follow tokens that may differ: the first is what both computed from the same input.
        const values = name === "logits" ? data.subarray(0, shape[1]) : data;
        if (values instanceof Float32Array) stages.set(name, values);
      },
    });
    runs.push(stages);
  }
  await recogniser.dispose();
  return runs;
}

function relativeRms(actual: Float32Array, expected: Float32Array): number {
  let squares = 0;
  let errors = 0;
  for (let i = 0; i < expected.length; i++) {
    squares += expected[i]! ** 2;
    errors += (actual[i]! - expected[i]!) ** 2;
  }
  return Math.sqrt(errors / squares);
}

async function isAvailable(backend: "wasm" | "native"): Promise<boolean> {
  try {
    await selectDevice(backend);
    return true;
  } catch (error) {
    if (error instanceof BackendError) return false;
    throw error;
  }
}

describe("fast precision stays within its limits at every stage", () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-fast-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(["bf16", "q8_0", "q4_k"])("%s", async (qtype) => {
    const model = join(folder, `${qtype}.gguf`);
    const profile = await qwen3AsrQuantizeProfile(await openModelFiles(mini));
    await quantizeCheckpoint(
      { input: mini, output: model, qtype, scope: "all", quantizeEmbeddings: true },
      profile,
    );
    for (const backend of ["wasm", "native"] as const) {
      if (!(await isAvailable(backend))) continue;
      const exact = await stagesOf(model, backend, "exact");
      const fast = await stagesOf(model, backend, "fast");
      let compared = 0;
      exact.forEach((stages, i) => {
        for (const [name, expected] of stages) {
          const limit = fastErrorLimit(name);
          if (limit === null) continue;
          const error = relativeRms(fast[i]!.get(name)!, expected);
          compared++;
          if (!(error <= limit)) throw new Error(`${backend} ${qtype} ${name}: ${error} > ${limit}`);
        }
      });
      expect(compared).toBeGreaterThan(20 * samples.length);
    }
  });
});
