import { checkModelFiles, type ModelFileCheck, type SmallFile } from "@voxquant/quant-core";
import { detectModelFamily } from "@voxquant/nn";
import { GGUF_CHOICE, openModel, type OpenedModel } from "./open-model.js";
import { parseQwen3AsrConfig } from "./qwen3-asr/config.js";
import { expectedTensors } from "./qwen3-asr/tensor-names.js";

/** Whether a model folder or file is complete, and what it has. */
export interface ModelCheck extends ModelFileCheck {
  /** The model is complete and this library can run it. */
  readonly transcribe: boolean;
  /** There is a float checkpoint to quantize. */
  readonly quantize: boolean;
}

const SMALL_FILES: readonly SmallFile[] = [
  { name: "config.json", optional: false },
  { name: "vocab.json", optional: "tokenizer.json" },
  { name: "merges.txt", optional: "tokenizer.json" },
  { name: "tokenizer_config.json", optional: "tokenizer.json" },
  { name: "tokenizer.json", optional: true },
  { name: "generation_config.json", optional: true },
  { name: "preprocessor_config.json", optional: true },
  { name: "chat_template.json", optional: true },
];

/**
 * Checks whether a model folder or a GGUF file is complete, from names, headers and config alone: no weights are read.
 * @throws ResourceError if there is nothing at the path, UnsupportedError outside Node
 */
export async function checkModel(path: string): Promise<ModelCheck> {
  const check = await checkModelFiles(path, {
    open: openAny,
    titleOf: (config) => detectModelFamily(config)?.title ?? null,
    smallFiles: SMALL_FILES,
    missingTensors,
    ggufChoice: GGUF_CHOICE,
  });
  const isComplete = check.problems.length === 0;
  // A folder whose only weights are a GGUF has nothing that could be quantized better than that.
  const hasFloats = check.safetensors.files.length > 0 || check.gguf.files.length === 0;
  return { ...check, transcribe: isComplete, quantize: isComplete && hasFloats };
}

/** A recogniser or a forced aligner; of two refusals the recogniser's is the one to tell. */
async function openAny(path: string): Promise<OpenedModel> {
  try {
    return await openModel(path, "qwen3-asr");
  } catch (refused) {
    try {
      return await openModel(path, "qwen3-forced-aligner");
    } catch {
      throw refused;
    }
  }
}

async function missingTensors({ configJson, files, location, main, decoder }: OpenedModel) {
  const config = parseQwen3AsrConfig(configJson, await files.readText("generation_config.json"), location);
  const has = (name: string) => main.tensors.has(name) || decoder?.tensors.has(name) === true;
  return [{ location, names: expectedTensors(config).filter((name) => !has(name)) }];
}
