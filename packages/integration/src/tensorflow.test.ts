import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { loadAsrModel, type AsrModel, type TraceSink } from "@voxquant/asr-model";
import {
  compareTensor,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenTensor,
} from "@voxquant/goldens";
import { BackendError } from "@voxquant/quant-core";

interface RecognitionCase {
  readonly audio: string;
  readonly audio_range?: unknown;
  readonly audio_tokens?: number;
  readonly context?: string;
  readonly language_forced?: string | null;
  readonly generated_ids?: readonly number[];
  readonly timestamp_positions?: unknown;
  /** Tensors of which the file holds a part: indices on each leading axis, negative ones from the end. */
  readonly select?: Readonly<Record<string, readonly (readonly number[])[]>>;
}

/** The tfjs that the packages share. */
const tfjs = createRequire(join(import.meta.dirname, "../../quant-core/package.json")).resolve(
  "@tensorflow/tfjs-core",
);
const { memory } = (await import(tfjs)) as { memory(): { numTensors: number } };

const rules = new ToleranceRules("qwen3-asr");

/** Recognition cases with their tensors, those of least audio first. */
function casesOf(variant: ReturnType<typeof goldenVariants>[number]) {
  return variant.cases
    .flatMap(({ name, jsonPath, tensorsPath }) => {
      const json = readGoldenJson<RecognitionCase>(jsonPath);
      if (tensorsPath === null || json.generated_ids === undefined) return [];
      if (json.timestamp_positions !== undefined || json.audio_range !== undefined) return [];
      return [{ name, json, audio: join(dirname(jsonPath), json.audio), tensors: readTensors(tensorsPath) }];
    })
    .sort((a, b) => (a.json.audio_tokens ?? 0) - (b.json.audio_tokens ?? 0));
}

/** The part of a tensor that `select` names. */
function part({ shape, data }: GoldenTensor, [indices, ...others]: readonly (readonly number[])[]): number[] {
  if (indices === undefined) return [...data];
  const [size, ...inner] = shape;
  const length = inner.reduce((product, dim) => product * dim, 1);
  return indices.flatMap((index) => {
    const start = (index < 0 ? size! + index : index) * length;
    return part({ shape: inner, data: data.subarray(start, start + length) }, others);
  });
}

/** The least work that shows every stage: two cases of the first set. */
const variant = goldenVariants("qwen3-asr").find((candidate) => casesOf(candidate).length > 0);

describe("Qwen3-ASR on the tensorflow backend", () => {
  let model: AsrModel | null = null;

  beforeAll(async () => {
    if (variant === undefined) return;
    try {
      model = await loadAsrModel(variant.folder, {
        backend: "tensorflow",
        precision: "exact",
        decoderWeights: "safetensors",
      });
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      process.stderr.write(
        "tensorflow: @tensorflow/tfjs-node is not here (node packages/quant-core/scripts/build-tensorflow.mjs " +
          "builds it, VOXQUANT_TENSORFLOW names its folder), its goldens are skipped\n",
      );
      expect(error.message).toContain("npm install @tensorflow/tfjs-node");
    }
  });
  afterAll(() => model?.dispose());

  it("meets the goldens of every stage and frees its tensors", async () => {
    if (model === null || variant === undefined) return;
    const lines: string[] = [];
    for (const { name, json, audio, tensors } of casesOf(variant).slice(0, 2)) {
      const traced = new Map<string, GoldenTensor>();
      const trace: TraceSink = (tensor, value) => traced.set(tensor, value);
      const before = memory().numTensors;
      const samples = tensors.get("audio")?.data as Float32Array | undefined;
      const input = samples === undefined ? readFileSync(audio) : { samples, sampleRate: 16000 };
      const transcript = await model.transcribe(input, {
        vad: false,
        maxTokens: json.generated_ids!.length,
        ...(json.context ? { prompt: json.context } : {}),
        ...(json.language_forced ? { language: json.language_forced } : {}),
        trace,
      });
      // Weights get their TensorFlow copy in the first run; nothing may be left by the next.
      if (lines.length > 0) expect(memory().numTensors).toBe(before);
      expect(transcript.tokens).toEqual(json.generated_ids);
      let compared = 0;
      const failures: string[] = [];
      for (const [tensor, golden] of tensors) {
        const rule = rules.find(variant.name, name, tensor);
        const actual = traced.get(tensor);
        if (rule.use === "input" || rule.use === "info" || actual === undefined) continue;
        const result = compareTensor(tensor, part(actual, json.select?.[tensor] ?? []), golden, rule);
        if (!result.ok) failures.push(result.message);
        compared++;
      }
      expect(failures).toEqual([]);
      expect(compared).toBeGreaterThan(0);
      lines.push(`${name} (${compared} tensors)`);
    }
    process.stderr.write(`goldens: tensorflow, qwen3-asr/${variant.name}: ${lines.join(", ")}\n`);
  });
});
