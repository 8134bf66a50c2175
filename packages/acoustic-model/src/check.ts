import { checkModelFiles, type ModelFileCheck, type SmallFile } from "@voxquant/quant-core";
import { detectModelFamily } from "@voxquant/nn";
import { CODEC_FOLDER, GGUF_CHOICE, openTtsModel, type OpenedTtsModel } from "./open-model.js";
import { CODEC_CONFIG_FILE } from "./qwen3-tts/codec/config.js";
import { CodecWeights, codecTensors } from "./qwen3-tts/codec/weights.js";
import { expectedTensors } from "./qwen3-tts/tensor-names.js";

/** Whether a model folder or file is complete, and what it has. */
export interface TtsModelCheck extends ModelFileCheck {
  /** The model is complete and this library can run it. */
  readonly synthesize: boolean;
  /** There is a checkpoint to quantize. */
  readonly quantize: boolean;
}

const SMALL_FILES: readonly SmallFile[] = [
  { name: "config.json", optional: false },
  { name: "vocab.json", optional: "tokenizer.json" },
  { name: "merges.txt", optional: "tokenizer.json" },
  { name: "tokenizer_config.json", optional: "tokenizer.json" },
  { name: CODEC_CONFIG_FILE, optional: false },
  { name: "tokenizer.json", optional: true },
  { name: "generation_config.json", optional: true },
  { name: "preprocessor_config.json", optional: true },
  { name: `${CODEC_FOLDER}/preprocessor_config.json`, optional: true },
];

/**
 * Checks whether a model folder or a GGUF file is complete, from names, headers and configs alone: no weights are read.
 * @throws ResourceError if there is nothing at the path, UnsupportedError outside Node
 */
export async function checkTtsModel(path: string): Promise<TtsModelCheck> {
  const check = await checkModelFiles(path, {
    open: openTtsModel,
    titleOf: (config) => detectModelFamily(config)?.title ?? null,
    smallFiles: SMALL_FILES,
    missingTensors,
    ggufChoice: GGUF_CHOICE,
  });
  const isComplete = check.problems.length === 0;
  return { ...check, synthesize: isComplete, quantize: isComplete };
}

function missingTensors({ config, weights, codec, codecConfig }: OpenedTtsModel) {
  const codecWeights = new CodecWeights(codec, codecConfig);
  const canClone = config.speakerEncoder !== null;
  const missing = codecTensors(codecConfig).filter(
    ({ name, part }) => (canClone || part === "decoder") && !codecWeights.has(name),
  );
  return Promise.resolve([
    {
      location: weights.location,
      names: expectedTensors(config).filter((name) => !weights.tensors.has(name)),
    },
    {
      location: codec.location,
      names: missing.map(({ name, sources }) => (codec === weights ? name : sources[0]!)),
    },
  ]);
}
