import {
  entryPoints,
  inspectCommand,
  modelsCommand,
  quantizeCommand,
  versionOf,
  type Program,
} from "@voxquant/cli-core";
import { CATALOGUE } from "./catalogue.js";
import { benchCommand } from "./commands/bench.js";
import { synthesizeCommand } from "./commands/synthesize.js";
import { validateCommand } from "./commands/validate.js";
import { voicesCommand } from "./commands/voices.js";
import { quantizeProfileOf } from "./family.js";
import type { LoadModel } from "./model-options.js";

const TTS_CLI: Program = {
  name: CATALOGUE.program,
  description: "Speech synthesis with quantized models.",
  version: versionOf(new URL("../package.json", import.meta.url)),
  commands: (session) => [
    synthesizeCommand(session, async (source, options) => {
      const library: unknown = await import("@voxquant/acoustic-model");
      return (library as { loadTtsModel: LoadModel }).loadTtsModel(source, options);
    }),
    voicesCommand(session),
    quantizeCommand(session, {
      profileOf: quantizeProfileOf,
      scopeHelp:
        "all (one file that is a complete model; default), talker (with the code predictor, to be used beside the model folder), " +
        "predictor, speaker, codec, or what the tensors' names begin with",
      llamaCppLayout: false,
    }),
    validateCommand(session),
    inspectCommand(session, async (checkpoint, contextTokens) => {
      const { estimateTtsMemory } = await import("@voxquant/acoustic-model");
      return estimateTtsMemory(checkpoint, contextTokens);
    }),
    modelsCommand(session, {
      catalogue: CATALOGUE,
      purpose: "synthesize",
      ggufPart: "talker",
      check: async (path) => (await import("@voxquant/acoustic-model")).checkTtsModel(path),
      isReady: ({ synthesize }) => synthesize,
    }),
    benchCommand(session),
  ],
};

export const { runCommand, runAndExit } = entryPoints(TTS_CLI);
