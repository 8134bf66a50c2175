import type { ModelCatalogue } from "@voxquant/cli-core";

/** The official repositories that this program runs, and its default model. */
export const CATALOGUE: ModelCatalogue = {
  program: "asr-cli",
  repositories: {
    "qwen3-asr-0.6b": "Qwen/Qwen3-ASR-0.6B",
    "qwen3-asr-1.7b": "Qwen/Qwen3-ASR-1.7B",
    "qwen3-forced-aligner-0.6b": "Qwen/Qwen3-ForcedAligner-0.6B",
  },
  defaultModel: /asr/i,
};
